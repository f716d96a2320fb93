// Options of the LVM tools; one that the fake does not have is refused with exit 2, since what LVM would do is not known.

import { LvmError } from './lvm-volumes.mjs';
import { err, NotKnown } from './store.mjs';

/**
 * @param taken `{ '-L': '--size:', '-y': '--yes', '': ['--nosuffix'] }`: short, long; `:` takes an argument
 * @returns `{ options: { size: '64M' }, operands }`
 */
export function lvmArguments(program, args, taken) {
  const specs = [['', '--config:'], ...taken].map(([short, long]) => ({
    short,
    long: long.replace(':', ''),
    argument: long.endsWith(':'),
  }));
  const options = {};
  const operands = [];
  const rest = [...args];
  const put = (spec, inline) => {
    options[spec.long.slice(2)] = spec.argument ? (inline ?? rest.shift()) : true;
  };
  const refuse = (arg) => {
    throw new NotKnown(`${program} ${arg} is not part of the fake`);
  };
  while (rest.length > 0) {
    const arg = rest.shift();
    if (arg === '--') {
      operands.push(...rest.splice(0));
    } else if (arg.startsWith('--')) {
      const [name, ...value] = arg.split('=');
      put(
        specs.find((spec) => spec.long === name) ?? refuse(arg),
        value.length > 0 ? value.join('=') : undefined,
      );
    } else if (arg.startsWith('-') && arg.length > 1) {
      for (let at = 1; at < arg.length; at += 1) {
        const spec = specs.find((each) => each.short === `-${arg[at]}`) ?? refuse(arg);
        put(spec, spec.argument ? arg.slice(at + 1) || undefined : undefined);
        if (spec.argument) break;
      }
    } else {
      operands.push(arg);
    }
  }
  // The filter is for whoever looks at devices (lvm-filter.mjs).
  delete options.config;
  return { options, operands };
}

/** LVM's messages stand two spaces in. */
export const indented = (text) =>
  text
    .split('\n')
    .map((line) => `  ${line}\n`)
    .join('');

/** Prints what LVM would, and gives its exit code. */
export function tellLvm(error) {
  if (!(error instanceof LvmError)) throw error;
  err(indented(error.message));
  return error.exit;
}
