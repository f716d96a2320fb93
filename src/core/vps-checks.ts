import { AgentError } from './errors.ts';
import type { Disk, DiskStore, GuestCounters, Hypervisor, ImageType, Samples, VpsDisks } from './ports.ts';
import { domainPhase, type VpsId } from './vps.ts';
import { whenSettled } from './when-settled.ts';

/** What an admin does about a domain that is there, by its phase. */
const ADVICE = {
  building: 'it is being started',
  running: 'shut it down first',
  paused: 'it is paused; shut it down or destroy it first',
  stopping: 'it is being shut down; try again in a moment',
  preserved: 'it has shut down but is kept by its configuration; destroy it first',
  crashed: 'it has crashed and is kept by its configuration; destroy it first',
} as const;

/**
 * Makes sure that Xen lists no domain of the VPS in any state. Linux lets mount, mkfs and fsck loose on a volume that a
 * guest uses, so this is called under the VPS's lock, immediately before the change.
 *
 * @throws AgentError vps_running
 */
export async function requireStopped(hypervisor: Hypervisor, vps: VpsId, cannot: string): Promise<void> {
  const domain = await hypervisor.find(vps);
  if (!domain) return;
  throw new AgentError(
    'vps_running',
    `${vps.name} ${cannot}: Xen has it as domain ${domain.domid}, state ${domain.state}: ${ADVICE[domainPhase(domain)]}.`,
  );
}

/**
 * Finds the one kind of disks that a VPS has: the asked-for one, else whichever there is.
 *
 * @throws AgentError disks_missing; invalid_value where it has both kinds and none was asked for
 */
export async function requireDisks(
  stores: Readonly<Record<ImageType, DiskStore>>,
  vps: VpsId,
  asked: ImageType | undefined,
): Promise<VpsDisks> {
  if (asked) {
    const disks = await stores[asked].find(vps);
    if (disks.root) return disks;
    throw new AgentError(
      'disks_missing',
      `${vps.name} has no ${asked} disks; make them with setupLVMDisks first.`,
    );
  }
  const files = await stores.vbd.find(vps);
  let unseen = '';
  const volumes = await findIfThere(stores.lvm, vps, ({ message }) => {
    unseen = ` Volumes were not looked for: ${message}`;
  });
  if (files.root && volumes?.root) {
    throw new AgentError(
      'invalid_value',
      `${vps.name} has both lvm and vbd disks; say which with imagetype.`,
    );
  }
  if (volumes?.root) return volumes;
  if (files.root) return files;
  throw new AgentError(
    'disks_missing',
    `${vps.name} has no disks; make them with setupLVMDisks first.${unseen}`,
  );
}

/**
 * A store's disks; undefined where the node has no volume group that can be meant, since a node may live on image files
 * alone. `onAbsent` is told why.
 */
export async function findIfThere(
  store: DiskStore,
  vps: VpsId,
  onAbsent?: (why: AgentError) => void,
): Promise<VpsDisks | undefined> {
  try {
    return await store.find(vps);
  } catch (error) {
    if (
      error instanceof AgentError &&
      (error.code === 'no_volume_group' || error.code === 'program_missing')
    ) {
      onAbsent?.(error);
      return undefined;
    }
    throw error;
  }
}

/** Both disks of a VPS. */
export interface BothDisks extends VpsDisks {
  readonly root: Disk;
  readonly swap: Disk;
}

/**
 * {@link requireDisks}, of which neither may be missing.
 *
 * @throws AgentError disks_missing; invalid_value where it has both kinds and none was asked for
 */
export async function requireBothDisks(
  stores: Readonly<Record<ImageType, DiskStore>>,
  vps: VpsId,
  asked: ImageType | undefined,
  cannot: string,
): Promise<BothDisks> {
  const { type, root, swap } = await requireDisks(stores, vps, asked);
  if (root && swap) return { type, root, swap };
  throw new AgentError(
    'disks_missing',
    `${vps.name} ${cannot}: its ${root ? 'swap' : 'root'} disk is missing; make it with setupLVMDisks first.`,
  );
}

/**
 * Makes sure that nothing on the node holds the disks of a kind open. `seen` is what the store has told just now.
 *
 * @throws AgentError disks_in_use
 */
export async function requireUnused(
  store: DiskStore,
  vps: VpsId,
  cannot: string,
  seen?: VpsDisks,
): Promise<void> {
  const { root, swap } = await whenSettled(
    () => store.find(vps),
    (disks) => [disks.root, disks.swap].some((disk) => disk?.in_use),
    seen,
  );
  for (const disk of [root, swap]) {
    if (disk?.in_use) {
      throw new AgentError(
        'disks_in_use',
        `${vps.name} ${cannot}: its disk ${disk.path} is open on the node; see what holds it with lsof or findmnt.`,
      );
    }
  }
}

/**
 * A running VPS's counters.
 *
 * @throws AgentError vps_not_running
 */
export async function requireCounters(samples: Samples, vps: VpsId): Promise<GuestCounters> {
  const counters = await samples.counters(vps);
  if (counters) return counters;
  throw new AgentError('vps_not_running', `${vps.name} is not running: Xen has no counters of it.`);
}
