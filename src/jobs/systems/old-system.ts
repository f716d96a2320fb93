import type { Logger } from 'pino';
import type { GuestConfigStore } from '../../core/guest-configs.ts';
import type { DiskStore, RootDisk, RootDisks } from '../../core/ports.ts';
import type { SteadyClock } from '../../core/steady-clock.ts';
import type { VpsId } from '../../core/vps.ts';
import type { KeptRecord, SystemRecords } from './record.ts';

/** What looking after old systems reaches. */
export interface OldSystemDeps {
  readonly guests: Pick<GuestConfigStore, 'read' | 'exists'>;
  readonly records: SystemRecords;
  readonly clock: Pick<SteadyClock, 'now_s'>;
  readonly log: Pick<Logger, 'info' | 'warn'>;
  readonly now: () => Date;
}

/** The systems that were there before: how long they are kept, and how they go. The caller holds the VPS's lock but for `age_s`. */
export interface OldSystems {
  /** How long the old system on this disk has been seen to be kept; 0 where nobody noted that it is. */
  age_s(vps: VpsId, disk: RootDisk): Promise<number>;
  /**
   * The configuration that goes with the old system: the one that was noted with it; where nothing is noted of it, the VPS's own. A
   * note of a disk that is nowhere to be seen is of this one, too: a copy of an image file is another disk, with the same system.
   */
  config(vps: VpsId, disks: RootDisks): Promise<KeptRecord['config']>;
  /** Forgets what is noted of a disk that was an old system's and is the VPS's root again: its hours begin anew when it is old. */
  isRoot(vps: VpsId, disk: RootDisk | undefined): Promise<void>;
  /** Notes that the old system on a disk is kept from now on; one that is noted already keeps its time. */
  keep(vps: VpsId, disk: RootDisk, config: KeptRecord['config']): Promise<void>;
  /** Deletes it, and notes why. Returns what was done, in a sentence. */
  drop(store: DiskStore, vps: VpsId, why: string): Promise<string>;
  /**
   * Deletes it to make another system in its room. One whose disk would have to be overwritten first becomes the disk of that
   * system, with what is on it, and is returned.
   */
  reuse(store: DiskStore, vps: VpsId, why: string): Promise<RootDisk | undefined>;
  /**
   * Why it may not be deleted but by an order, in a sentence: something is begun with the VPS's systems, or it may be the only whole
   * one, since there is no root, nothing on it, or no configuration.
   */
  spared(store: DiskStore, vps: VpsId): Promise<string | undefined>;
}

/** Makes {@link OldSystems}. */
export function createOldSystems({ guests, records, clock, log, now }: OldSystemDeps): OldSystems {
  /** What is noted of the old system on this disk; undefined where nothing is, or it is another disk's. */
  async function noted(vps: VpsId, disk: RootDisk): Promise<KeptRecord | undefined> {
    const record = await records.old.read(vps);
    return record?.state === 'kept' && record.disk === disk.identity ? record : undefined;
  }

  async function gone(vps: VpsId, why: string): Promise<string> {
    await records.old.write(vps, { state: 'gone', at: now().toISOString(), why });
    const told = `The old system of ${vps.name} was deleted: ${why}.`;
    log.info({ vps: vps.name }, told);
    return told;
  }

  return {
    async age_s(vps, disk) {
      const record = await noted(vps, disk);
      // Where the clock's own note was lost, what is kept is kept longer.
      return record ? Math.max(0, (await clock.now_s()) - record.since_s) : 0;
    },

    async config(vps, { old: _, ...others }) {
      const record = await records.old.read(vps);
      const kept = record?.state === 'kept' ? record : undefined;
      const elsewhere = Object.values(others).some(({ identity }) => identity === kept?.disk);
      return kept && !elsewhere ? kept.config : ((await guests.read(vps)) ?? null);
    },

    async isRoot(vps, disk) {
      if (disk && (await noted(vps, disk))) await records.old.remove(vps);
    },

    async keep(vps, disk, config) {
      const now_s = await clock.now_s();
      const record = await noted(vps, disk);
      if (disk.identity === undefined || (record && record.since_s <= now_s)) return;
      await records.old.write(vps, {
        ...{ state: 'kept', disk: disk.identity, since: now().toISOString(), since_s: now_s },
        config,
      });
    },

    async drop(store, vps, why) {
      await store.removeRoot(vps, 'old');
      return gone(vps, why);
    },

    async reuse(store, vps, why) {
      const { old } = await store.roots(vps);
      if (old?.is_wiped) await store.reuseOld(vps);
      else await store.removeRoot(vps, 'old');
      await gone(vps, why);
      return (await store.roots(vps)).new;
    },

    async spared(store, vps) {
      const stays = `The old system of ${vps.name} was not deleted:`;
      if (await records.names.read(vps)) return `${stays} its systems are being exchanged.`;
      const back = 'rollbackVPSos puts it in its place';
      const { current } = await store.roots(vps);
      if (!current) return `${stays} it is all that ${vps.name} has. ${back}.`;
      if (!(await guests.exists(vps)))
        return `${stays} ${vps.name} has no configuration, so its root holds no whole system, as after a reinstall in place that failed. ${back}; a reinstall that succeeds lets it go.`;
      if (!(await store.hasContent(current)))
        return `${stays} there is nothing that blkid knows on ${current.path}, so it may be all that ${vps.name} has. ${back}; where a guest does keep its system there, delete the old one by hand.`;
      return undefined;
    },
  };
}
