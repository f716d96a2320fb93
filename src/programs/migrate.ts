import { isIP } from 'node:net';
import { AgentError } from '../core/errors.ts';
import { parseVpsId, type VpsId } from '../core/vps.ts';
import { COMMON_OPTIONS, readArguments } from './positional.ts';
import { type Program, UsageError } from './program.ts';

const USER = /^[a-z_][a-z0-9_-]{0,31}$/;
const HOST_NAME =
  /^(?=.{1,253}$)[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*$/;
const ADDRESS = /^[0-9A-Fa-f:.]+$/;

const USAGE = `Usage: dtc-xen_migrate VPS [USER@]HOST [VPS_THERE]
       dtc-xen_migrate --receive VPS

Copies a stopped VPS (01 or xen01) to another node over ssh: its disks and its configuration, under the same name or another
one. Every byte is read back there and compared before the VPS appears. Here, its disks and configuration stay, and its
autostart link goes. Where anything fails, the VPS here is as it was, and the other node keeps nothing of it.

  --receive      the other end, which the sending node calls over ssh; not for people
${COMMON_OPTIONS}`;

function vpsNamed(text: string): VpsId {
  const vps = parseVpsId(text);
  if (vps) return vps;
  throw new AgentError('invalid_value', 'The VPS must be a name such as xen01 or 01 (one to five digits).');
}

/** What ssh is to connect to: never an option, nothing that a shell or ssh's configuration reads in its own way. */
function hostNamed(text: string): string {
  const [host = '', user, ...more] = text.split('@').reverse();
  const is_host = HOST_NAME.test(host) || (isIP(host) !== 0 && ADDRESS.test(host));
  if (is_host && more.length === 0 && (user === undefined || USER.test(user))) return text;
  throw new AgentError(
    'invalid_value',
    'The host must be a name or an address, with USER@ before it or without.',
  );
}

/** dtc-xen_migrate. */
export const migrateProgram: Program = {
  usage: USAGE,
  needs_arguments: true,
  parse(argv) {
    const { positionals, config_file, has } = readArguments(argv, ['receive']);
    if (has('help')) return { request: 'help', config_file };
    const [vps = '', host = '', dest = vps] = positionals;
    if (has('receive')) {
      if (positionals.length !== 1) throw new UsageError('--receive takes one VPS.');
      return { request: { receive: vpsNamed(vps) }, config_file };
    }
    if (positionals.length < 2 || positionals.length > 3) {
      throw new UsageError(`takes 2 or 3 arguments, not ${positionals.length}.`);
    }
    const move = { vps: vpsNamed(vps), host: hostNamed(host), dest: vpsNamed(dest) };
    return { request: { move }, config_file };
  },
};
