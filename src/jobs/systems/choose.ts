import type { Config } from '../../config/schema.ts';
import { AgentError } from '../../core/errors.ts';
import type { GuestConfigStore } from '../../core/guest-configs.ts';
import type { DiskStore } from '../../core/ports.ts';
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
 * @throws AgentError disks_missing; no_space where a second root disk has no room yet, or reinstall_mode is swap and it has none
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

  const size_bytes = current.size_bytes;
  const free_bytes = (await store.free_mib()) * MIB;
  const fits = size_bytes <= free_bytes;
  const hours = config.reinstall_keep_hours;
  const told =
    hours === 0
      ? 'The old system goes when the new one is in its place.'
      : `The old system stays for ${hours} h: rollbackVPSos brings it back.`;
  const gives = old?.frees_room ? old.size_bytes : 0;
  // One that would have to be overwritten before its room is anybody's is built over, as it is the VPS's own.
  const serves = old?.is_wiped ? gives === size_bytes : size_bytes <= free_bytes + gives;
  if (fits || (old && serves)) return { mode: 'swap', old_goes_first: !fits, told };

  const lack = `A second root disk of ${mib(size_bytes)} MB has no room: ${Math.floor(free_bytes / MIB)} MB are free`;
  const waiting_bytes = (await store.waiting_mib()) * MIB;
  if (size_bytes <= free_bytes + waiting_bytes) {
    throw new AgentError(
      'no_space',
      `${vps.name} cannot be reinstalled yet: ${lack}. The room is there ${await store.hurry(size_bytes - free_bytes)}: ${mib(waiting_bytes)} MB of removed disks are overwritten at full speed now. Call again then. Nothing was touched.`,
    );
  }
  if (config.reinstall_mode === 'auto') return { ...in_place, told: `${lack}; ${overwritten}` };
  throw new AgentError(
    'no_space',
    `${vps.name} cannot be reinstalled: ${lack}, and reinstall_mode is swap; make room, or set it to auto. Nothing was touched.`,
  );
}
