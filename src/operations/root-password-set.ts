import * as z from 'zod';
import { AgentError } from '../core/errors.ts';
import { password, result, vpsname } from '../core/fields.ts';
import { defineOperation } from '../core/operation.ts';
import { requireDisks, requireUnused, whileStopped } from '../core/vps-checks.ts';

const CANNOT = 'cannot be given a new root password';

export default defineOperation({
  name: 'changeVPSrootPassword',
  summary: 'Sets the root password of the system that is installed on a stopped VPS.',
  who: 'owner',
  input: z.object({ vpsname: vpsname(), password: password("The guest's new root password.") }),
  output: result,
  legacy: () => 'OK',
  lock: 'vps',
  changes: true,
  timeout_ms: 180_000,
  errors: ['vps_running', 'vps_saved', 'disks_missing', 'disks_in_use', 'program_failed', 'program_timeout'],
  handler: async (ctx, { vpsname: vps, password }) => {
    const hash = await ctx.accounts.hashRootPassword(password);
    const disks = await requireDisks(ctx.disks, vps, undefined);
    if (!disks.root) throw new AgentError('disks_missing', `${vps.name} has no root disk.`);
    const { root, type } = disks;
    await whileStopped(ctx, vps, CANNOT, async () => {
      await requireUnused(ctx.disks[type], vps, CANNOT, disks);
      await ctx.hypervisor.leaveStopped(vps);
      await ctx.roots.setRootPassword(root, hash);
    });
    return { result: `Changed the root password of ${vps.name}` };
  },
});
