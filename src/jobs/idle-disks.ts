import type { DiskStore, Hypervisor, ImageType, VpsLocks } from '../core/ports.ts';
import type { VpsId } from '../core/vps.ts';
import { requireBothDisks, requireStopped, requireUnused } from '../core/vps-checks.ts';

/** What looking at a VPS's disks reaches. */
export interface IdleDisksDeps {
  readonly hypervisor: Pick<Hypervisor, 'presence'>;
  readonly locks: VpsLocks;
  readonly disks: Readonly<Record<ImageType, DiskStore>>;
}

/** Paths of both disks of a VPS that nothing uses. */
export interface IdleDisks {
  readonly type: ImageType;
  readonly root: string;
  readonly swap: string;
  readonly root_bytes: number;
}

/**
 * The disks of a VPS, once it is sure that nothing uses them: no domain of that name in any state, no disk open. Called by
 * a job under the VPS's lock, immediately before it changes them.
 *
 * @throws AgentError vps_running, vps_saved, vps_busy, disks_missing, store_away, disks_in_use
 */
export async function idleDisks(
  { hypervisor, disks }: Pick<IdleDisksDeps, 'hypervisor' | 'disks'>,
  vps: VpsId,
  type: ImageType,
  cannot: string,
): Promise<IdleDisks> {
  const found = await requireBothDisks(disks, vps, type, cannot);
  await requireUnused(disks[found.type], vps, cannot, found);
  await requireStopped(hypervisor, vps, cannot);
  return { type, root: found.root.path, swap: found.swap.path, root_bytes: found.root.size_bytes };
}
