import { AgentError } from '../core/errors.ts';
import { whileStopped } from '../core/vps-checks.ts';
import { type IdleDisksDeps, idleDisks } from './idle-disks.ts';
import type { JobOrder, Step } from './plan.ts';

const CANNOT = 'cannot be checked';
const FSCK_TIMEOUT_MS = 6 * 3_600_000;

const HALF_REPAIRED = 'Its root file system may be half repaired: check it again before it is started.';

/** Bits of fsck's exit code (e2fsck(8), "EXIT CODE"); what has none of the bits from 8 on is an answer about the disk. */
const FIXED = 1;
const FIXED_AND_REBOOT = 2;
const LEFT_UNCORRECTED = 4;
const ANSWERS = [1, 2, 3, 4, 5, 6, 7];

/**
 * Tells what an exit code below 8 of `fsck.ext4 -f -p` means.
 *
 * @throws AgentError program_failed where errors are left
 */
export function fsckVerdict(vps_name: string, disk_path: string, exit_code: number): string {
  if (exit_code & LEFT_UNCORRECTED) {
    throw new AgentError(
      'program_failed',
      `The root file system of ${vps_name} has errors that cannot be fixed without asking: leave it stopped, and run fsck.ext4 -f ${disk_path} on the node (exit code ${exit_code}).`,
    );
  }
  if (exit_code & (FIXED | FIXED_AND_REBOOT)) {
    return `Errors on the root file system of ${vps_name} were found and fixed (exit code ${exit_code}).`;
  }
  return `The root file system of ${vps_name} is clean.`;
}

/** The steps of a check of the root file system of a stopped VPS, which nobody starts meanwhile. */
export function fsckPlan(deps: IdleDisksDeps): (order: JobOrder<'fsck'>) => Step[] {
  return ({ vps, request }) => [
    {
      name: 'fsck',
      run: (step) =>
        whileStopped(deps, vps, CANNOT, async () => {
          const { root } = await idleDisks(deps, vps, request.image_type, CANNOT);
          await step.fate({ state: 'failed', told: HALF_REPAIRED });
          const options = { timeout_ms: FSCK_TIMEOUT_MS, ok_codes: ANSWERS };
          const { exit_code } = await step.script('fsck-disk', [root], options).catch(async (thrown) => {
            // It ended by itself: whatever it says, it was not cut off.
            if (thrown instanceof AgentError && thrown.code === 'program_failed' && !step.signal.aborted) {
              await step.fate(undefined);
            }
            throw thrown;
          });
          await step.fate(undefined);
          const verdict = fsckVerdict(vps.name, root, exit_code);
          step.log(verdict);
          return verdict;
        }),
    },
  ];
}
