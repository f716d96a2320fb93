// A guest's configuration as xl reads it (xl.cfg(5)), and where each value stands in the text.
import { AgentError } from './errors.ts';

/** A piece of a configuration's text, by the place that it begins at. */
export interface Piece {
  readonly text: string;
  readonly start: number;
  /** A number: no quotes stand around it. */
  readonly bare?: true;
}

/**
 * `NAME = "text"`, `NAME = 512` or `NAME = [ "text", ... ]`; strings without their quotes, escapes as they stand there. What lists in
 * a list hold (`vnuma`) is left out: nothing that the agent reads is written so.
 */
export interface Setting {
  readonly name: string;
  readonly values: readonly Piece[];
}

type Kind = 'blank' | 'end' | 'word' | 'number' | 'string' | 'sign';
interface Token extends Piece {
  readonly kind: Kind;
}

const TOKEN =
  /(?<blank>[ \t\r]+|#[^\n]*)|(?<end>[\n;])|(?<word>[A-Za-z_]\w*)|(?<number>\d[\dA-Fa-fx]*)|(?<string>"(?:[^"\\\n]|\\[^\n])*"|'(?:[^'\\\n]|\\[^\n])*')|(?<sign>\+?=|[[\],])/y;

function unreadable(text: string, at: number): AgentError {
  const line = text.slice(0, at).split('\n').length;
  return new AgentError(
    'invalid_value',
    `The configuration cannot be read in line ${line}: it is not what xl.cfg(5) says.`,
  );
}

function tokens(text: string): Token[] {
  const found: Token[] = [];
  const pattern = new RegExp(TOKEN);
  while (pattern.lastIndex < text.length) {
    const start = pattern.lastIndex;
    const match = pattern.exec(text);
    if (!match) throw unreadable(text, start);
    const kind = Object.entries(match.groups ?? {}).find(([, part]) => part !== undefined)?.[0] as Kind;
    if (kind !== 'blank') found.push({ kind, text: match[0], start });
  }
  return [...found, { kind: 'end', text: '\n', start: text.length }];
}

/** Lists in lists, further than anybody writes them. */
const MAX_DEPTH = 8;

const unquoted = ({ kind, text, start }: Token): Piece =>
  kind === 'string' ? { text: text.slice(1, -1), start: start + 1 } : { text, start, bare: true };

/** Reads the settings in their order. Error: `invalid_value`, naming the line. */
export function readSettings(text: string): Setting[] {
  const stream = tokens(text);
  const last = stream.at(-1) as Token;
  const found: Setting[] = [];
  let at = 0;
  const take = (fits: (token: Token) => boolean): Token => {
    const token = stream[at] ?? last;
    if (!fits(token)) throw unreadable(text, token.start);
    at += 1;
    return token;
  };
  const is = (sign: string) => stream[at]?.kind === 'sign' && stream[at]?.text === sign;
  const isValue = ({ kind }: Token) => kind === 'string' || kind === 'number';
  const skipLines = () => {
    while (stream[at]?.text === '\n' && at < stream.length - 1) at += 1;
  };
  function list(depth: number): Piece[] {
    if (depth > MAX_DEPTH) throw unreadable(text, stream[at]?.start ?? text.length);
    const values: Piece[] = [];
    for (skipLines(); !is(']'); skipLines()) {
      const value = take((token) => isValue(token) || is('['));
      if (value.text === '[') list(depth + 1);
      else values.push(unquoted(value));
      skipLines();
      if (!is(']')) take(() => is(','));
    }
    at += 1;
    return values;
  }
  while (at < stream.length) {
    if (stream[at]?.kind === 'end') {
      at += 1;
      continue;
    }
    const name = take(({ kind }) => kind === 'word').text;
    take(() => is('=') || is('+='));
    const value = take((token) => isValue(token) || is('['));
    found.push({ name, values: value.text === '[' ? list(1) : [unquoted(value)] });
    take(({ kind }) => kind === 'end');
  }
  return found;
}

/** The name that a configuration gives its guest; undefined where it gives none, or cannot be read. */
export function guestName(text: string): string | undefined {
  try {
    return valuesOf(readSettings(text), 'name').at(-1)?.text;
  } catch (error) {
    if (error instanceof AgentError) return undefined;
    throw error;
  }
}

/** Settings of this name, a later one before an earlier one, as xl has it. */
export const valuesOf = (all: readonly Setting[], name: string) =>
  all.filter((setting) => setting.name === name).flatMap(({ values }) => values);
