import { link, lstat, mkdir, opendir, readdir, rename, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { syncFolder, temporaryName } from '../core/atomic-file.ts';
import { AgentError } from '../core/errors.ts';
import type { Accounts } from '../core/ports.ts';
import type { VpsId } from '../core/vps.ts';
import { unlessMissing } from './missing.ts';

const ISO = /^[A-Za-z0-9][A-Za-z0-9._+-]*\.iso$/;

/** Its path must go into a line of xl's. */
const MAX_NAME = 128;

/** An iso that a guest cannot have, with the reason as a clause. */
class UnusableIso extends AgentError {
  readonly why: string;
  constructor(message: string, why: string) {
    super('program_failed', message);
    this.why = why;
  }
}

const cannotBeUsed = (vps: VpsId, file: string, why: string) =>
  new UnusableIso(`${vps.name}: ${file} cannot be booted from: ${why}.`, why);

/**
 * The *.iso files in the console users' homes, which customers control, and those of them that guests boot from.
 *
 * A guest's configuration never names a file in a home: until qemu, as root, opens it, the customer could exchange it for a
 * link to another VPS's disk. It names a hard link, `homes/.iso/xenNN/NAME.iso`, in a folder of root's.
 *
 * @param requireHomes refuses where the folder of the homes is not there
 * @param home_entries how many files a home may have and be searched: its owner decides how many there are
 */
export function createIsos(
  homes: string,
  requireHomes: () => Promise<void>,
  home_entries = 10_000,
): Pick<Accounts, 'isoFiles' | 'pinIso' | 'pinOtherIsos' | 'unpinIsos'> {
  const homeOf = (vps: VpsId) => join(homes, vps.name);
  const pinsOf = (vps: VpsId) => join(homes, '.iso', vps.name);

  async function entriesOf(home: string): Promise<string[]> {
    const names: string[] = [];
    const folder = await unlessMissing(opendir(home), undefined);
    for await (const { name } of folder ?? []) {
      names.push(name);
      if (names.length > home_entries) {
        const why = `its home has more than ${home_entries} files, and was not searched for isos`;
        throw new UnusableIso(`${basename(home)}: ${why}; remove some.`, why);
      }
    }
    return names;
  }

  async function isoFiles(vps: VpsId): Promise<string[]> {
    await requireHomes();
    const home = homeOf(vps);
    const names = (await entriesOf(home)).filter((name) => ISO.test(name)).sort();
    const kinds = await Promise.all(names.map((name) => unlessMissing(lstat(join(home, name)), undefined)));
    return names.filter((_, at) => kinds[at]?.isFile());
  }

  /** Makes a hard link of a file in a home, and only then looks what it is: nobody can exchange it any more. */
  async function takeHold(vps: VpsId, file: string, as: string): Promise<void> {
    const refused = (why: string) => cannotBeUsed(vps, file, why);
    await rm(as, { force: true });
    try {
      await link(join(homeOf(vps), file), as);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'ENOENT') throw refused('it is gone');
      if (code !== 'EXDEV') throw error;
      throw refused('its home is on another file system than the folder of the homes');
    }
    const [{ uid: customer }, held] = await Promise.all([lstat(homeOf(vps)), lstat(as)]);
    if (!held.isFile()) throw refused('it is not a file');
    // An admin may put a file of root's there; a customer could but link one that is somewhere else, too.
    if (held.uid === customer || (held.uid === 0 && held.nlink === 2)) return;
    throw refused(
      `it belongs to user id ${held.uid}${held.uid === 0 ? ' and has another name elsewhere' : ''}`,
    );
  }

  const pins = {
    async pinIso(vps: VpsId, file: string): Promise<string | undefined> {
      if (!(await isoFiles(vps)).includes(file)) return undefined;
      if (file.length > MAX_NAME)
        throw cannotBeUsed(vps, file, `its name is longer than ${MAX_NAME} characters`);
      const pinned = join(pinsOf(vps), file);
      const now = await unlessMissing(lstat(join(homeOf(vps), file)), undefined);
      const before = await unlessMissing(lstat(pinned), undefined);
      if (now && before?.ino === now.ino && before.dev === now.dev) return pinned;
      await mkdir(pinsOf(vps), { recursive: true, mode: 0o700 });
      const fresh = join(pinsOf(vps), temporaryName(file));
      try {
        await takeHold(vps, file, fresh);
        await rename(fresh, pinned);
      } catch (error) {
        await rm(fresh, { force: true });
        throw error;
      }
      await syncFolder(pinsOf(vps));
      return pinned;
    },
  };

  return {
    isoFiles,
    ...pins,

    async pinOtherIsos(vps, but, count) {
      const paths: string[] = [];
      const left_out: { file: string; why: string }[] = [];
      const orTell = async <T>(file: string, does: Promise<T>): Promise<T | undefined> => {
        try {
          return await does;
        } catch (error) {
          if (!(error instanceof UnusableIso)) throw error;
          left_out.push({ file, why: error.why });
          return undefined;
        }
      };
      for (const file of (await orTell('*.iso', isoFiles(vps))) ?? []) {
        if (file === but) continue;
        if (paths.length === count) {
          left_out.push({ file, why: 'there is no drive for it' });
          continue;
        }
        const path = await orTell(file, pins.pinIso(vps, file));
        if (path !== undefined) paths.push(path);
      }
      return { paths, left_out };
    },

    async unpinIsos(vps, but) {
      await requireHomes();
      const folder = pinsOf(vps);
      for (const name of await unlessMissing(readdir(folder), [])) {
        if (!but.includes(join(folder, name))) await rm(join(folder, name), { force: true });
      }
      if (but.length === 0) await rm(folder, { recursive: true, force: true });
    },
  };
}
