import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from 'pino';
import type { Config } from '../../config/schema.ts';
import { AgentError } from '../../core/errors.ts';
import type { DiskStore, ImageType, VpsLocks } from '../../core/ports.ts';
import type { Systems } from '../../core/systems.ts';
import { parseVpsId, type VpsId } from '../../core/vps.ts';
import { createSystemRecords } from './record.ts';
import { ifUnlocked } from './unlocked.ts';

const HOUR_MS = 3_600_000;

/** What the daemon's care for all systems reaches. */
export interface SystemKeeperOptions {
  readonly config: Pick<Config, 'state_dir' | 'reinstall_keep_hours'>;
  readonly systems: Systems;
  readonly disks: Readonly<Record<ImageType, DiskStore>>;
  readonly locks: VpsLocks;
  readonly log: Pick<Logger, 'info' | 'warn'>;
  readonly now?: () => Date;
}

/** What the daemon does for all VPSes at its start and from time to time; VPSes that somebody is at work on are left out. */
export interface SystemKeeper {
  /** Finishes what a crash left half done. Cheap where there is nothing. */
  recover(): Promise<void>;
  /** Deletes old systems that have had their time, and unfinished new ones that nobody noted. */
  tidy(): Promise<void>;
}

/** Makes a {@link SystemKeeper}. */
export function createSystemKeeper(options: SystemKeeperOptions): SystemKeeper {
  const { config, systems, disks, locks, log, now = () => new Date() } = options;
  const states_dir = join(config.state_dir, 'states');
  const records = createSystemRecords(states_dir);

  async function vpses(): Promise<VpsId[]> {
    const names = await readdir(states_dir).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return [];
      throw error;
    });
    return names.map((name) => parseVpsId(name)).filter((vps) => vps !== undefined);
  }

  /** The VPSes with a root disk in a role; none where the node has no such disks. */
  async function withRoot(store: DiskStore, role: 'new' | 'old'): Promise<readonly VpsId[]> {
    try {
      return await store.withRoot(role);
    } catch (error) {
      const none = error instanceof AgentError && ['no_volume_group', 'program_missing'].includes(error.code);
      if (none) return [];
      throw error;
    }
  }

  /** Whether something of the VPS was begun; a record that is damaged is for {@link Systems.settle} to tell. */
  const isBegun = (vps: VpsId) =>
    records.names.read(vps).then(
      (record) => record !== undefined,
      () => true,
    );

  /** Whether an old system may have had its time: only then its VPS is locked, and calls are refused for a moment. */
  const mayBeOver = async (vps: VpsId) => {
    const noted = await records.old.read(vps).catch(() => undefined);
    if (noted?.state !== 'kept') return true;
    return now().getTime() - Date.parse(noted.since) >= config.reinstall_keep_hours * HOUR_MS;
  };

  return {
    async recover() {
      for (const vps of await vpses()) {
        if (!(await isBegun(vps))) continue;
        await ifUnlocked(locks, vps, 'finishing a reinstall', log, async () => {
          const told = await systems.settle(vps);
          if (told !== undefined) log.warn({ vps: vps.name }, told);
        });
      }
    },

    async tidy() {
      for (const store of Object.values(disks)) {
        for (const vps of await withRoot(store, 'new')) {
          if (await isBegun(vps)) continue;
          await ifUnlocked(locks, vps, 'deleting an unfinished system', log, async () => {
            if (await isBegun(vps)) return;
            await store.removeRoot(vps, 'new');
            log.warn({ vps: vps.name }, `An unfinished new system of ${vps.name} was deleted.`);
          });
        }
        for (const vps of await withRoot(store, 'old')) {
          if (!(await mayBeOver(vps))) continue;
          await ifUnlocked(locks, vps, 'deleting an old system', log, () => systems.dropExpired(vps));
        }
      }
    },
  };
}
