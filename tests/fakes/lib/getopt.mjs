// getopt_long as xl uses it: options may stand after operands, `--` ends them.
import { err, NotKnown } from './store.mjs';

/** An error that xl itself would print; `exit` is its exit code. */
export class XlError extends Error {
  constructor(text, exit) {
    super(text);
    this.exit = exit;
  }
}

/**
 * @param taken `{ w: 'wait' }`: letters (`c:` takes an argument) and their long names, '' where there is none
 * @param untaken letters that the real command has and the fake has not
 * @returns `{ options: {w: true}, operands }`
 */
export function getopt(command, args, { taken = {}, untaken = '', operands: least = 0 }) {
  const options = {};
  const operands = [];
  const spec = new Map(Object.entries(taken).map(([key, long]) => [key[0], { key, long }]));
  const rest = [...args];
  const use = (letter, inline) => {
    if (untaken.includes(letter)) throw new NotKnown(`xl ${command} -${letter} is not part of the fake`);
    const option = spec.get(letter);
    if (!option) throw new XlError(`option \`${letter}' not supported.\n`, 2);
    options[letter] = option.key.endsWith(':') ? (inline ?? rest.shift()) : true;
  };
  while (rest.length > 0) {
    const arg = rest.shift();
    if (arg === '--') {
      operands.push(...rest.splice(0));
    } else if (arg.startsWith('--')) {
      const [name, value] = arg.slice(2).split('=', 2);
      const found = [...spec].find(([, { long }]) => long !== '' && long === name);
      if (!found) throw new XlError("option `\0' not supported.\n", 2);
      use(found[0], value);
    } else if (arg.startsWith('-') && arg !== '-') {
      for (let at = 1; at < arg.length; at += 1) {
        const letter = arg[at];
        const takes_argument = spec.get(letter)?.key.endsWith(':');
        use(letter, takes_argument ? arg.slice(at + 1) || undefined : undefined);
        if (takes_argument) break;
      }
    } else {
      operands.push(arg);
    }
  }
  if (operands.length < least) {
    throw new XlError(`'xl ${command}' requires at least ${least} argument${least > 1 ? 's' : ''}.\n\n`, 2);
  }
  return { options, operands };
}

/** Prints what xl would, and gives its exit code. */
export function tell(error) {
  if (!(error instanceof XlError)) throw error;
  err(error.message);
  return error.exit;
}
