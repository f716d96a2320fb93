import { join } from 'node:path';
import type { Logger } from 'pino';
import type { Config } from '../../config/schema.ts';
import { AgentError } from '../../core/errors.ts';
import type { DiskStore, GuestConfigStore, Hypervisor, ImageType, VpsLocks } from '../../core/ports.ts';
import type { Systems } from '../../core/systems.ts';
import type { VpsId } from '../../core/vps.ts';
import { findIfThere, requireStopped } from '../../core/vps-checks.ts';
import { whenSettled } from '../../core/when-settled.ts';
import { applyNames } from './apply.ts';
import { chooseMode } from './choose.ts';
import { createSystemRecords, type NamingRecord } from './record.ts';
import { makeRoom } from './room.ts';

const HOUR_MS = 3_600_000;

/** What {@link createSystems} needs. */
export interface SystemsOptions {
  readonly config: Pick<Config, 'state_dir' | 'reinstall_mode' | 'reinstall_keep_hours'>;
  readonly hypervisor: Hypervisor;
  readonly disks: Readonly<Record<ImageType, DiskStore>>;
  readonly guests: GuestConfigStore;
  readonly locks: VpsLocks;
  readonly log: Pick<Logger, 'info' | 'warn'>;
  readonly now?: () => Date;
}

/** Makes {@link Systems} over both kinds of disks, with its records in `state_dir/states`. */
export function createSystems(options: SystemsOptions): Systems {
  const { config, hypervisor, disks, guests, locks, log, now = () => new Date() } = options;
  const records = createSystemRecords(join(config.state_dir, 'states'));
  const keep_ms = config.reinstall_keep_hours * HOUR_MS;

  /** The kind of disks on which the VPS has an old system. */
  async function storeOfOld(vps: VpsId): Promise<DiskStore | undefined> {
    for (const store of [disks.lvm, disks.vbd]) {
      if ((await findIfThere(store, vps)) && (await store.roots(vps)).old) return store;
    }
    return undefined;
  }

  async function dropOld(store: DiskStore, vps: VpsId, why: string): Promise<string> {
    await store.removeRoot(vps, 'old');
    await records.old.write(vps, { state: 'gone', at: now().toISOString(), why });
    const told = `The old system of ${vps.name} was deleted: ${why}.`;
    log.info({ vps: vps.name }, told);
    return told;
  }

  /** Since when the old system is kept; one that nobody noted is kept from now on. */
  async function keptSince(vps: VpsId): Promise<number> {
    const noted = await records.old.read(vps);
    if (noted?.state === 'kept') return Date.parse(noted.since);
    const config = (await guests.read(vps)) ?? null;
    await records.old.write(vps, { state: 'kept', since: now().toISOString(), config });
    return now().getTime();
  }

  async function apply(vps: VpsId, record: NamingRecord): Promise<string> {
    const store = disks[record.type];
    const exchanged = await applyNames({ hypervisor, store, guests, records }, vps, record);
    if (exchanged) return `The new system of ${vps.name} is in its place.`;
    const told = `The new system of ${vps.name} is gone, and the old one stays: somebody removed its disk.`;
    log.warn({ vps: vps.name }, told);
    return told;
  }

  async function begun(vps: VpsId, type: ImageType): Promise<void> {
    await records.names.write(vps, { phase: 'building', type });
    await disks[type].removeRoot(vps, 'new');
  }

  return {
    choose: (vps, type) => chooseMode({ config, store: disks[type], guests }, vps),

    async begin(vps, type, { old_goes_first }, base) {
      await begun(vps, type);
      if (old_goes_first) await dropOld(disks[type], vps, 'another reinstall needed its room');
      return disks[type].createNew(vps, base);
    },

    async approve(vps, { type, config: fresh_config, job }) {
      const { current, new: fresh, old } = await disks[type].roots(vps);
      if (!fresh) throw new AgentError('disks_missing', `The disk of the new system of ${vps.name} is gone.`);
      await records.names.write(vps, {
        ...{ phase: 'naming', type, job },
        current: fresh.identity,
        ...(current && { old: current.identity }),
        remove: old ? [old.identity] : [],
        config: fresh_config,
        old_config: (await guests.read(vps)) ?? null,
      });
    },

    async settle(vps) {
      const record = await records.names.read(vps);
      if (!record) return undefined;
      if (record.phase === 'naming') return apply(vps, record);
      await disks[record.type].removeRoot(vps, 'new');
      await records.names.remove(vps);
      return `The unfinished new system of ${vps.name} was deleted; the one that is there is as it was.`;
    },

    async rollback(vps) {
      const cannot = 'cannot be rolled back';
      const noted = await records.old.read(vps);
      const store = await storeOfOld(vps);
      if (!store) {
        const why =
          noted?.state === 'gone'
            ? `the last one was deleted on ${noted.at}: ${noted.why}`
            : 'it has never had one';
        throw new AgentError('not_found', `${vps.name} ${cannot}: it has no old system; ${why}.`);
      }
      await requireStopped(hypervisor, vps, cannot);
      const { current, old } = await whenSettled(
        () => store.roots(vps),
        (roots) => [roots.current, roots.old].some((disk) => disk?.in_use),
      );
      for (const disk of [current, old]) {
        if (!disk?.in_use) continue;
        throw new AgentError(
          'disks_in_use',
          `${vps.name} ${cannot}: its disk ${disk.path} is open on the node; see what holds it with lsof or findmnt.`,
        );
      }
      if (!old) throw new AgentError('not_found', `${vps.name} ${cannot}: its old system has just gone.`);
      const config_now = (await guests.read(vps)) ?? null;
      const record: NamingRecord = {
        phase: 'naming',
        type: store.type,
        current: old.identity,
        ...(current && { old: current.identity }),
        remove: [],
        config: noted?.state === 'kept' ? noted.config : config_now,
        old_config: config_now,
      };
      await records.names.write(vps, record);
      await apply(vps, record);
    },

    async dropExpired(vps) {
      const store = await storeOfOld(vps);
      if (!store || now().getTime() - (await keptSince(vps)) < keep_ms) return undefined;
      return dropOld(store, vps, `its time was over (reinstall_keep_hours = ${config.reinstall_keep_hours})`);
    },

    makeRoom: (type, needed_bytes, wanted_for) =>
      makeRoom({ store: disks[type], locks, keptSince, dropOld, log }, needed_bytes, wanted_for),

    async forget(vps) {
      await records.names.remove(vps);
      await records.old.remove(vps);
    },
  };
}
