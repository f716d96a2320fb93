// The fake xl: which subcommand, and whose domain is meant.
import { readFileSync } from 'node:fs';
import { tell, XlError } from './getopt.mjs';
import { err, NotKnown, out } from './store.mjs';

const HELP = new URL('./xl-help.txt', import.meta.url);

const MODULES = {
  list: './xl-list.mjs',
  'vcpu-list': './xl-list.mjs',
  uptime: './xl-list.mjs',
  'block-list': './xl-devices.mjs',
  'network-list': './xl-devices.mjs',
  info: './xl-info.mjs',
  domid: './xl-domains.mjs',
  domname: './xl-domains.mjs',
  pause: './xl-domains.mjs',
  unpause: './xl-domains.mjs',
  destroy: './xl-domains.mjs',
  console: './xl-domains.mjs',
  shutdown: './xl-shutdown.mjs',
  reboot: './xl-shutdown.mjs',
  create: './xl-create.mjs',
  save: './xl-save.mjs',
  restore: './xl-save.mjs',
};

const exists = (command) => new RegExp(`^ ${command} `, 'm').test(readFileSync(HELP, 'utf8'));

/** A domain by name or id, as every subcommand finds it; Domain-0 is `{ id: 0 }`. */
export function findDomain(state, wanted) {
  if (wanted === '0' || wanted === 'Domain-0') return { id: 0, name: 'Domain-0' };
  const found = state.domains.find((domain) => domain.name === wanted || String(domain.id) === wanted);
  if (found) return found;
  if (/^[0-9]/.test(wanted))
    throw new NotKnown(`what xl says of the unknown id ${wanted} is not part of the fake`);
  throw new XlError(`${wanted} is an invalid domain identifier (rc=-6)\n`, 1);
}

export async function main(root, _program, args) {
  try {
    const dry_run = args[0] === '-N';
    const [command, ...rest] = dry_run ? args.slice(1) : args;
    if (command === undefined || command === 'help') {
      if (rest.length > 0) throw new NotKnown('xl help SUBCOMMAND is not part of the fake');
      out(readFileSync(HELP, 'utf8'));
      return command === undefined ? 1 : 0;
    }
    if (command.startsWith('-')) throw new NotKnown(`xl ${command} is not part of the fake`);
    if (!(command in MODULES)) {
      if (exists(command)) throw new NotKnown(`xl ${command} is not part of the fake`);
      err('command not implemented\n');
      return 1;
    }
    const module = await import(MODULES[command]);
    return await module[command.replace('-', '_')](root, dry_run ? ['-n', ...rest] : rest);
  } catch (error) {
    return tell(error);
  }
}
