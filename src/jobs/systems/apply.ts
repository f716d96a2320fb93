import { AgentError } from '../../core/errors.ts';
import type { DiskStore, GuestConfigStore, GuestFile, Hypervisor, RootDisks } from '../../core/ports.ts';
import type { VpsId } from '../../core/vps.ts';
import { requireStopped } from '../../core/vps-checks.ts';
import { whenSettled } from '../../core/when-settled.ts';
import { nextMove, type Places } from './moves.ts';
import type { NamingRecord, SystemRecords } from './record.ts';

/** What giving disks their names reaches. */
export interface ApplyDeps {
  readonly hypervisor: Hypervisor;
  readonly store: DiskStore;
  readonly guests: GuestConfigStore;
  readonly records: SystemRecords;
}

const CANNOT = 'waits for its systems to be exchanged';

const placesOf = (disks: RootDisks): Places =>
  Object.fromEntries(Object.entries(disks).map(([role, { identity }]) => [role, identity]));

const sameFile = (a: GuestFile | undefined, b: GuestFile | null) =>
  JSON.stringify(a ?? null) === JSON.stringify(b);

/** Makes sure that nothing has a root disk of the VPS, and tells which there are. */
async function idleRoots({ hypervisor, store }: ApplyDeps, vps: VpsId, seen: RootDisks): Promise<RootDisks> {
  await requireStopped(hypervisor, vps, CANNOT);
  const disks = await whenSettled(
    () => store.roots(vps),
    (roots) => Object.values(roots).some(({ in_use }) => in_use),
    seen,
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
      `The systems of ${vps.name} cannot be exchanged: its disk in the role ${role} is one that nobody knows; rename or remove it by hand.`,
      { log: { places, known } },
    );
  }
}

/**
 * Removes the disks that are to go, and gives the others their names. What is where is looked up once, before: under the
 * VPS's lock nobody else moves them, and each look would ask Xen and LVM anew.
 */
async function exchange(
  { store }: ApplyDeps,
  vps: VpsId,
  disks: RootDisks,
  remove: readonly string[],
  wanted: Places,
): Promise<void> {
  let places: Places = {};
  for (const [role, { identity }] of Object.entries(disks)) {
    if (remove.includes(identity)) await store.removeRoot(vps, role as keyof RootDisks);
    else places = { ...places, [role]: identity };
  }
  for (let move = nextMove(places, wanted); move; move = nextMove(places, wanted)) {
    await store.renameRoot(vps, move.from, move.to);
    const { [move.from]: moved, ...others } = places;
    places = { ...others, ...(moved !== undefined && { [move.to]: moved }) };
  }
}

/**
 * Makes the node as a record says, from whatever is there of it: after a crash at any instant it is called again and goes
 * on. While disks change their names, the VPS has no configuration, so that nothing boots one system with the other's.
 * Where the disk that is to be the root has gone (an admin removed it), the old system stays what it was.
 *
 * @returns whether the wanted system is in its place; false: the old one stays
 * @throws AgentError vps_running, disks_in_use: nothing was touched; program_*
 */
export async function applyNames(deps: ApplyDeps, vps: VpsId, record: NamingRecord): Promise<boolean> {
  const { store, guests, records } = deps;
  const roots = await store.roots(vps);
  const places = placesOf(roots);
  const there = (identity: string | undefined) =>
    identity !== undefined && Object.values(places).includes(identity) ? identity : undefined;
  const current = there(record.current);
  const old = there(record.old);
  const wanted: Places =
    current === undefined ? { ...(old && { current: old }) } : { current, ...(old && { old }) };
  const config = current === undefined ? record.old_config : record.config;

  const remove = record.remove.filter((identity) => there(identity) !== undefined);
  const done = remove.length === 0 && wanted.current === places.current && wanted.old === places.old;
  const as_wanted = done && sameFile(await guests.read(vps), config);
  if (!as_wanted) {
    const disks = await idleRoots(deps, vps, roots);
    requireKnown(vps, placesOf(disks), [current, old, ...remove]);
    await guests.remove(vps);
    await exchange(deps, vps, disks, remove, wanted);
  }
  // Where they are as wanted, it may be that the one who named them did not come to this.
  await store.flush(vps);
  if (!as_wanted) await guests.put(vps, config ?? undefined);
  if (wanted.old !== undefined) {
    await records.old.write(vps, {
      state: 'kept',
      since: new Date().toISOString(),
      config: record.old_config,
    });
  }
  await records.names.remove(vps);
  return current !== undefined;
}
