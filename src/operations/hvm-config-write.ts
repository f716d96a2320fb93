import { basename } from 'node:path';
import * as z from 'zod';
import type { OperationContext } from '../core/context.ts';
import { AgentError, PROGRAM_ERRORS } from '../core/errors.ts';
import { out, password, text, vpsname, wholeNumber } from '../core/fields.ts';
import { CD_DRIVES } from '../core/guest-configs.ts';
import { parseAddressList } from '../core/net.ts';
import { defineOperation } from '../core/operation.ts';
import { requireOwnShare } from '../core/own-share.ts';
import { screenOf, tellScreen } from '../core/screens.ts';
import type { VpsId } from '../core/vps.ts';
import { requireBothDisks, requireStopped } from '../core/vps-checks.ts';

async function orderedScreen({ config, screens }: OperationContext, vps: VpsId, vncpassword: string) {
  if (vncpassword === 'no_vnc') return undefined;
  const screen = screenOf(vps, config, vncpassword);
  return (await screens.checksPasswords()) ? screen : screenOf(vps, config, undefined);
}

/** How many isos without a drive are named. */
const NAMED = 3;

/** The isos for the guest's drives, the one to boot from first, and what is said of them. */
async function orderedIsos({ accounts }: OperationContext, vps: VpsId, howtoboot: string) {
  const first = howtoboot === 'hdd' ? undefined : await accounts.pinIso(vps, howtoboot);
  if (howtoboot !== 'hdd' && first === undefined) {
    throw new AgentError('not_found', `${vps.name} has no such iso; see reportInstalledIso.`);
  }
  const booted = first === undefined ? [] : [first];
  const { paths, left_out } = await accounts.pinOtherIsos(vps, howtoboot, CD_DRIVES - booted.length);
  const isos = [...booted, ...paths];
  const told: string[] = [];
  if (isos.length > 0) told.push(`In its drives: ${isos.map((path) => basename(path)).join(', ')}`);
  if (left_out.length > 0) {
    const more = left_out.length > NAMED ? `, and ${left_out.length - NAMED} more` : '';
    const named = left_out.slice(0, NAMED).map(({ file, why }) => `${file} (${why})`);
    told.push(`Left out: ${named.join(', ')}${more}`);
  }
  return { isos, told };
}

export default defineOperation({
  name: 'writeXenHVMconf',
  summary:
    'Writes the configuration of a stopped VPS that boots any operating system, from its disk or from its own iso.',
  who: 'owner',
  input: z.object({
    vpsname: vpsname(),
    ramsize: wholeNumber('Memory of the guest in MB.', 32, 4 * 1024 * 1024),
    allipaddrs: text('Its IPv4 addresses, with spaces between.', 1024),
    vncpassword: password(
      "The screen's password, of which VNC looks at the first 8 characters; no_vnc: no screen.",
      255,
    ),
    howtoboot: text(
      'hdd, or the name of an iso of reportInstalledIso. Either way the other isos are in its drives.',
      255,
    ),
  }),
  output: z.object({
    result: out.string('What was done, and how the screen is reached.'),
    vnc_address: out.string('Address on the node that the screen listens on.').optional(),
    vnc_port: out.int("Its port: 5900 and the VPS's number.").optional(),
  }),
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
    const screen = await orderedScreen(ctx, vps, vncpassword);
    const { isos, told } = await orderedIsos(ctx, vps, howtoboot);
    const disks = { type, root: root.path, swap: swap.path };
    await ctx.hypervisor.leaveStopped(vps);
    const mac = await ctx.guests.mac(vps);
    const boots_iso = howtoboot !== 'hdd';
    await ctx.guests.writeHvm({ vps, memory_mb: ramsize, mac, ips, disks, screen, isos, boots_iso });
    await ctx.accounts.unpinIsos(vps, isos);
    await ctx.guests.enableAutostart(vps);
    const sentences = [`Wrote the configuration of ${vps.name}`, ...told];
    if (!screen) return { result: sentences.join('. ') };
    sentences.push(tellScreen(screen, vncpassword));
    return { result: sentences.join('. '), vnc_address: screen.address, vnc_port: screen.port };
  },
});
