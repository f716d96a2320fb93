// What LVM is told not to look at: devices/global_filter (lvm.conf(5)), by the call's --config, else by the node's lvm.conf.
import { filterOfCall } from './lvm-settings.mjs';
import { NotKnown, out, withState } from './store.mjs';

const KEY = 'devices/global_filter';
/** What Debian's lvm.conf says. */
const OF_NODE = '["a|.*|"]';

/** `["r|^/dev/loop7$|","a|.*|"]` -> what each pattern does; the first that fits decides, and what none fits is taken. */
function parseFilter(text) {
  return JSON.parse(text).map((pattern) => {
    const [, kind, expression] = /^([ar])\|(.*)\|$/.exec(pattern) ?? [];
    if (!kind) throw new NotKnown(`the pattern ${pattern} is not part of the fake`);
    return { rejects: kind === 'r', expression: new RegExp(expression) };
  });
}

/**
 * Whether LVM looks at a device with these names in this call: it does where a pattern takes one of them, and where none rejects one
 * (LVM2, lib/filters/filter-regex.c).
 */
export function isSeen(state, names) {
  const filter = parseFilter(filterOfCall() ?? state.lvm_filter ?? OF_NODE);
  const deciding = names
    .map((name) => filter.find(({ expression }) => expression.test(name)))
    .filter((pattern) => pattern !== undefined);
  return deciding.length === 0 || deciding.some(({ rejects }) => !rejects);
}

/** The fake lvmconfig. */
export function main(root, program, args) {
  if (args.join(' ') !== `--typeconfig full ${KEY} devices/scan_lvs`)
    throw new NotKnown(`${program} ${args.join(' ')} is not part of the fake`);
  return withState(root, (state) => {
    out(`global_filter=${state.lvm_filter ?? OF_NODE}\nscan_lvs=${state.lvm_scan_lvs ?? 0}\n`);
    return 0;
  });
}
