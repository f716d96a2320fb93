import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Config } from '../config/schema.ts';

/**
 * What processes of the agent tell each other of removed disks that are overwritten (wipe_removed_disks), by small files in
 * `run_dir/wiping`: a job removes disks and lacks room, too, and the daemon overwrites them. None of it rejects, since losing a
 * file costs time alone.
 */
export interface Wiping {
  /** A disk waits from now on. */
  waits(): Promise<void>;
  /** Somebody lacks the room: until none waits, they are overwritten at full speed. */
  hurry(): Promise<void>;
  /** Whether one was said to wait, or to be wanted, since `seen`. */
  isWaiting(): Promise<boolean>;
  /** Whoever looks for those that wait says so before. */
  seen(): Promise<void>;
  isHurried(): Promise<boolean>;
  /** None waits any more. */
  ended(): Promise<void>;
  /** Notes how fast a disk was overwritten, rests left out. */
  measured(size_bytes: number, ms: number): Promise<void>;
  /** How long this much takes at full speed; undefined where nothing was measured since the node's boot. */
  time_s(size_bytes: number): Promise<number | undefined>;
}

const NAMES = { waits: 'waits', hurry: 'hurry', speed: 'bytes-per-second' } as const;

/** Makes {@link Wiping}. */
export function createWiping({ run_dir }: Pick<Config, 'run_dir'>): Wiping {
  const folder = join(run_dir, 'wiping');
  const at = (name: keyof typeof NAMES) => join(folder, NAMES[name]);
  const read = (name: keyof typeof NAMES) => readFile(at(name), 'latin1').catch(() => undefined);
  const isThere = async (name: keyof typeof NAMES) => (await read(name)) !== undefined;
  const remove = (name: keyof typeof NAMES) => rm(at(name), { force: true }).catch(() => undefined);
  async function put(name: keyof typeof NAMES, text: string): Promise<void> {
    try {
      await mkdir(folder, { recursive: true, mode: 0o700 });
      await writeFile(at(name), text, { mode: 0o600 });
    } catch {
      // The daemon looks every hour, and rests while it need not.
    }
  }

  return {
    waits: () => put('waits', ''),
    async hurry() {
      await put('hurry', '');
      await put('waits', '');
    },
    isWaiting: () => isThere('waits'),
    seen: () => remove('waits'),
    isHurried: () => isThere('hurry'),
    ended: () => remove('hurry'),

    async measured(size_bytes, ms) {
      if (ms > 0) await put('speed', String(Math.round((size_bytes / ms) * 1000)));
    },

    async time_s(size_bytes) {
      const bytes_per_s = Number((await read('speed')) ?? '');
      return bytes_per_s > 0 ? Math.ceil(size_bytes / bytes_per_s) : undefined;
    },
  };
}
