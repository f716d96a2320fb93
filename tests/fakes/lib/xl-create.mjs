// xl create: what is checked, in which order, and what is said.
import { existsSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { getopt, XlError } from './getopt.mjs';
import { openBy } from './open-files.mjs';
import { err, NotKnown, out, sleep, withState } from './store.mjs';
import { addDomain, freeMemory_mib, newUuid, removeDomain, startDomain } from './world.mjs';
import { parseConfig } from './xl-config.mjs';
import { showConsole } from './xl-domains.mjs';
import { configJson, yajl } from './xl-json.mjs';

/** Pages of the recorded kernel, and those that are kept free beside it. */
const KERNEL_PAGES = 0x3200;
const KEPT_PAGES = 0x1000;
const PAGES_PER_MIB = 256;

const libxl = (place, text) => `libxl: error: ${place}: ${text}\n`;

/** What libxl says at the end of every failed creation. */
function undone(id, lines, at_the_end = false) {
  const second = at_the_end
    ? libxl(
        'libxl_dom.c:1244:libxl__userdata_path',
        `unable to find domain info for domain ${id}: No such process`,
      )
    : libxl('libxl_domain.c:1179:libxl__destroy_domid', `Domain ${id}:Non-existant domain`);
  return new XlError(
    lines +
      libxl('libxl_domain.c:354:libxl_domain_info', `Domain ${id}:Getting domain info: No such process`) +
      second +
      libxl('libxl_domain.c:1133:domain_destroy_callback', `Domain ${id}:Unable to destroy guest`) +
      libxl('libxl_domain.c:1060:domain_destroy_cb', `Domain ${id}:Destruction of domain failed`),
    3,
  );
}

/** The first checks: name, and that the disks are there. Gives the new domain's id, which is used up even by a failure. */
function makeDomain(state, spec) {
  const id = state.next_domid++;
  if (state.domains.some((domain) => domain.name === spec.name)) {
    return undone(
      id,
      libxl(
        'libxl_domain.c:81:libxl__domain_rename',
        `Domain ${id}:Domain with name "${spec.name}" already exists.`,
      ) + libxl('libxl_create.c:1351:initiate_domain_create', `Domain ${id}:cannot make domain: -6`),
    );
  }
  const missing = spec.disks.findIndex((disk) => !existsSync(disk.path));
  if (missing < 0) return id;
  const { vdev, path } = spec.disks[missing];
  return undone(
    id,
    libxl(
      'libxl_device.c:468:libxl__device_disk_set_backend',
      `Disk vdev=${vdev} failed to stat: ${path}: No such file or directory`,
    ) +
      libxl(
        'libxl_create.c:1373:initiate_domain_create',
        `Domain ${id}:Unable to set disk defaults for disk ${missing}`,
      ),
  );
}

function checkBuild(state, spec, id) {
  const rebuild = libxl(
    'libxl_create.c:1695:domcreate_rebuild_done',
    `Domain ${id}:cannot (re-)build domain: -3`,
  );
  const panic = (text) => `xc: error: panic: ${text}\n`;
  for (const [path, step] of [
    [spec.kernel, '641:libxl__build_pv: xc_dom_kernel_file'],
    [spec.ramdisk, '661:libxl__build_pv: xc_dom_module_file'],
  ]) {
    if (!path || existsSync(path)) continue;
    const open = panic(
      `xg_dom_core.c:205: failed to open file '${path}': No such file or directory: Internal error`,
    );
    throw undone(
      id,
      `${open}libxl: error: libxl_dom.c:${step} failed: No such file or directory\n${rebuild}`,
    );
  }
  if (spec.memory_mib > freeMemory_mib(state)) {
    throw undone(
      id,
      panic("xg_dom_boot.c:119: xc_dom_boot_mem_init: can't allocate low memory for domain: Out of memory") +
        libxl('libxl_dom.c:581:libxl__build_dom', 'xc_dom_boot_mem_init failed: Cannot allocate memory') +
        rebuild,
    );
  }
  const pages = spec.memory_mib * PAGES_PER_MIB;
  if (spec.kernel && KERNEL_PAGES > pages - KEPT_PAGES) {
    const sizes = `(0x${KERNEL_PAGES.toString(16)} > 0x${pages.toString(16)} - 0x${KEPT_PAGES.toString(16)} pages)`;
    throw undone(
      id,
      panic(`xg_dom_core.c:536: xc_dom_chk_alloc_pages: segment kernel too large ${sizes}: Out of memory`) +
        libxl('libxl_dom.c:589:libxl__build_dom', 'xc_dom_build_image failed: No such file or directory') +
        rebuild,
    );
  }
}

/** A volume or block device is served by the kernel (`vbd`), an image file by a process (`qdisk`), without files in /sys. */
function attachment(root, state, disk) {
  const path = realpathSync(disk.path);
  const lv = Object.values(state.vgs)
    .flatMap((vg) => vg.lvs)
    .find((each) => join(realpathSync(root), 'dev', `dm-${each.minor}`) === path);
  if (lv) return { ...disk, backend: 'vbd', minor: lv.minor };
  return { ...disk, backend: statSync(path).isBlockDevice() ? 'vbd' : 'qdisk' };
}

function checkDisks(state, disks, id) {
  let said = '';
  for (const disk of disks.filter((each) => each.backend === 'vbd')) {
    const { guest, loop } = openBy(state, disk.path);
    if (!guest && !loop) continue;
    const why = guest
      ? 'in a guest domain,\nand so cannot be mounted now.'
      : 'in the privileged domain,\nand so cannot be mounted by a guest.';
    said +=
      libxl(
        'libxl_exec.c:117:libxl_report_child_exitstatus',
        `/etc/xen/scripts/block add [${process.pid}] exited with error status 1`,
      ) +
      libxl(
        'libxl_device.c:1351:device_hotplug_child_death_cb',
        `script: Device ${realpathSync(disk.path)} is mounted ${why}`,
      );
  }
  if (said === '') return;
  throw undone(
    id,
    said + libxl('libxl_create.c:1727:domcreate_launch_dm', `Domain ${id}:unable to add disk devices`),
  );
}

function checkBridges(state, spec, id) {
  const nic = spec.nics.find((each) => !state.host.bridges.includes(each.bridge));
  if (!nic) return;
  const script = (step) =>
    libxl(
      'libxl_exec.c:117:libxl_report_child_exitstatus',
      `/etc/xen/scripts/vif-bridge ${step} [${process.pid}] exited with error status 1`,
    ) +
    libxl(
      'libxl_device.c:1351:device_hotplug_child_death_cb',
      `script: Could not find bridge device ${nic.bridge}`,
    );
  const add = libxl('libxl_create.c:1982:domcreate_attach_devices', `Domain ${id}:unable to add vif devices`);
  throw undone(id, script('online') + add + script('offline'), true);
}

function readConfig(file) {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    const why = {
      ENOENT: 'No such file or directory',
      EISDIR: 'Is a directory',
      EACCES: 'Permission denied',
    };
    if (!(error.code in why)) throw new NotKnown(error.message);
    throw new XlError(`Failed to read config file: ${file}: ${why[error.code]}\n`, 3);
  }
}

export async function create(root, args) {
  const { options, operands } = getopt('create', args, {
    taken: { q: 'quiet', n: 'dryrun', p: '', c: '', 'f:': 'defconfig' },
    untaken: 'FdeVAi',
  });
  const file = options.f ?? operands.find((each) => !each.includes('='));
  if (file === undefined) throw new XlError('Config file not specified and none in save file\n', 6);
  const text = readConfig(file);
  if (!options.q) err(`Parsing config from ${file}\n`);
  const overrides = operands.filter((each) => each !== file);
  const spec = parseConfig(file, text, overrides, err);
  if (options.n) {
    out(`${yajl(configJson(spec, spec.uuid ?? newUuid(), spec.memory_mib, false))}\n`);
    return 0;
  }

  const made = await withState(root, (state) => [makeDomain(state, spec), state.timing.name_ms]);
  const [id, name_ms] = made;
  if (id instanceof XlError) throw id;
  await sleep(name_ms);
  const build_ms = await withState(root, (state, now) => {
    checkBuild(state, spec, id);
    const disks = spec.disks.map((disk) => attachment(root, state, disk));
    checkDisks(state, disks, id);
    addDomain(state, { ...spec, disks }, id, now, false);
    return state.timing.build_ms;
  });
  await sleep(build_ms);
  const failure = await withState(root, (state, now) => {
    const domain = state.domains.find((each) => each.id === id);
    if (!domain || domain.destroying) {
      return undone(
        id,
        libxl('libxl_create.c:1695:domcreate_rebuild_done', `Domain ${id}:cannot (re-)build domain: -3`),
      );
    }
    try {
      checkBridges(state, spec, id);
      startDomain(state, domain, now, options.p === true);
      return undefined;
    } catch (error) {
      removeDomain(state, domain, 'destroyed');
      return error;
    }
  });
  if (failure) throw failure;
  return options.c ? showConsole(spec.name) : 0;
}
