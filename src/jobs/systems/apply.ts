import { AgentError } from '../../core/errors.ts';
import type { GuestConfigStore, GuestFile } from '../../core/guest-configs.ts';
import type { DiskStore, Hypervisor, RootDisk, RootDisks, VpsLocks } from '../../core/ports.ts';
import type { VpsId } from '../../core/vps.ts';
import { whileStopped, whileUnconfigured } from '../../core/vps-checks.ts';
import { whenSettled } from '../../core/when-settled.ts';
import { nextMove, type Places } from './moves.ts';
import type { NamingRecord } from './record.ts';

/** What giving disks their names reaches. */
export interface ApplyDeps {
  readonly hypervisor: Pick<Hypervisor, 'presence'>;
  readonly locks: VpsLocks;
  readonly store: DiskStore;
  readonly guests: GuestConfigStore;
}

/** How an exchange ended. */
export interface Applied {
  /** Whether the wanted system is in its place; false: the old one stays, since somebody removed the disk of the other. */
  readonly exchanged: boolean;
  /** The disk that is the old system now, if there is one. */
  readonly old: RootDisk | undefined;
}

const CANNOT = 'waits for its systems to be exchanged';

/** A disk without an identity is known to nobody. */
const placesOf = (disks: RootDisks): Places =>
  Object.fromEntries(
    Object.entries(disks).map(([role, { identity }]) => [role, identity ?? `a stranger (${role})`]),
  );

const sameFile = (a: GuestFile | undefined, b: GuestFile | null) =>
  JSON.stringify(a ?? null) === JSON.stringify(b);

/** Makes sure that what a record speaks of is there to be seen: that a disk is not seen proves nothing elsewhere. */
export async function requireStore(store: DiskStore, vps: VpsId, noted: string): Promise<void> {
  const seen = await store.identify();
  if (seen === noted) return;
  throw new AgentError(
    'store_away',
    `${vps.name} ${CANNOT}: its disks were in another place (${noted}) than the one that is there now (${seen}). Nothing was touched.`,
  );
}

/** The root disks, of which nothing on the node has one open. */
async function idleRoots(store: DiskStore, vps: VpsId): Promise<RootDisks> {
  const disks = await whenSettled(
    () => store.roots(vps),
    (found) => Object.values(found).some(({ in_use }) => in_use),
  );
  for (const disk of Object.values(disks)) {
    if (!disk.in_use) continue;
    throw new AgentError(
      'disks_in_use',
      `${vps.name} ${CANNOT}: its disk ${disk.path} is open on the node; see what holds it with lsof or findmnt.`,
    );
  }
  return disks;
}

/** Makes sure that no disk which nobody knows is in a place that is needed. */
function requireKnown(vps: VpsId, places: Places, known: readonly (string | undefined)[]): void {
  for (const role of ['current', 'old', 'passing'] as const) {
    if (places[role] === undefined || known.includes(places[role])) continue;
    throw new AgentError(
      'program_failed',
      `The systems of ${vps.name} cannot be exchanged: its disk in the role ${role} is one that nobody knows (a copy is another disk, too); rename or remove it by hand.`,
      { log: { places, known } },
    );
  }
}

/** The names as they are to be, and what goes. */
interface Wanted {
  readonly places: Places;
  readonly remove: readonly string[];
}

/** What is wanted where the new system is gone: the one before it stays, and so does an older one that was to go for it. */
function without({ remove }: NamingRecord, places: Places, old: string | undefined): Wanted {
  const older = remove.find((identity) => identity === places.old);
  return { places: { ...(old && { current: old }), ...(older && { old: older }) }, remove: [] };
}

/**
 * Removes the disks that are to go, and gives the others their names. What is where is looked up once, before: under the
 * VPS's lock nobody else moves them, and each look would ask Xen and LVM anew.
 *
 * @throws AgentError disks_missing where a disk that is wanted is not there any more (copies of a folder were mounted in its place)
 */
async function exchange(
  store: DiskStore,
  vps: VpsId,
  disks: RootDisks,
  wanted: Wanted,
  onBegin: () => void,
): Promise<void> {
  let places = placesOf(disks);
  const missing = Object.values(wanted.places).filter((disk) => !Object.values(places).includes(disk));
  if (missing.length > 0) {
    throw new AgentError(
      'disks_missing',
      `${vps.name} ${CANNOT}, and a disk of it has just gone. Nothing was touched: the log says what is there, and this is tried again.`,
      { log: { places, wanted } },
    );
  }
  onBegin();
  places = {};
  for (const [role, identity] of Object.entries(placesOf(disks))) {
    if (wanted.remove.includes(identity)) await store.removeRoot(vps, role as keyof RootDisks);
    else places = { ...places, [role]: identity };
  }
  for (let move = nextMove(places, wanted.places); move; move = nextMove(places, wanted.places)) {
    await store.renameRoot(vps, move.from, move.to);
    const { [move.from]: moved, ...others } = places;
    places = { ...others, ...(moved !== undefined && { [move.to]: moved }) };
  }
}

/**
 * Makes the node as a record says, from whatever is there of it: after a crash at any instant it is called again and goes on. Where
 * the disk that is to be the root has gone (an admin removed it), the old system stays what it was, and an older one with it; where
 * neither is there, nothing is done. The record is the caller's to remove.
 *
 * @throws AgentError vps_running, vps_saved, vps_busy, disks_in_use, disks_missing, store_away: nothing was touched; program_*
 */
export async function applyNames(deps: ApplyDeps, vps: VpsId, record: NamingRecord): Promise<Applied> {
  const { store, guests } = deps;
  await requireStore(store, vps, record.store);
  await store.mendNames(vps);
  const places = placesOf(await store.roots(vps));
  const there = (identity: string | undefined) =>
    identity !== undefined && Object.values(places).includes(identity) ? identity : undefined;
  const current = there(record.current);
  const old = there(record.old);
  if (current === undefined && old === undefined) {
    throw new AgentError(
      'disks_missing',
      `${vps.name} ${CANNOT}, and none of its disks is there that it is about. Nothing was touched: bring them back, or delete what is left with killVPS.`,
      { log: { places, record } },
    );
  }
  const wanted =
    current === undefined
      ? without(record, places, old)
      : {
          places: { current, ...(old && { old }) },
          remove: record.remove.filter((identity) => there(identity) !== undefined),
        };
  const config = current === undefined ? record.old_config : record.config;

  const done =
    wanted.remove.length === 0 &&
    wanted.places.current === places.current &&
    wanted.places.old === places.old;
  const as_wanted = done && sameFile(await guests.read(vps), config);
  if (!as_wanted) {
    requireKnown(vps, places, [current, old, ...record.remove]);
    await whileStopped(deps, vps, CANNOT, async () => {
      await idleRoots(store, vps);
      let is_begun = false;
      const onBegin = () => {
        is_begun = true;
      };
      const before = await guests.read(vps);
      await whileUnconfigured(deps, vps, CANNOT, {
        config: before ?? record.old_config ?? undefined,
        work: async () => exchange(store, vps, await idleRoots(store, vps), wanted, onBegin),
        async untouched() {
          if (!is_begun && before) return true;
          const found = (await store.roots(vps)).current?.identity;
          return found !== undefined && found === record.old;
        },
      });
    });
  }
  // Where they are as wanted, it may be that the one who named them did not come to this.
  await store.flush(vps);
  if (!as_wanted) await guests.put(vps, config ?? undefined);
  const now = await store.roots(vps);
  return {
    exchanged: current !== undefined,
    old: current === undefined || old === undefined ? undefined : now.old,
  };
}
