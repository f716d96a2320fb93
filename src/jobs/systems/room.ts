import type { Logger } from 'pino';
import type { DiskStore, VpsLocks } from '../../core/ports.ts';
import type { VpsId } from '../../core/vps.ts';
import type { OldSystems } from './old-system.ts';
import { ifUnlocked } from './unlocked.ts';

const MIB = 1024 * 1024;

/** What making room reaches. */
export interface RoomDeps {
  readonly store: DiskStore;
  readonly locks: VpsLocks;
  readonly log: Pick<Logger, 'info' | 'warn'>;
  readonly olds: OldSystems;
}

/**
 * Deletes old systems, the oldest first, until there is this much room, or it is on its way; none where all of them would not give
 * it. Those of VPSes that somebody is at work on stay.
 */
export async function makeRoom(deps: RoomDeps, needed_bytes: number, wanted_for: VpsId): Promise<void> {
  const { store, locks, olds, log } = deps;
  const lacking = async () => needed_bytes - ((await store.free_mib()) + (await store.waiting_mib())) * MIB;
  if ((await lacking()) <= 0) return;

  const candidates: { vps: VpsId; age_s: number; size_bytes: number }[] = [];
  for (const vps of await store.withRoot('old')) {
    const { old } = await store.roots(vps);
    if (old?.frees_room && !old.in_use && (await olds.spared(store, vps)) === undefined)
      candidates.push({ vps, age_s: await olds.age_s(vps, old), size_bytes: old.size_bytes });
  }
  const room_bytes = candidates.reduce((sum, { size_bytes }) => sum + size_bytes, 0);
  if (room_bytes < (await lacking())) return;

  candidates.sort((a, b) => b.age_s - a.age_s);
  for (const { vps } of candidates) {
    if ((await lacking()) <= 0) return;
    const why = `the disks of ${wanted_for.name} needed its room`;
    const drop = async () => {
      if ((await olds.spared(store, vps)) === undefined) await olds.drop(store, vps, why);
    };
    // The VPS that wants the room is locked by its caller already.
    if (vps.name === wanted_for.name) await drop();
    else await ifUnlocked(locks, vps, `making room for ${wanted_for.name}`, log, drop);
  }
}
