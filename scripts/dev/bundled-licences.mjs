// Prints the terms of every library that went into the bundles, as stanzas of a Debian copyright file. Fails where a
// library does not say its terms.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** npm's names of licences, as Debian's copyright format has them, where they differ. */
const NAMES = { MIT: 'Expat' };
const COPYRIGHT = /^\W*(copyright\s+(?:\(c\)|©|[0-9]{4}).*)$/i;

const inputs = Object.keys(JSON.parse(readFileSync('.cache/bundled.json', 'utf8')));
const folders = new Set(
  inputs.flatMap((path) => /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1] ?? []),
);

function indented(text) {
  const lines = text.trim().split(/\r?\n/);
  return lines.map((line) => (line.trim() === '' ? ' .' : ` ${line.trimEnd()}`)).join('\n');
}

function library(folder) {
  const told = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  const { name, version, author, homepage } = told;
  const license = told.license?.type ?? told.license;
  const files = readdirSync(folder).filter((file) => /^(licen[cs]e|copying)/i.test(file));
  const text = files.map((file) => readFileSync(join(folder, file), 'utf8')).join('\n');
  if (typeof license !== 'string') throw new Error(`${folder} does not say its licence`);
  const lines = text
    .split(/\r?\n/)
    .map((line) => COPYRIGHT.exec(line)?.[1]?.replace(/^copyright\s+(\(c\)\s*)?/i, ''));
  const holders = [...new Set(lines.filter(Boolean))];
  const who = typeof author === 'string' ? author : author?.name;
  if (holders.length === 0) holders.push(`the authors of ${name}${who ? `: ${who}` : ''}`);
  return { folder, name, version, license, homepage, holders, text };
}

/** The terms in full, or where Debian keeps them. */
function terms({ name, license, text }) {
  if (license === 'Apache-2.0')
    return 'On Debian systems, this licence is in /usr/share/common-licenses/Apache-2.0.';
  return text.trim() === ''
    ? `${name} says in its package.json that it is under the licence ${license}.`
    : text;
}

const libraries = [...folders].sort().map(library);
const stanzas = libraries.map((library) => {
  const { folder, name, version, license, homepage, holders } = library;
  const short = `${NAMES[license] ?? license}-${name.replace(/[^a-z0-9.]+/gi, '-').replace(/^-/, '')}`;
  return [
    `Files: ${folder}/*`,
    `Copyright: ${holders.join('\n           ')}`,
    `License: ${short}`,
    indented(terms(library)),
    `Comment: bundled: ${name} ${version}${homepage ? `, ${homepage}` : ''}`,
  ].join('\n');
});
if (stanzas.length === 0) throw new Error('no library went in; was the bundle built?');
process.stdout.write(`${stanzas.join('\n\n')}\n`);
