import type { Config } from '../config/schema.ts';
import { AgentError, type ErrorCode } from './errors.ts';
import type { GuestConfigStore, GuestFile } from './guest-configs.ts';
import { holding } from './held-locks.ts';
import type {
  Disk,
  DiskStore,
  GuestCounters,
  Hypervisor,
  ImageType,
  Samples,
  VpsDisks,
  VpsLocks,
} from './ports.ts';
import type { GuestPresence } from './presence.ts';
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

/** Why a VPS is not stopped, as the end of a sentence with what to do; undefined where it is. */
function notStopped(presence: GuestPresence): { code: ErrorCode; told: string } | undefined {
  switch (presence.kind) {
    case 'domain': {
      const { domid, state } = presence.domain;
      const told = `Xen has it as domain ${domid}, state ${state}: ${ADVICE[domainPhase(presence.domain)]}`;
      return { code: 'vps_running', told };
    }
    case 'saved':
      return {
        code: 'vps_saved',
        told: `its memory is saved in ${presence.path}, and goes on with its disks as they are: start it (startVPS restores it), or let go of what it had not written (destroyVPS)`,
      };
    case 'starting':
      return {
        code: 'vps_running',
        told: `xl (process ${presence.pid}) is starting it, or it reboots itself: try again in a moment`,
      };
    case 'awaited':
      return {
        code: 'vps_busy',
        told: 'the node is starting or going down, and xendomains has still to start or save it: try again when systemctl status xendomains says that it is done',
      };
    case 'stopped':
      return undefined;
  }
}

/**
 * Makes sure that nothing runs the VPS, will go on with it, or is about to start it. Linux lets mount, mkfs and fsck loose on a
 * volume that a guest uses, so this is called under the VPS's lock, immediately before the change. What passes by itself (a
 * process of xl's that ends) is waited for, unless `patient` is false.
 *
 * @throws AgentError vps_running, vps_saved, vps_busy
 */
export async function requireStopped(
  hypervisor: Pick<Hypervisor, 'presence'>,
  vps: VpsId,
  cannot: string,
  { patient = true }: { readonly patient?: boolean } = {},
): Promise<void> {
  const look = () => hypervisor.presence(vps);
  const found = patient ? await whenSettled(look, ({ kind }) => kind === 'starting') : await look();
  const why = notStopped(found);
  if (why) throw new AgentError(why.code, `${vps.name} ${cannot}: ${why.told}.`);
}

/**
 * Works on the disks of a stopped VPS: whoever starts its guest meanwhile is refused (Xen's block script asks for the claim).
 * The first look spares a guest that only reboots itself the refusal. Errors: those of {@link requireStopped}, and the work's.
 */
export async function whileStopped<T>(
  { hypervisor, locks }: { readonly hypervisor: Pick<Hypervisor, 'presence'>; readonly locks: VpsLocks },
  vps: VpsId,
  cannot: string,
  work: () => Promise<T>,
): Promise<T> {
  await requireStopped(hypervisor, vps, cannot);
  const claim = await locks.claimDisks(vps, cannot);
  try {
    return await holding(claim, async () => {
      await requireStopped(hypervisor, vps, cannot, { patient: false });
      return work();
    });
  } finally {
    await claim.release();
  }
}

/** What {@link whileUnconfigured} does without a configuration, and what it leaves where that fails. */
export interface UnconfiguredWork<T> {
  readonly work: () => Promise<T>;
  /** Whether the disks are as they were, so that the configuration goes with them still. */
  readonly untouched: () => Promise<boolean>;
  /** What comes back then. */
  readonly config: GuestFile | undefined;
}

/**
 * Works on the disks of a stopped VPS while it has no configuration, so that nothing boots what is neither the one thing nor the other,
 * whatever dies. The configuration goes before the last look: who read it before has a process or a domain by then, and who comes
 * later finds none. Where the work fails and nothing was touched, it comes back; what cannot be seen then is seen at the next try.
 */
export async function whileUnconfigured<T>(
  {
    hypervisor,
    guests,
  }: {
    readonly hypervisor: Pick<Hypervisor, 'presence'>;
    readonly guests: Pick<GuestConfigStore, 'remove' | 'put'>;
  },
  vps: VpsId,
  cannot: string,
  { work, untouched, config }: UnconfiguredWork<T>,
): Promise<T> {
  await guests.remove(vps);
  try {
    await requireStopped(hypervisor, vps, cannot, { patient: false });
    return await work();
  } catch (error) {
    try {
      if (await untouched()) await guests.put(vps, config);
    } catch (unseen) {
      if (!(unseen instanceof AgentError)) throw unseen;
    }
    throw error;
  }
}

/**
 * Finds the one kind of disks that a VPS has: the asked-for one, else whichever there is.
 *
 * @throws AgentError disks_missing; store_away where they may be in a place that is not there; invalid_value where it has both
 *   kinds and none was asked for
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
  let unseen: AgentError | undefined;
  const look = (store: DiskStore) =>
    findIfThere(store, vps, (why) => {
      if (!unseen || why.code === 'store_away') unseen = why;
    }).catch((error) => {
      if (!(error instanceof AgentError && error.code === 'store_away')) throw error;
      unseen = error;
      return undefined;
    });
  const files = await look(stores.vbd);
  const volumes = await look(stores.lvm);
  if (files?.root && volumes?.root) {
    throw new AgentError(
      'invalid_value',
      `${vps.name} has both lvm and vbd disks; say which with imagetype.`,
    );
  }
  if (volumes?.root) return volumes;
  if (files?.root) return files;
  // What cannot be seen now is not to be made once more.
  if (unseen?.code === 'store_away') throw unseen;
  throw new AgentError(
    'disks_missing',
    `${vps.name} has no disks; make them with setupLVMDisks first.${unseen ? ` Volumes were not looked for: ${unseen.message}` : ''}`,
  );
}

/**
 * A store's disks; undefined where the node has never had a volume group that can be meant, since a node may live on image files
 * alone. `onAbsent` is told why.
 *
 * @throws AgentError store_away where there was one
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

/** Whether a store has anything of a VPS: disks, old or unfinished systems. */
export async function hasAnyDisk(store: DiskStore, vps: VpsId, { root, swap }: VpsDisks): Promise<boolean> {
  return root !== undefined || swap !== undefined || Object.keys(await store.roots(vps)).length > 0;
}

/**
 * Makes sure that a VPS which Xen does not have exists all the same: by a configuration, or by something on disks. Disks that cannot
 * be seen at the moment are no evidence that there are none.
 *
 * @throws AgentError not_found; store_away, or no_volume_group where the configured one is not there; `program_*`
 */
export async function requireExists(
  {
    disks,
    guests,
    config,
  }: {
    readonly disks: Readonly<Record<ImageType, DiskStore>>;
    readonly guests: Pick<GuestConfigStore, 'exists'>;
    readonly config: Pick<Config, 'provisioning_volgroup'>;
  },
  vps: VpsId,
): Promise<void> {
  if (await guests.exists(vps)) return;
  let unseen: AgentError | undefined;
  for (const store of [disks.vbd, disks.lvm]) {
    try {
      const found = await findIfThere(store, vps, (why) => {
        if (config.provisioning_volgroup !== '') unseen ??= why;
      });
      if (found && (await hasAnyDisk(store, vps, found))) return;
    } catch (error) {
      if (!(error instanceof AgentError)) throw error;
      unseen ??= error;
    }
  }
  if (unseen) {
    const told = `Whether ${vps.name} exists cannot be told: it has no configuration, and its disks cannot be looked for`;
    throw new AgentError(unseen.code, `${told}. ${unseen.message}`, { cause: unseen });
  }
  throw new AgentError(
    'not_found',
    `There is no ${vps.name} on this node: neither a domain, nor a configuration in /etc/xen, nor disks (lvm or vbd).`,
  );
}

/** The kind of disks that is to be deleted. */
export interface StoreToEmpty {
  readonly store: DiskStore;
  /** The kinds that were looked for to find it. */
  readonly looked_for: readonly ImageType[];
}

/**
 * Finds the kind of disks that is to be deleted: the one that the VPS has, old and unfinished systems among them; where it has none,
 * either does.
 *
 * @throws AgentError invalid_value where it has both kinds, or only the one that was not asked for; store_away
 */
export async function storeToEmpty(
  stores: Readonly<Record<ImageType, DiskStore>>,
  vps: VpsId,
  asked: ImageType | undefined,
): Promise<StoreToEmpty> {
  const usable: DiskStore[] = [];
  const having: DiskStore[] = [];
  for (const store of [stores.lvm, stores.vbd].filter(({ type }) => type !== asked)) {
    const found = await findIfThere(store, vps);
    if (!found) continue;
    usable.push(store);
    if (await hasAnyDisk(store, vps, found)) having.push(store);
  }
  if (asked === undefined && having.length > 1) {
    throw new AgentError(
      'invalid_value',
      `${vps.name} has both lvm and vbd disks; say which with imagetype. Nothing was touched.`,
    );
  }
  const [other] = having;
  if (asked !== undefined && other) {
    throw new AgentError(
      'invalid_value',
      `killVPS: ${vps.name} has ${other.type} disks, and imagetype is ${asked}; nothing was touched.`,
    );
  }
  if (asked) return { store: stores[asked], looked_for: [asked] };
  const store = having[0] ?? usable[0] ?? stores.vbd;
  return { store, looked_for: having[0] ? [store.type] : usable.map(({ type }) => type) };
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
    { seen },
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
