import type { World } from './store.d.mts';

export const EXTENT: number;
export function lvmUuid(): string;
export function bootVolumes(root: string, state: World): void;
/** A physical volume of a group of the same name that a guest has written onto its image file: seen while that is a loop device. */
export interface GroupTwin {
  readonly device: string;
  readonly backing_file: string;
  /** Further names that udev gives it, such as `disk/by-id/lvm-pv-uuid-...`. */
  readonly links?: readonly string[];
}
/** `missing_pv`: names of volumes that lie on a disk that is not there, or all of them; `away`: none of its disks is. */
export type GroupTrouble =
  | { readonly missing_pv: readonly string[] | 'all' }
  | { readonly away: true }
  | { readonly twin: GroupTwin }
  | { readonly whole: true };
export function troubleGroup(root: string, state: World, vg_name: string, trouble: GroupTrouble): void;
