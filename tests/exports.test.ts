import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { expect, it } from 'vitest';

const ROOT = resolve(import.meta.dirname, '..');
const EXPORT = /^export (?:async )?(function|const|class|interface|type) (\w+)/gm;
/** A file that is code, in the folders that may use what src exports. */
const CODE = /\.(?:ts|mjs)$/;

const texts = new Map(
  ['src', 'tests', 'scripts'].flatMap((folder) =>
    readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && CODE.test(entry.name))
      .map((entry) => join(entry.parentPath, entry.name))
      .map((path) => [path, readFileSync(path, 'utf8')] as const),
  ),
);
const words = new Map([...texts].map(([path, text]) => [path, new Set(text.match(/\w+/g))]));
const exported = [...texts]
  .filter(([path]) => path.startsWith(join(ROOT, 'src/')))
  .flatMap(([path, text]) =>
    [...text.matchAll(EXPORT)].map(([, kind = '', name = '']) => ({ path, kind, name })),
  );
const usedElsewhere = (name: string, path: string) =>
  [...words].some(([other, there]) => other !== path && there.has(name));
/** A type is used where it stands, too: in the signature of another export. */
const usedHere = (name: string, path: string) =>
  (texts.get(path)?.match(new RegExp(`\\b${name}\\b`, 'g'))?.length ?? 0) > 1;

it('src exports only what something else uses', () => {
  const unused = exported.filter(({ path, kind, name }) => {
    if (usedElsewhere(name, path)) return false;
    return !(['interface', 'type'].includes(kind) && usedHere(name, path));
  });
  expect(
    unused.map(({ path, name }) => `${path.slice(ROOT.length + 1)}: ${name}`),
    'take away the word export, or the thing itself',
  ).toEqual([]);
  expect(exported.length).toBeGreaterThan(200);
});
