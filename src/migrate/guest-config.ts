// A guest's configuration (xl.cfg(5)) as far as moving it needs: what it names, and where that stands in the text.
import { type Piece, readSettings, type Setting, valuesOf } from '../core/xl-config.ts';

/** The path in a disk's line, if it has one: the first item behind `phy:` and its like, or all that follows `target=`. */
function target({ text, start, ...more }: Piece): Piece | undefined {
  const by_name = /(?:^|,)\s*target=(?=\S)/.exec(text);
  if (by_name) {
    const at = by_name.index + by_name[0].length;
    return { text: text.slice(at).trimEnd(), start: start + at };
  }
  const [item = ''] = text.split(',', 1);
  const [before = ''] = /^\s*(?:[a-z][a-z0-9_-]*:)*/.exec(item) ?? [];
  const path = item.slice(before.length).trimEnd();
  return path === '' || item.includes('=')
    ? undefined
    : { text: path, start: start + before.length, ...more };
}

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
  const all = readSettings(text);
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
  const all = readSettings(text);
  const changes = [
    ...valuesOf(all, 'name').map((piece) => ({ ...piece, to: name })),
    ...targets(all).map((piece) => ({ ...piece, to: paths.get(piece.text) ?? piece.text })),
  ];
  return changes
    .sort((a, b) => b.start - a.start)
    .reduce(
      (done, { start, text: from, bare, to }) =>
        done.slice(0, start) + (bare ? `"${to}"` : to) + done.slice(start + from.length),
      text,
    );
}
