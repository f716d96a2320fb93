import { readdir, readFile, realpath, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { Config } from '../config/schema.ts';
import { AgentError } from '../core/errors.ts';
import type { Finished, Runner } from '../core/runner.ts';
import { createKnownStores } from './known-stores.ts';
import { unlessMissing } from './missing.ts';
import { lastWords } from './run.ts';

/** What calling LVM needs. */
export interface LvmProgramOptions {
  readonly runner: Runner;
  readonly config: Pick<
    Config,
    'provisioning_volgroup' | 'provisioning_mount_point' | 'state_dir' | 'sys_dir'
  >;
}

/** Calls a program of LVM, such as lvs, which sees no device that a guest can write. */
export type LvmProgram = (program: string, args: readonly string[], timeout_ms: number) => Promise<Finished>;

const KEY = 'devices/global_filter';
const ASK_TIMEOUT_MS = 30_000;
const FILES_OF_LVM = ['/etc/lvm/lvm.conf', '/etc/lvm/lvmlocal.conf'];

/** A kernel's name of a device, or a group's, as LVM's patterns have it: what has a meaning there stands in brackets. */
const literal = (name: string) => name.replaceAll('!', '/').replace(/[.+]/g, '[$&]');

/**
 * Makes an {@link LvmProgram}: each call says first, by `--config devices/global_filter=[...]` (lvm.conf(5)), which devices LVM must
 * not look at. A physical volume that a guest has written bears whatever name it likes; where that is the one of the node's volume
 * group, LVM skips both. What the node's own lvm.conf hides stays hidden.
 *
 * @throws AgentError program_failed where lvmconfig(8) does not tell the node's own filter
 */
export function createLvmProgram({ runner, config }: LvmProgramOptions): LvmProgram {
  const stores = createKnownStores(config);
  const blocks = join(config.sys_dir, 'block');
  /** Empty where the kernel does not tell; it has errors of many kinds for a device that goes away in this moment. */
  const read = async (path: string) => (await readFile(path, 'latin1').catch(() => '')).trim();
  let own: { readonly of: string; readonly filter: string } | undefined;

  /** Loop devices over image files of guests, the deleted ones among them. */
  async function loops(): Promise<string[]> {
    const names = (await unlessMissing(readdir(blocks), [])).filter((name) => /^loop[0-9]+$/.test(name));
    const set = config.provisioning_mount_point;
    const folder = await unlessMissing(realpath(set), set);
    const files = await Promise.all(names.map((name) => read(join(blocks, name, 'loop/backing_file'))));
    return names.filter((_, at) => files[at]?.startsWith(`${folder}/`));
  }

  /** What xen-blkback gives to a guest in this moment, but for the group's own volumes. */
  async function exported(group_uuid: string): Promise<string[]> {
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
          if (device === undefined) return [];
          const mapped = await read(join(device, 'dm/uuid'));
          return group_uuid !== '' && mapped.startsWith(`LVM-${group_uuid}`) ? [] : [basename(device)];
        }),
    );
    return found.flat();
  }

  /** The filter of the node's own lvm.conf, as lvmconfig(8) prints it; asked for again when a file of LVM's has changed. */
  async function ofNode(): Promise<string> {
    const times = FILES_OF_LVM.map(async (path) => (await unlessMissing(stat(path), undefined))?.mtimeMs);
    const of = (await Promise.all(times)).join();
    if (own?.of === of) return own.filter;
    const program = 'lvmconfig';
    const args = ['--typeconfig', 'full', KEY];
    const answer = await runner.run({ label: program, program, args, timeout_ms: ASK_TIMEOUT_MS });
    const [, list, one] = /^\s*global_filter=(?:\[(.*)\]|("(?:[^"\\]|\\.)*"))\s*$/s.exec(answer.stdout) ?? [];
    const filter = list ?? one;
    if (answer.exit_code !== 0 || filter === undefined) {
      throw new AgentError(
        'program_failed',
        `lvmconfig ${args.join(' ')} failed (exit code ${answer.exit_code}): ${lastWords(answer)}. Nothing was asked of LVM; see /etc/lvm/lvm.conf.`,
        { log: { ...answer } },
      );
    }
    own = { of, filter };
    return filter;
  }

  async function filter(): Promise<string> {
    const known = await stores.knownGroup();
    const group = config.provisioning_volgroup || (known?.at ?? '');
    const devices = new Set([...(await loops()), ...(await exported((known?.id ?? '').replaceAll('-', '')))]);
    const patterns = [...devices].sort().map((name) => `^/dev/${literal(name)}$`);
    if (group !== '') {
      patterns.push(`^/dev/${literal(group)}/`, `^/dev/mapper/${literal(group.replaceAll('-', '--'))}-[^-]`);
    }
    const hidden = patterns.map((pattern) => `"r|${pattern}|"`);
    return `${KEY}=[${[...hidden, await ofNode()].join(',')}]`;
  }

  return async (program, args, timeout_ms) =>
    runner.run({ label: program, program, args: ['--config', await filter(), ...args], timeout_ms });
}
