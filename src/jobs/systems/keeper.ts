import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from 'pino';
import type { Config } from '../../config/schema.ts';
import { AgentError, asAgentError, errorFields } from '../../core/errors.ts';
import type { DiskStore, Hypervisor, ImageType, RootDisk, VpsLocks } from '../../core/ports.ts';
import type { SteadyClock } from '../../core/steady-clock.ts';
import type { Systems } from '../../core/systems.ts';
import { parseVpsId, type VpsId } from '../../core/vps.ts';
import { createSystemRecords, halfDeleted } from './record.ts';
import { ifUnlocked } from './unlocked.ts';

const HOUR_S = 3_600;

/** What the daemon's care for all systems reaches. */
export interface SystemKeeperOptions {
  readonly config: Pick<Config, 'state_dir' | 'reinstall_keep_hours'>;
  readonly hypervisor: Pick<Hypervisor, 'savedVpses' | 'tidySaved'>;
  readonly systems: Systems;
  readonly disks: Readonly<Record<ImageType, DiskStore>>;
  readonly locks: VpsLocks;
  readonly clock: SteadyClock;
  readonly log: Pick<Logger, 'info' | 'warn'>;
}

/**
 * What the daemon does for all VPSes at its start and from time to time; VPSes that somebody is at work on are left out. What fails
 * for one is logged and tried again, and keeps no other from being done. Neither rejects.
 */
export interface SystemKeeper {
  /** Finishes what a crash left half done: exchanges of systems, restores of saved guests. Cheap where there is nothing. */
  recover(): Promise<void>;
  /** Notes the places of disks, deletes old systems that have had their time, and unfinished new ones that nobody noted. */
  tidy(): Promise<void>;
}

/** Makes a {@link SystemKeeper}. */
export function createSystemKeeper(options: SystemKeeperOptions): SystemKeeper {
  const { config, hypervisor, systems, disks, locks, clock, log } = options;
  const states_dir = join(config.state_dir, 'states');
  const records = createSystemRecords(states_dir);

  /** Does its part for one VPS, or for all; what goes wrong there stays there. */
  async function apart<T>(what: string, work: () => Promise<T>, vps?: VpsId): Promise<T | undefined> {
    try {
      return await work();
    } catch (thrown) {
      const failure = asAgentError(thrown);
      log.warn({ ...(vps && { vps: vps.name }), ...errorFields(failure) }, `${what}: ${failure.message}`);
      return undefined;
    }
  }

  async function vpses(): Promise<VpsId[]> {
    const names = await readdir(states_dir).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return [];
      throw error;
    });
    return names.map((name) => parseVpsId(name)).filter((vps) => vps !== undefined);
  }

  /** The VPSes with a root disk in a role; none where the node has no such disks. */
  async function withRoot(store: DiskStore, role: 'current' | 'new' | 'old'): Promise<readonly VpsId[]> {
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
  async function mayBeOver(vps: VpsId, disk: RootDisk): Promise<boolean> {
    const noted = await records.old.read(vps);
    if (noted?.state !== 'kept' || noted.disk !== disk.identity) return true;
    const age_s = (await clock.now_s()) - noted.since_s;
    return age_s < 0 || age_s >= config.reinstall_keep_hours * HOUR_S;
  }

  /** VPSes that were told as half deleted: they stay so until somebody calls killVPS. */
  const half_deleted = new Set<string>();

  async function finish(vps: VpsId): Promise<void> {
    if (!(await isBegun(vps))) return;
    await ifUnlocked(locks, vps, 'finishing what was begun', log, async () => {
      const told = await systems.settle(vps);
      if (told !== undefined) log.warn({ vps: vps.name }, told);
      if ((await records.names.read(vps))?.phase !== 'deleting') half_deleted.delete(vps.name);
      else if (!half_deleted.has(vps.name)) {
        half_deleted.add(vps.name);
        log.warn({ vps: vps.name }, halfDeleted(vps));
      }
    });
  }

  const tidySaved = (vps: VpsId) =>
    ifUnlocked(locks, vps, 'looking after saved memory', log, async () => {
      for (const told of await hypervisor.tidySaved(vps)) log.warn({ vps: vps.name }, told);
    });

  /** An unfinished system goes, unless it is all that there is. */
  async function dropUnnoted(store: DiskStore, vps: VpsId): Promise<void> {
    if (await isBegun(vps)) return;
    await ifUnlocked(locks, vps, 'deleting an unfinished system', log, async () => {
      if ((await isBegun(vps)) || !(await store.roots(vps)).current) return;
      await store.removeRoot(vps, 'new');
      log.warn({ vps: vps.name }, `An unfinished new system of ${vps.name} was deleted.`);
    });
  }

  async function dropOver(store: DiskStore, vps: VpsId): Promise<void> {
    const { old } = await store.roots(vps);
    if (old && (await mayBeOver(vps, old)))
      await ifUnlocked(locks, vps, 'deleting an old system', log, () => systems.dropExpired(vps));
  }

  async function tidyStore(store: DiskStore): Promise<void> {
    if ((await withRoot(store, 'current')).length > 0) await store.identify();
    for (const vps of await withRoot(store, 'new'))
      await apart('its unfinished system cannot be looked after now', () => dropUnnoted(store, vps), vps);
    for (const vps of await withRoot(store, 'old'))
      await apart('its old system cannot be looked after now', () => dropOver(store, vps), vps);
  }

  return {
    async recover() {
      for (const vps of (await apart('unfinished work cannot be looked for', vpses)) ?? [])
        await apart('what was begun cannot be finished now', () => finish(vps), vps);
      for (const vps of (await apart('saved guests cannot be looked for', hypervisor.savedVpses)) ?? [])
        await apart('its saved memory cannot be looked after now', () => tidySaved(vps), vps);
    },

    async tidy() {
      await apart('how long the node is up cannot be noted now', clock.save);
      for (const store of Object.values(disks))
        await apart(`${store.type} disks cannot be looked after now`, () => tidyStore(store));
    },
  };
}
