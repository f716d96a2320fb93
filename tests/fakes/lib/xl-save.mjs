// xl save, xl restore.
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import { getopt, XlError } from './getopt.mjs';
import { err, NotKnown, sleep, withState } from './store.mjs';
import { removeDomain, updateClock } from './world.mjs';
import { findDomain } from './xl.mjs';
import { asProcess, raise } from './xl-build.mjs';
import { hasScript, runScripts } from './xl-hotplug.mjs';
import { configJson, yajl } from './xl-json.mjs';
import { leaveProcess } from './xl-process.mjs';

const MAGIC = 'Xen saved domain, xl format\n \0 \r';
const HEADER_BYTES = 48;
const BYTE_ORDER = 0x01020304;
/** Domain configuration in JSON, and the stream's second version. */
const FLAGS = 3;
/** How a file ends that was written to its end. */
const END = '\nend of the memory\n';
const FRAMES_PER_MIB = 256;
const BATCH = 1024;

/** What xl writes first: its header, and the domain's configuration. */
function header(domain) {
  const { c_info, ...rest } = configJson(domain.spec, domain.uuid, domain.memory_mib, true);
  const config = Buffer.from(`${yajl({ c_info: { ...c_info, domid: undefined }, ...rest })}\n\0`);
  const bytes = Buffer.alloc(HEADER_BYTES + 4);
  bytes.write(MAGIC, 'latin1');
  [BYTE_ORDER, FLAGS, 0, 4 + config.length, config.length].forEach((value, at) => {
    bytes.writeUInt32LE(value, 32 + 4 * at);
  });
  return Buffer.concat([bytes, config]);
}

const info = (bytes) =>
  `info 0x${bytes.readUInt32LE(36).toString(16)}/0x${bytes.readUInt32LE(40).toString(16)}/${bytes.readUInt32LE(44)}`;

function progress({ id, memory_mib, spec }) {
  const all = memory_mib * FRAMES_PER_MIB;
  const lines = [`xc: info: Saving domain ${id}, type x86 ${spec.type === 'pv' ? 'PV' : 'HVM'}\n`];
  let next = 5;
  for (let done = BATCH; ; done = Math.min(all, done + BATCH)) {
    const percent = Math.floor((100 * done) / all);
    if (percent >= next) {
      lines.push(`xc: progress: Frames: ${done}/${all}  ${String(percent).padStart(3)}%\n`);
      next = percent - (percent % 5) + 5;
    }
    if (done >= all) break;
  }
  return `${lines.join('')}xc: progress: End of stream: 0/0    0%\n`;
}

export async function save(root, args) {
  const { options, operands } = getopt('save', args, { taken: { c: '' }, untaken: 'pD', operands: 2 });
  const [name, file, ...more] = operands;
  if (more.length > 0) throw new NotKnown('xl save with a configuration is not part of the fake');
  const look = (state) => {
    const domain = findDomain(state, name);
    if (domain.phase !== 'up' || domain.destroying || domain.off_at_ms !== null)
      throw new NotKnown('xl save of a domain that does not run is not part of the fake');
    return domain;
  };
  const first = header(await withState(root, look));
  try {
    writeFileSync(file, first, { mode: 0o644 });
  } catch (error) {
    if (!['ENOENT', 'EACCES', 'EISDIR'].includes(error.code)) throw error;
    throw new XlError(`Failed to open temp file ${file} for writing\n`, 1);
  }
  err(`Saving to ${file} new xl format (${info(first)})\n`);
  const { domain, save_ms, script_ms } = await withState(root, (state, now) => {
    const found = look(state);
    found.phase = 'off';
    found.off = 'suspend';
    updateClock(state, found, now);
    return { domain: found, ...state.timing };
  });
  await sleep(save_ms);
  const { spec, uuid, memory_mib, cpu_s } = domain;
  appendFileSync(file, `${JSON.stringify({ spec, uuid, memory_mib, cpu_s })}${END}`);
  err(progress(domain));
  if (!options.c && domain.disks.some(hasScript)) err(await runScripts(root, domain, 'remove', script_ms));
  return withState(root, (state, now) => {
    const left = state.domains.find((each) => each.id === domain.id);
    if (!left)
      throw new NotKnown('what xl save says of a domain that goes meanwhile is not part of the fake');
    if (options.c) {
      left.phase = 'up';
      left.off = null;
      updateClock(state, left, now);
    } else {
      removeDomain(state, left, 'destroyed');
    }
    return 0;
  });
}

function readSaved(file) {
  let bytes;
  try {
    bytes = readFileSync(file);
  } catch (error) {
    const why = { ENOENT: 'No such file or directory', EACCES: 'Permission denied' };
    if (!(error.code in why)) throw error;
    throw new XlError(`Can't open restore file: ${why[error.code]}\n`, 1);
  }
  if (bytes.length < HEADER_BYTES)
    throw new NotKnown('what xl says of a cut-off file is not part of the fake');
  if (bytes.toString('latin1', 0, MAGIC.length) !== MAGIC)
    throw new XlError('File has wrong magic number - corrupt or for a different tool?\n', 1);
  const memory = bytes.toString('utf8', HEADER_BYTES + bytes.readUInt32LE(44));
  return { info: info(bytes), memory };
}

export async function restore(root, args) {
  const { options, operands } = getopt('restore', args, { taken: { p: '' }, untaken: 'FcdeVA', operands: 1 });
  const [file, ...more] = operands;
  if (more.length > 0) throw new NotKnown('xl restore with a configuration is not part of the fake');
  const words = ['restore', ...args];
  return asProcess(root, words, async () => {
    const saved = readSaved(file);
    err(`Loading new save file ${file} (new xl fmt ${saved.info})
 Savefile contains xl domain config in JSON format
Parsing config from <saved>
`);
    if (!saved.memory.endsWith(END))
      throw new NotKnown('what xl says of memory that was not saved to its end is not part of the fake');
    const { spec, uuid, memory_mib } = JSON.parse(saved.memory.slice(0, -END.length));
    const type = spec.type === 'pv' ? 'PV' : 'HVM';
    const onBuilt = () =>
      err(`xc: info: Found x86 ${type} domain from Xen 4.20
xc: info: Restoring domain
xc: info: Restore successful
xc: info: XenStore: mfn 0x7d0b2, dom 0, evt 1
xc: info: Console: mfn 0x7d0b1, dom 0, evt 2
`);
    const onUp = (state, domain) => {
      domain.memory_mib = memory_mib;
      leaveProcess(root, state, domain, words);
    };
    try {
      await raise(root, { ...spec, uuid }, { paused: options.p === true, restored: true, onBuilt, onUp });
    } catch (error) {
      // xl's `create` has codes of its own; its `restore` knows one.
      throw error instanceof XlError ? new XlError(error.message, 1) : error;
    }
    return 0;
  });
}
