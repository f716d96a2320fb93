// A guest's configuration (xl.cfg(5)) as far as moving it needs: what it names, and where that stands in the text.
import { AgentError } from '../core/errors.ts';

/** A piece of a configuration's text, by the place that it begins at. */
interface Piece {
  readonly text: string;
  readonly start: number;
}

/** `NAME = "text"`, `NAME = 512` or `NAME = [ "text", ... ]`; strings without their quotes. */
interface Setting {
  readonly name: string;
  readonly values: readonly Piece[];
}

type Kind = 'blank' | 'end' | 'word' | 'number' | 'string' | 'sign';
interface Token extends Piece {
  readonly kind: Kind;
}

const TOKEN =
  /(?<blank>[ \t\r]+|#[^\n]*)|(?<end>[\n;])|(?<word>[A-Za-z_]\w*)|(?<number>\d[\dA-Fa-fx]*)|(?<string>"[^"\n]*"|'[^'\n]*')|(?<sign>\+?=|[[\],])/y;

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

const unquoted = ({ kind, text, start }: Token): Piece =>
  kind === 'string' ? { text: text.slice(1, -1), start: start + 1 } : { text, start };

/** Reads the settings in their order. Error: `invalid_value`, naming the line. */
function settings(text: string): Setting[] {
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
  function list(): Piece[] {
    const values: Piece[] = [];
    for (skipLines(); !is(']'); skipLines()) {
      values.push(unquoted(take(isValue)));
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
    found.push({ name, values: value.text === '[' ? list() : [unquoted(value)] });
    take(({ kind }) => kind === 'end');
  }
  return found;
}

/** The path in a disk's line, if it has one: the first item behind `phy:` and its like, or all that follows `target=`. */
function target({ text, start }: Piece): Piece | undefined {
  const by_name = /(?:^|,)\s*target=(?=\S)/.exec(text);
  if (by_name) {
    const at = by_name.index + by_name[0].length;
    return { text: text.slice(at).trimEnd(), start: start + at };
  }
  const [item = ''] = text.split(',', 1);
  const [before = ''] = /^\s*(?:[a-z][a-z0-9_-]*:)*/.exec(item) ?? [];
  const path = item.slice(before.length).trimEnd();
  return path === '' || item.includes('=') ? undefined : { text: path, start: start + before.length };
}

/** Settings of this name, a later one before an earlier one, as xl has it. */
const valuesOf = (all: readonly Setting[], name: string) =>
  all.filter((setting) => setting.name === name).flatMap(({ values }) => values);

const targets = (all: readonly Setting[]): Piece[] =>
  valuesOf(all, 'disk').flatMap((line) => target(line) ?? []);

/** What a configuration names. */
export interface GuestDescription {
  readonly name: string | undefined;
  /** Kernel and initial RAM disk. */
  readonly boot_files: readonly string[];
  /** Paths of disks and CD images, as they stand there. */
  readonly targets: readonly string[];
}

/** Tells what a configuration names. Error: `invalid_value` where it cannot be read, naming the line. */
export function describeGuest(text: string): GuestDescription {
  const all = settings(text);
  const last = (name: string) =>
    valuesOf(all, name)
      .slice(-1)
      .map((piece) => piece.text);
  return {
    name: last('name')[0],
    boot_files: [...last('kernel'), ...last('ramdisk')],
    targets: targets(all).map((piece) => piece.text),
  };
}

/** Puts another name and other paths of disks into a configuration; every other byte stays. Error: `invalid_value`. */
export function renameGuest(text: string, name: string, paths: ReadonlyMap<string, string>): string {
  const all = settings(text);
  const changes = [
    ...valuesOf(all, 'name').map((piece) => ({ ...piece, to: name })),
    ...targets(all).map((piece) => ({ ...piece, to: paths.get(piece.text) ?? piece.text })),
  ];
  return changes
    .sort((a, b) => b.start - a.start)
    .reduce(
      (done, { start, text: from, to }) => done.slice(0, start) + to + done.slice(start + from.length),
      text,
    );
}
