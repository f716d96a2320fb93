/**
 * Bases as volumes of the thin pool (see {@link BaseVolumes}), named `KEY.CONTENT`: CONTENT changes with what is on it, and
 * one that nothing names any more goes. `state_dir/base/volumes/KEY` has the time when one was last used.
 *
 * Locks, in `run_dir/base`: `NAME.make.lock` exclusive while a volume is made; `NAME.lock` shared while a root disk becomes a
 * copy of it, exclusive while it is removed.
 */
import { mkdir, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { HeldVolume, InstallContext } from '../core/bases.ts';
import { AgentError } from '../core/errors.ts';
import { holding } from '../core/held-locks.ts';
import type { BaseVolume, BaseVolumes, FileLocks } from '../core/ports.ts';
import { alone } from './alone.ts';

/** What the volumes of bases are kept with. */
export interface VolumeKeeperDeps {
  readonly volumes: BaseVolumes;
  readonly locks: FileLocks;
  readonly state_dir: string;
  readonly run_dir: string;
}

/** A base that is wanted as a volume. */
export interface WantedVolume {
  readonly key: string;
  /** 16 hex digits that differ where the system differs. */
  readonly content: string;
  /** What its files take. */
  readonly needs_kib: number;
  /** The disk that becomes a copy of it, in bytes; undefined: none now. */
  readonly disk_bytes: number | undefined;
  /** Makes a file system with the base on this disk. */
  fill(path: string): Promise<unknown>;
}

/** The volumes of bases, for one that comes at a time or many at once. */
export interface VolumeKeeper {
  /** Holds the volume, if it is there and fits onto the disk. */
  find(wanted: Pick<WantedVolume, 'key' | 'content' | 'disk_bytes'>): Promise<HeldVolume | undefined>;
  /** The same; one that is not there is made. Undefined where there is no room for it, or it is larger than the disk. */
  hold(wanted: WantedVolume, context: InstallContext): Promise<HeldVolume | undefined>;
  list(): Promise<readonly (BaseVolume & { readonly key: string })[]>;
  /** When a volume of this key was last used; undefined: never. */
  lastUsed(key: string): Promise<Date | undefined>;
  /** Removes the volumes of a key but the one with this content, if nobody uses them. Returns those that are used. */
  sweep(key: string, but: string | undefined, wait_ms?: number): Promise<string[]>;
  /** Removes what nobody finished. Returns the names. */
  tidy(): Promise<string[]>;
}

const NAME = /^(?<key>[a-z][a-z0-9-]{0,31}-[0-9a-f]{16})\.[0-9a-f]{16}$/;
const HOLD_WAIT_MS = 10_000;
const MIB = 1024 * 1024;
/** The journal, inodes, what is reserved for root, and some room for what the installation adds before it is grown. */
const volumeSize_bytes = (needs_kib: number) => Math.ceil(needs_kib * 1.2) * 1024 + 192 * MIB;

/** Makes a {@link VolumeKeeper}. */
export function createVolumeKeeper({ volumes, locks, state_dir, run_dir }: VolumeKeeperDeps): VolumeKeeper {
  const used_dir = join(state_dir, 'base', 'volumes');

  async function lock(name: string, wait_ms: number, kind?: 'shared') {
    await mkdir(join(run_dir, 'base'), { recursive: true, mode: 0o700 });
    return locks.tryLock(join(run_dir, 'base', `${name}.lock`), wait_ms, kind);
  }

  async function markUsed(key: string): Promise<void> {
    await mkdir(used_dir, { recursive: true, mode: 0o700 });
    await writeFile(join(used_dir, key), '', { mode: 0o600 });
  }

  const keeper: VolumeKeeper = {
    async find({ key, content, disk_bytes = Number.POSITIVE_INFINITY }) {
      const name = `${key}.${content}`;
      const held = await lock(name, HOLD_WAIT_MS, 'shared');
      if (!held) return undefined;
      try {
        const volume = (await volumes.list()).find((each) => each.name === name);
        if (volume && volume.size_bytes <= disk_bytes) {
          await markUsed(key);
          return { volume, lock: held, release: held.release };
        }
      } catch (error) {
        await held.release();
        throw error;
      }
      await held.release();
      return undefined;
    },

    async hold(wanted, context) {
      const { key, content, needs_kib, disk_bytes, fill } = wanted;
      const name = `${key}.${content}`;
      const size_bytes = volumeSize_bytes(needs_kib);
      if (disk_bytes !== undefined && size_bytes > disk_bytes) {
        context.log(`base ${key}: as a volume it is larger than the disk`);
        return undefined;
      }
      const make = async () => {
        if ((await volumes.list()).some((volume) => volume.name === name)) return;
        context.log(`base ${key}: a volume of it is being made`);
        const began = Date.now();
        await volumes.make(name, { size_bytes, spare_bytes: disk_bytes ?? 0 }, fill);
        context.log(`base ${key}: the volume was made in ${((Date.now() - began) / 1000).toFixed(1)} s`);
        await keeper.sweep(key, content);
      };
      const found = await keeper.find(wanted);
      if (found) return found;
      try {
        await alone(`base ${key}`, (wait_ms) => lock(`${name}.make`, wait_ms), context, make);
      } catch (error) {
        if (!(error instanceof AgentError && error.code === 'no_space')) throw error;
        context.log(`base ${key}: no volume of it: ${error.message}`);
        return undefined;
      }
      return keeper.find(wanted);
    },

    async list() {
      const found = (await volumes.list()).map((volume) => ({
        ...volume,
        key: NAME.exec(volume.name)?.groups?.['key'] ?? '',
      }));
      return found.filter(({ key }) => key !== '');
    },

    async lastUsed(key) {
      const there = await stat(join(used_dir, key)).catch((error: NodeJS.ErrnoException) => {
        if (error.code === 'ENOENT') return undefined;
        throw error;
      });
      return there?.mtime;
    },

    async sweep(key, but, wait_ms = 0) {
      const used: string[] = [];
      for (const { name } of (await keeper.list()).filter((volume) => volume.key === key)) {
        if (name === `${key}.${but}`) continue;
        const held = await lock(name, wait_ms);
        if (held) {
          try {
            await holding(held, () => volumes.remove(name));
          } finally {
            await held.release();
          }
        } else used.push(name);
      }
      if (but === undefined) await rm(join(used_dir, key), { force: true });
      return used;
    },

    async tidy() {
      const removed: string[] = [];
      for (const name of await volumes.unfinished()) {
        if (!NAME.test(name)) continue;
        const held = await lock(`${name}.make`, 0);
        if (!held) continue;
        try {
          await holding(held, () => volumes.removeUnfinished(name));
          removed.push(name);
        } finally {
          await held.release();
        }
      }
      return removed;
    },
  };
  return keeper;
}
