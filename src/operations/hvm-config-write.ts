import * as z from 'zod';
import { AgentError, PROGRAM_ERRORS } from '../core/errors.ts';
import { password, result, text, vpsname, wholeNumber } from '../core/fields.ts';
import { parseAddressList } from '../core/net.ts';
import { defineOperation } from '../core/operation.ts';
import { requireOwnShare } from '../core/own-share.ts';
import { requireBothDisks, requireStopped } from '../core/vps-checks.ts';

export default defineOperation({
  name: 'writeXenHVMconf',
  summary:
    'Writes the configuration of a stopped VPS that boots any operating system, from its disk or from its own iso.',
  who: 'owner',
  input: z.object({
    vpsname: vpsname(),
    ramsize: wholeNumber('Memory of the guest in MB.', 32, 4 * 1024 * 1024),
    allipaddrs: text('Its IPv4 addresses, with spaces between.', 1024),
    vncpassword: password("The screen's password, at most 8 characters; no_vnc: no screen.", 8),
    howtoboot: text('hdd, or the name of an iso of reportInstalledIso.', 255),
  }),
  output: result,
  legacy: () => 'OK',
  lock: 'vps',
  changes: true,
  timeout_ms: 60_000,
  errors: ['vps_running', 'vps_saved', 'disks_missing', 'not_found', ...PROGRAM_ERRORS],
  handler: async (ctx, { vpsname: vps, ramsize, allipaddrs, vncpassword, howtoboot }) => {
    const ips = parseAddressList('allipaddrs', allipaddrs);
    await requireOwnShare(ctx, vps, { memory_mb: ramsize, addresses: ips });
    await requireStopped(ctx.hypervisor, vps, 'cannot be configured');
    const { type, root, swap } = await requireBothDisks(ctx.disks, vps, undefined, 'cannot be configured');
    const vnc_password = vncpassword === 'no_vnc' ? undefined : vncpassword;
    const iso_path = howtoboot === 'hdd' ? undefined : await ctx.accounts.pinIso(vps, howtoboot);
    if (howtoboot !== 'hdd' && iso_path === undefined) {
      throw new AgentError('not_found', `${vps.name} has no such iso; see reportInstalledIso.`);
    }
    const disks = { type, root: root.path, swap: swap.path };
    await ctx.hypervisor.leaveStopped(vps);
    const mac = await ctx.guests.mac(vps);
    await ctx.guests.writeHvm({ vps, memory_mb: ramsize, mac, ips, disks, vnc_password, iso_path });
    await ctx.accounts.unpinIsos(vps, iso_path);
    await ctx.guests.enableAutostart(vps);
    return { result: `Wrote the configuration of ${vps.name}` };
  },
});
