import { isIPv4 } from 'node:net';
import * as z from 'zod';
import { requireMirror } from '../core/bases.ts';
import { PROGRAM_ERRORS } from '../core/errors.ts';
import { out, password, text, vpsname, wholeNumber, word } from '../core/fields.ts';
import { parseAddressList, parseDns, parseGateway, parseNics, requireReachable } from '../core/net.ts';
import { defineOperation } from '../core/operation.ts';
import { requireOwnShare } from '../core/own-share.ts';
import { validateInput } from '../core/validate.ts';
import { selfInstalledGuest } from '../core/vps.ts';
import { requireDisks, requireStopped, requireUnused } from '../core/vps-checks.ts';

/** What a panel is answered, word by word. */
const STARTED = 'OK, started mkos.';
const OLDER = ['vpsname', 'ostype', 'hddsize', 'ramsize', 'ipaddr', 'password', 'imagetype'];
/** Older panels repeat the size that setupLVMDisks was told: it is checked like the rest, and not used. */
const OLDER_SIZE = z.object({ hddsize: wholeNumber('Size of the root disk.', 1, 64 * 1024 * 1024) });

export default defineOperation({
  name: 'reinstallVPSos',
  summary:
    'Starts the installation of an operating system onto the disks of a stopped VPS; getVPSState tells its end.',
  who: 'owner',
  input: z.object({
    vpsname: vpsname(),
    ostype: text(
      'Name of the operating system: debian, xenhvm, netbsd, or one of getInstallableOS or getInstallableAPP.',
      64,
    ),
    ramsize: wholeNumber('Memory of the guest in MB.', 32, 4 * 1024 * 1024),
    password: password("The guest's root password."),
    nics: text('IP,NETMASK,BROADCAST; several are joined by + or line ends.', 2048),
    gateway: text("One IPv4 address; empty: the node's GATEWAY.", 64).default(''),
    dns: text("One or two IPv4 addresses joined by a comma; empty: the node's DNS.", 64).default(''),
    imagetype: word('lvm or vbd, where the VPS has disks of both kinds.', ['lvm', 'vbd']).optional(),
  }),
  output: z.object({ result: out.string('What was done.'), job: out.string("The job's id.") }),
  legacy: () => STARTED,
  older: {
    params: OLDER,
    optional: ['imagetype'],
    matchesNames: (names) =>
      ['hddsize', 'ipaddr', 'imagetype'].some((name) => names.has(name)) && !names.has('nics'),
    // Of six, today's last one is a gateway, and its fourth a password.
    matchesValues: (values) =>
      values.length === OLDER.length
        ? ['lvm', 'vbd'].includes(values[6] as string)
        : values.length === OLDER.length - 1 &&
          [values[2], values[3]].every((value) => /^[0-9]+$/.test(String(value))) &&
          values[5] !== '' &&
          !isIPv4(String(values[5])),
    convert: ({ vpsname, ostype, hddsize, ramsize, ipaddr, password, imagetype }) => {
      validateInput({ name: 'reinstallVPSos', input: OLDER_SIZE }, { hddsize: hddsize ?? null });
      return {
        vpsname: vpsname ?? null,
        ostype: ostype ?? null,
        ramsize: ramsize ?? null,
        password: password ?? null,
        nics: typeof ipaddr === 'string' ? parseAddressList('ipaddr', ipaddr).join('+') : (ipaddr ?? null),
        imagetype: imagetype ?? null,
      };
    },
  },
  lock: 'vps',
  changes: true,
  timeout_ms: 180_000,
  errors: [
    'unknown_os',
    'not_found',
    'vps_running',
    'vps_saved',
    'disks_missing',
    'disks_in_use',
    'no_volume_group',
    ...PROGRAM_ERRORS,
  ],
  handler: async (ctx, { vpsname: vps, ostype, ramsize, password, nics, gateway, dns, imagetype }) => {
    const { config, templates, hypervisor, accounts, jobs } = ctx;
    const { system, wants_root_password } = await templates.find(ostype);
    if (system.kind === 'debian') requireMirror(config);
    const brings_kernel = system.kind === 'self-installed' && system.guest !== 'manual';
    if (!brings_kernel) await ctx.kernel();
    const request = {
      os: ostype,
      memory_mb: ramsize,
      nics: parseNics(nics, config),
      gateway: parseGateway(gateway, config.GATEWAY),
      dns: parseDns(dns, config.DNS),
    };
    requireReachable(request.nics, request.gateway);
    await requireOwnShare(ctx, vps, { memory_mb: ramsize, addresses: request.nics.map(({ ip }) => ip) });
    await requireStopped(hypervisor, vps, 'cannot be reinstalled');
    const disks = await requireDisks(ctx.disks, vps, imagetype);
    await requireUnused(ctx.disks[disks.type], vps, 'cannot be reinstalled', disks);
    const choice = selfInstalledGuest(ostype) ? undefined : await ctx.systems.choose(vps, disks.type);
    const hash = await accounts.hashRootPassword(password);
    const mode = choice && { mode: choice.mode };
    await hypervisor.leaveStopped(vps);
    const secret = wants_root_password ? `${hash}\n${password}` : hash;
    const job = await jobs.start('reinstall', vps, { ...request, image_type: disks.type, ...mode }, secret);
    return { result: [STARTED, choice?.told].filter(Boolean).join(' '), job: job.id };
  },
});
