import * as z from 'zod';
import { PROGRAM_ERRORS } from '../core/errors.ts';
import { out, vpsname } from '../core/fields.ts';
import { defineOperation } from '../core/operation.ts';
import { requireDisks, requireStopped, requireUnused } from '../core/vps-checks.ts';

export default defineOperation({
  name: 'fsckVPSpartition',
  summary: 'Starts a check of the root file system of a stopped VPS; getVPSState tells what came of it.',
  who: 'owner',
  input: z.object({ vpsname: vpsname() }),
  output: z.object({ result: out.string('What was done.'), job: out.string("The job's id.") }),
  legacy: () => 'OK',
  lock: 'vps',
  changes: true,
  timeout_ms: 180_000,
  errors: ['vps_running', 'vps_saved', 'disks_missing', 'disks_in_use', ...PROGRAM_ERRORS],
  handler: async (ctx, { vpsname: vps }) => {
    await requireStopped(ctx.hypervisor, vps, 'cannot be checked');
    const disks = await requireDisks(ctx.disks, vps, undefined);
    await requireUnused(ctx.disks[disks.type], vps, 'cannot be checked', disks);
    await ctx.hypervisor.leaveStopped(vps);
    const job = await ctx.jobs.start('fsck', vps, { image_type: disks.type });
    return { result: `Started the check of ${vps.name}`, job: job.id };
  },
});
