import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const DOCS = join(import.meta.dirname, '../../docs');

/** Puts what a program has measured into a page of docs, between the two marks that name the program. Throws without them. */
export function writeMeasured(page: string, program: string, lines: readonly string[]): void {
  const file = join(DOCS, page);
  const text = readFileSync(file, 'utf8');
  const [begin, end] = [`<!-- ${program}: begin -->`, `<!-- ${program}: end -->`];
  const [from, to] = [text.indexOf(begin), text.indexOf(end)];
  if (from === -1 || to < from) throw new Error(`${file} has no place for what ${program} has measured.`);
  writeFileSync(file, `${text.slice(0, from)}${begin}\n\n${lines.join('\n')}\n\n${text.slice(to)}`);
}
