// Options of the LVM tools; one that the fake does not have is refused with exit 2, since what LVM would do is not known.

import { archives, isQuiet, lineStart, setting } from './lvm-settings.mjs';
import { LvmError } from './lvm-volumes.mjs';
import { err, NotKnown, out } from './store.mjs';

/**
 * @param taken `{ '-L': '--size:', '-y': '--yes', '': ['--nosuffix'] }`: short, long; `:` takes an argument
 * @returns `{ options: { size: '64M' }, operands }`
 */
export function lvmArguments(program, args, taken) {
  const specs = [['', '--config:'], ['-q', '--quiet'], ...taken].map(([short, long]) => ({
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
  // What these say stands in lvm-settings.mjs.
  delete options.config;
  delete options.quiet;
  return { options, operands };
}

/** LVM's messages stand two spaces in, unless lvm.conf or the call has them begin otherwise. */
export const indented = (text) =>
  text
    .split('\n')
    .map((line) => `${lineStart()}${line}\n`)
    .join('');

/** Prints what -qq leaves unsaid. */
export function say(text) {
  if (!isQuiet()) out(indented(text));
}

/** Said when LVM writes its metadata, and keeps what it was before in an archive of many files. */
export function tellArchives(vg_name) {
  if (archives() === 0) return;
  say(
    `Consider pruning ${vg_name} VG archive with more than 820 MiB in ${archives()} files (see archiving settings in lvm.conf).`,
  );
}

/** log/report_command_log = 1: what has failed stands in a table on standard output, and nothing on standard error. */
function logTable(message, exit) {
  const row = (number, type, text, code) =>
    [
      number.padStart(3),
      type.padEnd(7),
      'processing',
      'vg'.padEnd(7),
      text,
      '-1'.padStart(5),
      code.padStart(7),
    ].join(' ');
  const rows = message.split('\n').map((line, at) => row(String(at + 1), 'error', line, '0'));
  rows.push(row(String(rows.length + 1), 'status', 'failure', String(exit)));
  return ['Command Log', '===========', 'Seq LogType Context    ObjType Msg Errno RetCode', ...rows].join(
    '\n',
  );
}

/** Prints what LVM would, and gives its exit code. */
export function tellLvm(error) {
  if (!(error instanceof LvmError)) throw error;
  if (setting('log/report_command_log') === '1') out(indented(logTable(error.message, error.exit)));
  else err(indented(error.message));
  return error.exit;
}
