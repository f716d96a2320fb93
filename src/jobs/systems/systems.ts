import { join } from 'node:path';
import type { Logger } from 'pino';
import type { Config } from '../../config/schema.ts';
import { AgentError } from '../../core/errors.ts';
import type { GuestConfigStore } from '../../core/guest-configs.ts';
import type { DiskStore, Hypervisor, ImageType, VpsLocks } from '../../core/ports.ts';
import type { SteadyClock } from '../../core/steady-clock.ts';
import type { Systems } from '../../core/systems.ts';
import type { VpsId } from '../../core/vps.ts';
import { findIfThere, requireStopped } from '../../core/vps-checks.ts';
import { applyNames, requireStore } from './apply.ts';
import { chooseMode } from './choose.ts';
import { createOldSystems, type OldSystems } from './old-system.ts';
import { type BuildingRecord, createSystemRecords, halfDeleted, type NamingRecord } from './record.ts';
import { makeRoom } from './room.ts';

const HOUR_S = 3_600;

/** What {@link createSystems} needs. */
export interface SystemsOptions {
  readonly config: Pick<Config, 'state_dir' | 'reinstall_mode' | 'reinstall_keep_hours'>;
  readonly hypervisor: Pick<Hypervisor, 'presence' | 'leaveStopped'>;
  readonly disks: Readonly<Record<ImageType, DiskStore>>;
  readonly guests: GuestConfigStore;
  readonly locks: VpsLocks;
  readonly clock: Pick<SteadyClock, 'now_s'>;
  readonly log: Pick<Logger, 'info' | 'warn'>;
  readonly now?: () => Date;
}

/** Makes {@link Systems} over both kinds of disks, with its records in `state_dir/states`. */
export function createSystems(options: SystemsOptions): Systems {
  const { config, hypervisor, disks, guests, locks, clock, log, now = () => new Date() } = options;
  const records = createSystemRecords(join(config.state_dir, 'states'));
  const olds: OldSystems = createOldSystems({ guests, records, clock, log, now });
  const keep_s = config.reinstall_keep_hours * HOUR_S;

  /** The kind of disks on which the VPS has an old system. Error: `store_away` where it may be in a place that is not there. */
  async function storeOfOld(vps: VpsId): Promise<DiskStore | undefined> {
    let away: AgentError | undefined;
    for (const store of [disks.lvm, disks.vbd]) {
      try {
        if ((await findIfThere(store, vps)) && (await store.roots(vps)).old) return store;
      } catch (error) {
        if (!(error instanceof AgentError && error.code === 'store_away')) throw error;
        away = error;
      }
    }
    if (away) throw away;
    return undefined;
  }

  /** One exchange after the other: what was told as installed is not forgotten for the next order. */
  async function requireNoExchange(vps: VpsId): Promise<void> {
    if ((await records.names.read(vps))?.phase !== 'naming') return;
    throw new AgentError(
      'vps_busy',
      `${vps.name} is busy: the system that its last reinstall or rollback named has still to take its place, which is tried every half minute; the log says what stands in the way.`,
    );
  }

  /** The configuration goes first: where it is there, nothing has gone. */
  async function dropDeletion(vps: VpsId): Promise<string | undefined> {
    if (!(await guests.exists(vps))) return undefined;
    await stopDeletion(vps);
    const told = `A killVPS of ${vps.name} was cut off before it deleted anything: ${vps.name} is as it was.`;
    return [told, await settle(vps)].filter((sentence) => sentence !== undefined).join(' ');
  }

  async function settle(vps: VpsId): Promise<string | undefined> {
    const record = await records.names.read(vps);
    switch (record?.phase) {
      case undefined:
        return undefined;
      case 'building':
        return dropUnfinished(vps, record);
      case 'naming':
        return apply(vps, record);
      case 'deleting':
        return dropDeletion(vps);
    }
  }

  async function stopDeletion(vps: VpsId): Promise<void> {
    const record = await records.names.read(vps);
    if (record?.phase !== 'deleting') return;
    if (record.before) await records.names.write(vps, record.before);
    else await records.names.remove(vps);
  }

  async function apply(vps: VpsId, record: NamingRecord): Promise<string> {
    const store = disks[record.type];
    await records.names.sync(vps);
    const { exchanged, old } = await applyNames({ hypervisor, locks, store, guests }, vps, record);
    if (old) await olds.keep(vps, old, record.old_config);
    await records.names.remove(vps);
    if (exchanged) return `The new system of ${vps.name} is in its place.`;
    const told = `The new system of ${vps.name} is gone, and the old one stays: somebody removed its disk.`;
    log.warn({ vps: vps.name }, told);
    return told;
  }

  async function dropUnfinished(vps: VpsId, { type, store }: BuildingRecord): Promise<string> {
    await requireStore(disks[type], vps, store);
    await disks[type].mendNames(vps);
    const { current, new: fresh } = await disks[type].roots(vps);
    if (current) await disks[type].removeRoot(vps, 'new');
    await records.names.remove(vps);
    return current || !fresh
      ? `The unfinished new system of ${vps.name} was deleted; the one that is there is as it was.`
      : `${vps.name} has no root disk; its unfinished new system, ${fresh.path}, was left where it is.`;
  }

  return {
    async choose(vps, type) {
      await requireNoExchange(vps);
      return chooseMode({ config, store: disks[type], guests }, vps);
    },

    async begin(vps, type, { old_goes_first }, base) {
      await requireNoExchange(vps);
      const store = disks[type];
      await records.names.write(vps, { phase: 'building', type, store: await store.identify() });
      await store.removeRoot(vps, 'new');
      if (old_goes_first) {
        const reused = await olds.reuse(store, vps, 'another reinstall needed its room');
        if (reused) return reused;
      }
      return store.createNew(vps, base);
    },

    async approve(vps, { type, config: fresh_config, job }) {
      const { current, new: fresh, old } = await disks[type].roots(vps);
      if (fresh?.identity === undefined)
        throw new AgentError('disks_missing', `The disk of the new system of ${vps.name} is gone.`);
      await olds.isRoot(vps, current);
      await records.names.write(vps, {
        ...{ phase: 'naming', type, job, store: await disks[type].identify() },
        current: fresh.identity,
        ...(current?.identity !== undefined && { old: current.identity }),
        remove: old?.identity === undefined ? [] : [old.identity],
        config: fresh_config,
        old_config: (await guests.read(vps)) ?? null,
      });
    },

    settle,

    async rollback(vps) {
      const cannot = 'cannot be rolled back';
      await requireNoExchange(vps);
      const store = await storeOfOld(vps);
      if (!store) {
        const last = await records.old.read(vps);
        const why =
          last?.state === 'gone'
            ? `the last one was deleted on ${last.at}: ${last.why}`
            : 'it has never had one';
        throw new AgentError('not_found', `${vps.name} ${cannot}: it has no old system; ${why}.`);
      }
      await requireStopped(hypervisor, vps, cannot);
      const roots = await store.roots(vps);
      const { current, old } = roots;
      if (old?.identity === undefined)
        throw new AgentError('not_found', `${vps.name} ${cannot}: its old system has just gone.`);
      if (!(await store.hasContent(old)))
        throw new AgentError(
          'not_found',
          `${vps.name} ${cannot}: there is nothing that blkid knows on ${old.path}, and so no system. Nothing was touched.`,
        );
      const config_now = (await guests.read(vps)) ?? null;
      const record: NamingRecord = {
        ...{ phase: 'naming', type: store.type, store: await store.identify() },
        current: old.identity,
        ...(current?.identity !== undefined && { old: current.identity }),
        remove: [],
        config: await olds.config(vps, roots),
        old_config: config_now,
      };
      await hypervisor.leaveStopped(vps);
      await olds.isRoot(vps, current);
      await records.names.write(vps, record);
      try {
        await apply(vps, record);
      } catch (error) {
        if ((await withdraw(vps, store, record)) || !(error instanceof AgentError)) throw error;
        throw new AgentError(
          error.code,
          `${error.message.replace(/\.$/, '')}. What was begun is noted, and tried again every half minute; the log says what stands in the way.`,
          { cause: error, ...(error.log && { log: error.log }) },
        );
      }
    },

    async dropExpired(vps) {
      const store = await storeOfOld(vps);
      const roots = store ? await store.roots(vps) : {};
      const { old } = roots;
      // While something is begun, which configuration goes with what is still open.
      if (!store || !old || (await records.names.read(vps))) return undefined;
      await olds.keep(vps, old, await olds.config(vps, roots));
      if ((await olds.age_s(vps, old)) < keep_s) return undefined;
      const spared = await olds.spared(store, vps);
      if (spared !== undefined) {
        log.warn({ vps: vps.name }, spared);
        return undefined;
      }
      return olds.drop(
        store,
        vps,
        `its time was over (reinstall_keep_hours = ${config.reinstall_keep_hours})`,
      );
    },

    makeRoom: (type, needed_bytes, wanted_for) =>
      makeRoom({ store: disks[type], locks, olds, log }, needed_bytes, wanted_for),

    async requireWhole(vps) {
      if ((await records.names.read(vps))?.phase === 'deleting')
        throw new AgentError('vps_busy', halfDeleted(vps));
    },

    async beginDeletion(vps) {
      try {
        const before = (await records.names.read(vps)) ?? null;
        if (before?.phase === 'deleting') await records.names.sync(vps);
        else await records.names.write(vps, { phase: 'deleting', before });
      } catch (error) {
        // Deleting is how room is made, and how one gets rid of a record that is damaged: neither keeps anybody from it.
        const { code = '', message } = error as NodeJS.ErrnoException;
        if (!['ENOSPC', 'EDQUOT', 'record_damaged'].includes(code)) throw error;
        log.warn({ vps: vps.name }, `That ${vps.name} is being deleted cannot be noted: ${message}`);
      }
    },

    stopDeletion,

    async forget(vps) {
      await records.old.remove(vps);
      await records.names.remove(vps);
      await records.removeFolder(vps);
    },
  };

  /** A rollback that could not begin is told as failed: nobody is to find it done half an hour later. False where it had begun. */
  async function withdraw(vps: VpsId, store: DiskStore, record: NamingRecord): Promise<boolean> {
    try {
      const { current, passing } = await store.roots(vps);
      const unmoved = !passing && current?.identity !== undefined && current.identity === record.old;
      const config = (await guests.read(vps)) ?? null;
      if (!unmoved || JSON.stringify(config) !== JSON.stringify(record.old_config)) return false;
      await records.names.remove(vps);
      return true;
    } catch (error) {
      if (!(error instanceof AgentError)) throw error;
      log.warn({ vps: vps.name, code: error.code }, error.message);
      return false;
    }
  }
}
