import { readdir, readFile, realpath, stat } from 'node:fs/promises';
import { basename, join, parse } from 'node:path';
import type { Config } from '../config/schema.ts';
import { AgentError } from '../core/errors.ts';
import type { Finished, Runner } from '../core/runner.ts';
import { createKnownStores } from './known-stores.ts';
import { unlessMissing } from './missing.ts';
import { parseLvmConfig } from './parse/lvm-config.ts';
import { lastWords } from './run.ts';

/** What calling LVM needs; `udev_data` is for tests. */
export interface LvmProgramOptions {
  readonly runner: Runner;
  readonly config: Pick<Config, 'provisioning_mount_point' | 'state_dir' | 'sys_dir'>;
  /** udev's notes of devices [/run/udev/data]. */
  readonly udev_data?: string;
}

/** Calls a program of LVM, such as lvs, which sees no device that a guest can write. */
export type LvmProgram = (program: string, args: readonly string[], timeout_ms: number) => Promise<Finished>;

const ASK_TIMEOUT_MS = 30_000;
const FILES_OF_LVM = ['/etc/lvm/lvm.conf', '/etc/lvm/lvmlocal.conf'];
/** What lvm.conf has where nobody has set it: every device is taken. */
const TAKES_ALL = '"a|.*|"';

/**
 * So LVM answers alike on every node, whatever its lvm.conf says: errors on standard error, and nothing but what was asked for on
 * standard output, in words and not in numbers. `-qq` leaves out remarks, such as the one on an archive of many files.
 *
 * A log within the report is not asked for: where it leaves out an entry, LVM 2.03.16 leaves a comma too many, which is no JSON.
 */
const PLAIN = [
  'log/prefix=""',
  'log/command_names=0',
  'log/verbose=0',
  'log/report_command_log=0',
  'report/binary_values_as_numeric=0',
  'report/compact_output=0',
].join(' ');

/** A path in LVM's patterns: what may have a meaning there stands for any character. */
const literal = (path: string) => path.replace(/[^A-Za-z0-9_/-]/g, '.');

/**
 * Makes an {@link LvmProgram}: each call says first, by `--config devices/global_filter=[...]` (lvm.conf(5)), which devices LVM must
 * not look at. A physical volume that a guest has written bears whatever name it likes; where that is the one of the node's volume
 * group, LVM skips both. What the node's own lvm.conf hides stays hidden.
 *
 * One pattern for one of a device's names hides it, unless another of its names is taken by a pattern: so all of them are told
 * where the node has patterns of its own.
 *
 * @throws AgentError program_failed where lvmconfig(8) does not tell the node's own filter
 */
export function createLvmProgram({
  runner,
  config,
  udev_data = '/run/udev/data',
}: LvmProgramOptions): LvmProgram {
  const stores = createKnownStores(config);
  const blocks = join(config.sys_dir, 'block');
  /** Empty where the kernel does not tell; it has errors of many kinds for a device that goes away in this moment. */
  const read = async (path: string) => (await readFile(path, 'latin1').catch(() => '')).trim();
  let own: { readonly of: string; readonly filter: string; readonly scans_volumes: boolean } | undefined;

  /** Loop devices over image files of guests, the deleted ones among them. */
  async function loops(): Promise<string[]> {
    const names = (await unlessMissing(readdir(blocks), [])).filter((name) => /^loop[0-9]+$/.test(name));
    // The folder itself may be of a server that does not answer: nobody waits for that who asks for volumes.
    const { dir, base } = parse(config.provisioning_mount_point);
    const folder = join(await realpath(dir).catch(() => dir), base);
    const files = await Promise.all(names.map((name) => read(join(blocks, name, 'loop/backing_file'))));
    return names.filter((_, at) => files[at]?.startsWith(`${folder}/`)).map((name) => join(blocks, name));
  }

  /** What xen-blkback gives to a guest in this moment. */
  async function exported(): Promise<string[]> {
    const backends = join(config.sys_dir, 'bus/xen-backend/devices');
    const found = await Promise.all(
      (await unlessMissing(readdir(backends), []))
        .filter((name) => name.startsWith('vbd-'))
        .map(async (name) => {
          const [, major, minor] =
            /^([0-9a-f]+):([0-9a-f]+)$/.exec(await read(join(backends, name, 'physical_device'))) ?? [];
          if (major === undefined || minor === undefined) return [];
          const number = `${Number.parseInt(major, 16)}:${Number.parseInt(minor, 16)}`;
          const device = await unlessMissing(realpath(join(config.sys_dir, 'dev/block', number)), undefined);
          return device === undefined ? [] : [device];
        }),
    );
    return found.flat();
  }

  /** The names of devices, as the kernel's folders of them say, but for volumes of LVM's where it does not look at any. */
  async function namesOf(devices: readonly string[], scans_volumes: boolean): Promise<string[]> {
    const names = await Promise.all(
      devices.map(async (device) => {
        const mapped = await read(join(device, 'dm/uuid'));
        if (mapped.startsWith('LVM-') && !scans_volumes) return [];
        const links = (await read(join(udev_data, `b${await read(join(device, 'dev'))}`)))
          .split('\n')
          .flatMap((line) => (line.startsWith('S:') ? [line.slice(2)] : []));
        const by_name = mapped === '' ? [] : [`mapper/${await read(join(device, 'dm/name'))}`];
        return [basename(device).replaceAll('!', '/'), ...by_name, ...links];
      }),
    );
    return names.flat();
  }

  /** What the node's own lvm.conf says, as lvmconfig(8) prints it; asked for again when a file of LVM's has changed. */
  async function ofNode() {
    const times = FILES_OF_LVM.map(async (path) => (await unlessMissing(stat(path), undefined))?.mtimeMs);
    const of = (await Promise.all(times)).join();
    if (own?.of === of) return own;
    const program = 'lvmconfig';
    const args = ['--typeconfig', 'full', 'devices/global_filter', 'devices/scan_lvs'];
    const answer = await runner.run({ label: program, program, args, timeout_ms: ASK_TIMEOUT_MS });
    const told = parseLvmConfig(answer.stdout);
    const [value, scan_lvs] = [told.get('global_filter'), told.get('scan_lvs')];
    const filter = value?.startsWith('[') ? value.slice(1, -1) : value;
    if (answer.exit_code !== 0 || filter === undefined || scan_lvs === undefined) {
      throw new AgentError(
        'program_failed',
        `lvmconfig ${args.join(' ')} failed (exit code ${answer.exit_code}): ${lastWords(answer)}. Nothing was asked of LVM; see /etc/lvm/lvm.conf.`,
        { log: { ...answer } },
      );
    }
    own = { of, filter: filter === TAKES_ALL ? '' : filter, scans_volumes: scan_lvs === '1' };
    return own;
  }

  /** Volumes of the node's own group, which guests write. */
  async function volumes(): Promise<string[]> {
    const known = await stores.knownGroup();
    if (!known) return [];
    const mark = `LVM-${known.id.replaceAll('-', '')}`;
    const devices = (await unlessMissing(readdir(blocks), [])).filter((name) => /^dm-[0-9]+$/.test(name));
    const marks = await Promise.all(devices.map((name) => read(join(blocks, name, 'dm/uuid'))));
    return devices.filter((_, at) => marks[at]?.startsWith(mark)).map((name) => join(blocks, name));
  }

  async function filter(): Promise<string> {
    const { filter: nodes, scans_volumes } = await ofNode();
    const devices = [...(await loops()), ...(await exported()), ...(scans_volumes ? await volumes() : [])];
    const names = [...new Set(await namesOf(devices, scans_volumes))].sort();
    const hidden = names.map((name) => `"r|^/dev/${literal(name)}$|"`);
    if (hidden.length === 0) return '';
    return ` devices/global_filter=[${[...hidden, ...(nodes === '' ? [] : [nodes])].join(',')}]`;
  }

  return async (program, args, timeout_ms) => {
    const settings = `${PLAIN}${await filter()}`;
    return runner.run({
      label: program,
      program,
      args: ['-qq', '--config', settings, ...args],
      timeout_ms,
    });
  };
}
