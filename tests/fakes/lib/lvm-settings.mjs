// What lvm.conf(5) and a call's --config say, as far as the fake has it, and whether the call is to be quiet (-qq).
import { AsyncLocalStorage } from 'node:async_hooks';
import { NotKnown, withState } from './store.mjs';

const ofCall = new AsyncLocalStorage();

/** Settings with what they are where nobody has set them; `log/report_command_log`: a report as JSON has the log all the same. */
const KNOWN = new Map([
  ['devices/global_filter', undefined],
  ['log/prefix', '  '],
  ['log/command_names', '0'],
  ['log/verbose', '0'],
  ['log/report_command_log', undefined],
  ['report/binary_values_as_numeric', '0'],
  ['report/compact_output', '0'],
]);

/** `log/prefix="" devices/global_filter=["a|x|"]` -> its settings; strings without their quotes. */
function parseSettings(text) {
  const settings = {};
  let rest = text.trim();
  while (rest !== '') {
    const [found, key, list, quoted, plain] =
      /^([a-z_]+\/[a-z_]+)=(?:(\[(?:[^\]"]|"[^"]*")*\])|"([^"]*)"|(\w+))(?:\s+|$)/.exec(rest) ?? [];
    if (!found || !KNOWN.has(key)) throw new NotKnown(`--config ${rest} is not part of the fake`);
    settings[key] = list ?? quoted ?? plain;
    rest = rest.slice(found.length);
  }
  return settings;
}

/** The text behind --config; undefined where there is none. LVM refuses a second one. */
function configIn(args) {
  const found = args.flatMap((arg, at) => (arg === '--config' ? [args[at + 1] ?? ''] : []));
  if (found.length > 1) throw new NotKnown('--config twice is not part of the fake');
  return found[0];
}

/** How often a call says -q. */
const quietness = (args) =>
  args
    .slice(0, args.includes('--') ? args.indexOf('--') : args.length)
    .reduce((sum, arg) => sum + (/^-q+$/.test(arg) ? arg.length - 1 : 0), 0);

/** Does a program's work under what the node's lvm.conf and the call say. */
export async function withSettings(root, program, args, work) {
  const { conf, archives } = await withState(root, (state) => ({
    conf: state.lvm_settings ?? {},
    archives: state.lvm_archives ?? 0,
  }));
  const unknown = Object.keys(conf).find((key) => !KNOWN.has(key));
  if (unknown !== undefined) throw new NotKnown(`${unknown} in lvm.conf is not part of the fake`);
  const quiet = quietness(args);
  if (quiet === 1) throw new NotKnown('a single -q is not part of the fake');
  const own = parseSettings(configIn(args) ?? '');
  return ofCall.run({ program, archives, quiet: quiet > 1, own, settings: { ...conf, ...own } }, work);
}

/** A setting as it is in force in this call. */
export const setting = (key) => ofCall.getStore()?.settings[key] ?? KNOWN.get(key);

/** The filter that this call has brought along; undefined where it has none. */
export const filterOfCall = () => ofCall.getStore()?.own['devices/global_filter'];

/** Whether what LVM has no need to say stays unsaid. */
export const isQuiet = () => ofCall.getStore()?.quiet ?? false;

/** How many files LVM's archive has, where they are more than it likes; 0 where they are not. */
export const archives = () => ofCall.getStore()?.archives ?? 0;

/** What every line of LVM's begins with: two spaces, unless somebody wants something else. */
export const lineStart = () =>
  `${setting('log/command_names') === '0' ? '' : (ofCall.getStore()?.program ?? '')}${setting('log/prefix')}`;
