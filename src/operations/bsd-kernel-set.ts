import * as z from 'zod';
import { PROGRAM_ERRORS } from '../core/errors.ts';
import { result, text, vpsname, wholeNumber, word } from '../core/fields.ts';
import { parseAddressList } from '../core/net.ts';
import { defineOperation } from '../core/operation.ts';
import { requireOwnShare } from '../core/own-share.ts';
import { requireBothDisks, requireStopped } from '../core/vps-checks.ts';

export default defineOperation({
  name: 'changeBSDkernel',
  summary:
    "Writes the configuration of a stopped BSD VPS, with the node's kernel for its installation or for its use.",
  who: 'owner',
  input: z.object({
    vpsname: vpsname(),
    ramsize: wholeNumber('Memory of the guest in MB.', 32, 4 * 1024 * 1024),
    kerneltype: word('normal or install.', ['normal', 'install']),
    allipaddrs: text('Its IPv4 addresses, with spaces between.', 1024),
  }),
  output: result,
  legacy: () => 'OK',
  lock: 'vps',
  changes: true,
  timeout_ms: 60_000,
  errors: ['vps_running', 'vps_saved', 'disks_missing', ...PROGRAM_ERRORS],
  handler: async (ctx, { vpsname: vps, ramsize, kerneltype, allipaddrs }) => {
    const { config } = ctx;
    const ips = parseAddressList('allipaddrs', allipaddrs);
    await requireOwnShare(ctx, vps, { memory_mb: ramsize, addresses: ips });
    await requireStopped(ctx.hypervisor, vps, 'cannot be configured');
    const { type, root, swap } = await requireBothDisks(ctx.disks, vps, undefined, 'cannot be configured');
    const disks = { type, root: root.path, swap: swap.path };
    const kernel = kerneltype === 'install' ? config.bsd_install_kernel_path : config.bsd_kernel_path;
    await ctx.hypervisor.leaveStopped(vps);
    const mac = await ctx.guests.mac(vps);
    await ctx.guests.writeBsd({ vps, memory_mb: ramsize, mac, ips, disks, kernel });
    await ctx.guests.enableAutostart(vps);
    return { result: `Wrote the configuration of ${vps.name}` };
  },
});
