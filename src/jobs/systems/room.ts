import type { Logger } from 'pino';
import type { DiskStore, VpsLocks } from '../../core/ports.ts';
import type { VpsId } from '../../core/vps.ts';
import { ifUnlocked } from './unlocked.ts';

const MIB = 1024 * 1024;

/** What making room reaches. */
export interface RoomDeps {
  readonly store: DiskStore;
  readonly locks: VpsLocks;
  readonly log: Pick<Logger, 'info' | 'warn'>;
  /** Since when a VPS's old system is kept, in ms since 1970. */
  readonly keptSince: (vps: VpsId) => Promise<number>;
  readonly dropOld: (store: DiskStore, vps: VpsId, why: string) => Promise<string>;
}

/**
 * Deletes old systems, the oldest first, until there is this much room; none where all of them would not give it. Those of
 * VPSes that somebody is at work on stay.
 */
export async function makeRoom(deps: RoomDeps, needed_bytes: number, wanted_for: VpsId): Promise<void> {
  const { store, locks, keptSince, dropOld, log } = deps;
  const lacking = async () => needed_bytes - (await store.free_mib()) * MIB;
  if ((await lacking()) <= 0) return;

  const candidates: { vps: VpsId; since: number; size_bytes: number }[] = [];
  for (const vps of await store.withRoot('old')) {
    const { old } = await store.roots(vps);
    if (old?.frees_room && !old.in_use) {
      candidates.push({ vps, since: await keptSince(vps), size_bytes: old.size_bytes });
    }
  }
  const room_bytes = candidates.reduce((sum, { size_bytes }) => sum + size_bytes, 0);
  if (room_bytes < (await lacking())) return;

  candidates.sort((a, b) => a.since - b.since);
  for (const { vps } of candidates) {
    if ((await lacking()) <= 0) return;
    const why = `the disks of ${wanted_for.name} needed its room`;
    // The VPS that wants the room is locked by its caller already.
    if (vps.name === wanted_for.name) await dropOld(store, vps, why);
    else
      await ifUnlocked(locks, vps, `making room for ${wanted_for.name}`, log, () => dropOld(store, vps, why));
  }
}
