/**
 * The folder of the bases, `state_dir/base`:
 *
 *     KEY.json                 the manifest: what it names is whole; without one, there is no base
 *     KEY.NUMBER.tar.zst       the files; never changed, a new one gets a new number
 *     .making-KEY/             where one is being made; what a crash leaves of it goes with the next one
 *     KEY.used                 its time is when the base was last used
 *     KEY.damaged              files that were not any more what their manifest says, kept for a look
 *
 * Locks, in `run_dir/base`: `KEY.make.lock` exclusive while one is made or taken out of service; `ARCHIVE.lock` shared while
 * an archive is used, exclusive while it is removed.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, open, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { syncFolder, writeFileAtomic } from '../core/atomic-file.ts';
import type { FileLocks, HeldLock } from '../core/ports.ts';
import { type BaseInputs, baseKey } from './inputs.ts';
import { type BaseManifest, parseManifest } from './manifest.ts';

/** Where bases and their locks are. */
export interface FolderDeps {
  readonly state_dir: string;
  readonly run_dir: string;
  readonly locks: FileLocks;
}

/** The folder of the bases. */
export interface BaseFolder {
  /** The base of this key; undefined where there is none that is whole. */
  find(key: string): Promise<BaseManifest | undefined>;
  /** All bases, by key. */
  list(): Promise<BaseManifest[]>;
  /** Keys of everything that is in the folder, bases or not. */
  keys(): Promise<string[]>;
  path(base: BaseManifest): string;
  /** Where a base of this key is made. */
  making(key: string): string;
  /** Keeps others from making it or taking it away; undefined where somebody else holds it for longer than `wait_ms`. */
  lockMaking(key: string, wait_ms: number): Promise<HeldLock | undefined>;
  /** Holds a base for use; undefined where it went meanwhile. */
  hold(base: BaseManifest): Promise<HeldLock | undefined>;
  /** Notes that it is used now. */
  markUsed(key: string): Promise<void>;
  /** When it was last used; undefined: never. */
  lastUsed(key: string): Promise<Date | undefined>;
  /** Whether its archive still is what its manifest says. */
  isWhole(base: BaseManifest): Promise<boolean>;
  /** Puts into service what was made in {@link making}. The caller holds the making lock. */
  publish(inputs: BaseInputs, made: Date): Promise<BaseManifest>;
  /** Takes a base out of service. The caller holds the making lock; those that use it go on. */
  retire(base: BaseManifest, as: 'damaged' | 'old'): Promise<void>;
  /** Removes what no manifest names and nobody uses. The caller holds the making lock. Returns what is still used. */
  sweep(key: string, damaged_before: Date, wait_ms?: number): Promise<string[]>;
}

const ARCHIVE = /^(?<key>.+-[0-9a-f]{16})\.(?<number>[0-9]+)\.tar\.zst$/;
const ANY = /^(?:\.making-)?(?<key>[a-z][a-z0-9-]*-[0-9a-f]{16})(?:\.|$)/;
const HOLD_WAIT_MS = 10_000;

async function unlessMissing<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** SHA-256 of a file, as hex digits. */
async function sha256(path: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path, { highWaterMark: 1 << 20 }), hash);
  return hash.digest('hex');
}

async function syncFile(path: string): Promise<void> {
  const file = await open(path, 'r');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Makes a {@link BaseFolder}. */
export function createBaseFolder({ state_dir, run_dir, locks }: FolderDeps): BaseFolder {
  const folder = join(state_dir, 'base');
  const inFolder = (name: string) => join(folder, name);
  const usedPath = (key: string) => inFolder(`${key}.used`);
  const manifestPath = (key: string) => inFolder(`${key}.json`);
  const names = async () => (await unlessMissing(readdir(folder))) ?? [];
  const making = (key: string) => inFolder(`.making-${key}`);

  async function lockPath(name: string): Promise<string> {
    await mkdir(join(run_dir, 'base'), { recursive: true, mode: 0o700 });
    return join(run_dir, 'base', name);
  }

  async function find(key: string): Promise<BaseManifest | undefined> {
    const text = await unlessMissing(readFile(manifestPath(key), 'utf8'));
    const manifest = text === undefined ? undefined : parseManifest(text);
    if (manifest?.key !== key) return undefined;
    return (await unlessMissing(stat(inFolder(manifest.archive)))) && manifest;
  }

  async function keys(): Promise<string[]> {
    const found = (await names()).map((name) => ANY.exec(name)?.groups?.['key']);
    return [...new Set(found.filter((key) => key !== undefined))].sort();
  }

  /** Removes an archive that no manifest names, once nobody uses it. */
  async function removeArchive(archive: string, wait_ms: number): Promise<boolean> {
    const path = await lockPath(`${archive}.lock`);
    const lock = await locks.tryLock(path, wait_ms);
    if (!lock) return false;
    try {
      await rm(inFolder(archive), { force: true });
      await rm(path, { force: true });
    } finally {
      await lock.release();
    }
    return true;
  }

  const markUsed = (key: string) => writeFile(usedPath(key), '', { mode: 0o600 });

  return {
    find,
    keys,
    making,
    path: (base) => inFolder(base.archive),

    async list() {
      const found = await Promise.all((await keys()).map(find));
      return found.filter((base) => base !== undefined);
    },

    async lockMaking(key, wait_ms) {
      await mkdir(folder, { recursive: true, mode: 0o700 });
      return locks.tryLock(await lockPath(`${key}.make.lock`), wait_ms);
    },

    async hold(base) {
      const lock = await locks.tryLock(await lockPath(`${base.archive}.lock`), HOLD_WAIT_MS, 'shared');
      if (!lock) return undefined;
      if (!(await unlessMissing(stat(inFolder(base.archive))))) {
        await lock.release();
        return undefined;
      }
      await markUsed(base.key);
      return lock;
    },

    markUsed,

    lastUsed: async (key) => (await unlessMissing(stat(usedPath(key))))?.mtime,

    async isWhole(base) {
      const { size } = await stat(inFolder(base.archive));
      return size === base.archive_bytes && (await sha256(inFolder(base.archive))) === base.sha256;
    },

    async publish(inputs, made) {
      const key = baseKey(inputs);
      const fresh = join(making(key), 'archive');
      const unpacked_kib = Number(await readFile(join(making(key), 'unpacked-kib'), 'utf8'));
      const numbers = (await names()).map((name) => ARCHIVE.exec(name)?.groups?.['number'] ?? 0);
      const archive = `${key}.${Math.max(0, ...numbers.map(Number)) + 1}.tar.zst`;
      await syncFile(fresh);
      const { size: archive_bytes } = await stat(fresh);
      const manifest = {
        ...{ key, archive, sha256: await sha256(fresh), archive_bytes, unpacked_kib },
        ...{ made: made.toISOString(), inputs: { ...inputs, packages: [...inputs.packages] } },
      };
      await rename(fresh, inFolder(archive));
      await syncFolder(folder);
      await writeFileAtomic(manifestPath(key), `${JSON.stringify(manifest, undefined, 2)}\n`);
      return manifest;
    },

    async retire({ key, archive }, as) {
      await rm(manifestPath(key), { force: true });
      if (as === 'damaged') await unlessMissing(rename(inFolder(archive), inFolder(`${key}.damaged`)));
      await syncFolder(folder);
    },

    async sweep(key, damaged_before, wait_ms = 0) {
      const base = await find(key);
      const used: string[] = [];
      await rm(making(key), { recursive: true, force: true });
      if (!base) for (const path of [manifestPath(key), usedPath(key)]) await rm(path, { force: true });
      for (const name of await names()) {
        if (name === `${key}.damaged`) {
          const { mtime } = await stat(inFolder(name));
          if (mtime < damaged_before) await rm(inFolder(name));
        } else if (ARCHIVE.exec(name)?.groups?.['key'] === key && name !== base?.archive) {
          if (!(await removeArchive(name, wait_ms))) used.push(name);
        }
      }
      return used;
    },
  };
}
