import type { RootRole } from '../../core/ports.ts';

/** Which disk (by its identity) is in which role. */
export type Places = Readonly<Partial<Record<RootRole, string>>>;

/** One rename. */
export interface Move {
  readonly from: RootRole;
  readonly to: RootRole;
}

const roleOf = (places: Places, identity: string): RootRole | undefined =>
  (Object.keys(places) as RootRole[]).find((role) => places[role] === identity);

/**
 * The next rename on the way from where the disks are to where they are wanted, whatever was done of it before; `passing`
 * is gone through where two exchange their names. A wanted disk that is not there is left out.
 *
 * @returns undefined where all are in their places
 * @throws Error where a disk that is wanted nowhere is in a place that is needed
 */
export function nextMove(there: Places, wanted: Places): Move | undefined {
  for (const role of ['current', 'old'] as const) {
    const identity = wanted[role];
    if (identity === undefined || there[role] === identity) continue;
    const from = roleOf(there, identity);
    if (from === undefined) continue;
    const occupant = there[role];
    if (occupant === undefined) return { from, to: role };
    const home = roleOf(wanted, occupant);
    if (home === undefined) throw new Error(`the disk in the role ${role} is one that nobody knows`);
    const to = there[home] === undefined ? home : 'passing';
    if (there[to] !== undefined) throw new Error(`the disk in the role ${to} is one that nobody knows`);
    return { from: role, to };
  }
  return undefined;
}
