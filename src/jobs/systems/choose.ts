import type { Config } from '../../config/schema.ts';
import { AgentError } from '../../core/errors.ts';
import type { DiskStore, GuestConfigStore } from '../../core/ports.ts';
import type { ReinstallChoice } from '../../core/systems.ts';
import type { VpsId } from '../../core/vps.ts';

const MIB = 1024 * 1024;
const mib = (bytes: number) => Math.ceil(bytes / MIB);

/** What the choice is made from. */
export interface ChooseDeps {
  readonly config: Pick<Config, 'reinstall_mode' | 'reinstall_keep_hours'>;
  readonly store: DiskStore;
  readonly guests: GuestConfigStore;
}

/**
 * Decides how a reinstall is done. A root disk with nothing on it, of a VPS without a configuration, is built on at once:
 * nothing can be lost.
 *
 * @throws AgentError disks_missing; no_space where reinstall_mode is swap, and a second root disk has no room
 */
export async function chooseMode(
  { config, store, guests }: ChooseDeps,
  vps: VpsId,
): Promise<ReinstallChoice> {
  const { current, old } = await store.roots(vps);
  if (!current)
    throw new AgentError('disks_missing', `${vps.name} has no root disk; make it with setupLVMDisks.`);
  const in_place: ReinstallChoice = { mode: 'in-place', old_goes_first: false, told: undefined };
  if (!(await guests.exists(vps)) && !(await store.hasContent(current))) {
    return in_place;
  }
  const overwritten = 'the system that was there is built over, and this cannot be undone.';
  if (config.reinstall_mode === 'in-place') {
    return { ...in_place, told: `reinstall_mode is in-place: ${overwritten}` };
  }

  if (current.identity === undefined) {
    const cannot =
      'the file system of the disk images does not tell when a file was made, so that a second root disk could be taken for the first';
    if (config.reinstall_mode === 'auto')
      return { ...in_place, told: `In place, since ${cannot}; ${overwritten}` };
    throw new AgentError(
      'program_failed',
      `${vps.name} cannot be reinstalled beside its system: ${cannot}. reinstall_mode is swap; set it to auto or in-place. Nothing was touched.`,
    );
  }

  const free_bytes = (await store.free_mib()) * MIB;
  const fits = current.size_bytes <= free_bytes;
  const hours = config.reinstall_keep_hours;
  const told =
    hours === 0
      ? 'The old system goes when the new one is in its place.'
      : `The old system stays for ${hours} h: rollbackVPSos brings it back.`;
  if (fits || (old?.frees_room && current.size_bytes <= free_bytes + old.size_bytes)) {
    return { mode: 'swap', old_goes_first: !fits, told };
  }
  const lack = `A second root disk of ${mib(current.size_bytes)} MB has no room: ${Math.floor(free_bytes / MIB)} MB are free`;
  if (config.reinstall_mode === 'auto') return { ...in_place, told: `${lack}; ${overwritten}` };
  throw new AgentError(
    'no_space',
    `${vps.name} cannot be reinstalled: ${lack}, and reinstall_mode is swap; make room, or set it to auto. Nothing was touched.`,
  );
}
