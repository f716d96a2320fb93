import { readdirSync, readFileSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';

const ROOT = resolve(import.meta.dirname, '..');
const SRC = join(ROOT, 'src');

const files = readdirSync(SRC, { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
  .map((entry) => relative(SRC, join(entry.parentPath, entry.name)));
const source = (file: string) => readFileSync(join(SRC, file), 'utf8');
const folder = (file: string) => (file.includes('/') ? (file.split('/')[0] ?? '') : file);

/** What each folder of src may import from, besides itself; src/app*.ts and src/main.ts stand above all of them. */
const MAY_IMPORT: Record<string, readonly string[]> = {
  config: [],
  core: ['config'],
  operations: ['core'],
  drivers: ['core', 'config'],
  jobs: ['core', 'config'],
  stats: ['core', 'config'],
  base: ['core', 'config'],
  setup: ['core', 'config'],
  migrate: ['core', 'config'],
  transport: ['core', 'config'],
  docs: ['core', 'config'],
  client: ['core'],
  programs: ['core', 'config'],
};

function imports(file: string): { specifier: string; typeOnly: boolean; lazy: boolean }[] {
  const matches = source(file).matchAll(
    /^(?:import|export)\s+(type\s)?[^;]*?from\s+'([^']+)'|import\('([^']+)'\)/gms,
  );
  return [...matches].map(([, typeOnly, from, dynamic]) => ({
    specifier: from ?? dynamic ?? '',
    typeOnly: typeOnly !== undefined,
    lazy: dynamic !== undefined,
  }));
}

describe('the structure of src', () => {
  it('has no file that this test does not know the place of', () => {
    const known = [
      ...Object.keys(MAY_IMPORT),
      'app.ts',
      'app-by-hand.ts',
      'app-daemon.ts',
      'app-job.ts',
      'app-setup.ts',
      'main.ts',
    ];
    expect(files.filter((file) => !known.includes(folder(file)))).toEqual([]);
    expect(files.length).toBeGreaterThan(50);
  });

  it.each(files)('%s imports in the one direction', (file) => {
    const allowed = MAY_IMPORT[folder(file)];
    for (const { specifier } of imports(file)) {
      if (!specifier.startsWith('.') || specifier === '../../package.json') continue;
      expect(specifier, 'write the .ts ending').toMatch(/\.ts$/);
      if (!allowed) continue;
      const target = folder(relative(SRC, resolve(SRC, file, '..', specifier)));
      if (target === folder(file)) continue;
      expect(
        allowed,
        `${file} may not import ${specifier}; reach it through a port of src/core/ports.ts`,
      ).toContain(target);
    }
  });

  it.each([
    ['main.ts', ['execa', 'pino', 'fastify', 'saxes', 'node-cron', 'systeminformation', 'soap']],
    ['app-job.ts', ['fastify', 'saxes', 'soap']],
    ['app-by-hand.ts', ['fastify', 'saxes', 'systeminformation', 'soap']],
    ['app-daemon.ts', ['systeminformation', 'soap']],
  ])('%s starts without what it does not need', (start, unneeded) => {
    const loaded = new Set<string>();
    const load = (file: string) => {
      for (const { specifier } of imports(file).filter(({ typeOnly, lazy }) => !typeOnly && !lazy)) {
        const next = specifier.startsWith('.')
          ? relative(SRC, resolve(SRC, file, '..', specifier))
          : specifier;
        if (loaded.has(next)) continue;
        loaded.add(next);
        if (next !== specifier) load(next);
      }
    };
    load(start);
    expect(loaded.size).toBeGreaterThan(5);
    expect(unneeded.filter((library) => loaded.has(library))).toEqual([]);
  });

  it('loads what is its own at the start alone: after an upgrade, parts of the old version are gone', () => {
    const late = files.filter((file) => file !== 'main.ts' && imports(file).some(({ lazy }) => lazy));
    expect(late).toEqual([]);
  });

  it.each(files.filter((file) => file !== 'drivers/run.ts'))(
    '%s runs programs through src/drivers/run.ts alone',
    (file) => {
      for (const { specifier, typeOnly } of imports(file)) {
        if (typeOnly) continue;
        expect(
          ['execa', 'child_process', 'node:child_process'],
          'use the Runner of src/drivers/run.ts',
        ).not.toContain(specifier);
      }
    },
  );

  it('calls LVM where it is told of no device that a guest can write, and nowhere else', () => {
    const named = files.filter((file) => /program(?::| =) '(?:lv|vg|pv)[a-z]+'/.test(source(file)));
    // lvmconfig looks at no device.
    expect(named).toEqual(['drivers/lvm-program.ts', 'drivers/self-check.ts']);
    const handed = files.filter((file) =>
      /\brunner\.(?:run|check)\(\{ label: program, program\b/.test(source(file)),
    );
    expect(handed).toEqual(['drivers/lvm-program.ts']);
  });

  it.each(files.filter((file) => file !== 'operations/index.ts'))(
    '%s keeps the style of the house',
    (file) => {
      const text = source(file);
      const lines = text.split('\n');
      expect(lines.length, 'split it: a file has one subject').toBeLessThanOrEqual(400);
      expect(file, 'name it after what it is').not.toMatch(/util|helper|misc|common/i);
      expect(text, 'name the error, or let it pass').not.toMatch(/catch\s*(\([^)]*\))?\s*\{\s*\}/);
      expect(text, 'pass an array of arguments').not.toMatch(/shell:\s*true|['"`]sh -c/);
      expect(text, "import * as z: by its name, all of zod's languages are loaded").not.toMatch(
        /\{ z \} from 'zod'/,
      );
      expect(text, 'log through pino').not.toMatch(/console\.(log|error|warn|info)\(/);
      expect(text, 'take the clock or the folder from the configuration').not.toMatch(/process\.cwd\(\)/);
    },
  );

  it.each(files.filter((file) => !file.startsWith('operations/')))('%s documents what it exports', (file) => {
    const lines = source(file).split('\n');
    const bare = lines.filter(
      (line, i) =>
        /^export (async )?(function|const|class|interface|type|abstract class) \w/.test(line) &&
        !lines[i - 1]?.trim().endsWith('*/'),
    );
    expect(bare, 'say its shape, units and errors in a short doc comment').toEqual([]);
  });

  it.each(files.filter((file) => /^operations\/(?!index)/.test(file)))(
    '%s is one operation, named noun-verb',
    (file) => {
      const text = source(file);
      expect(text.match(/defineOperation\(/g)).toHaveLength(1);
      expect(file).toMatch(/^operations\/[a-z]+(-[a-z]+)+\.ts$/);
      expect(text.split('\n').length).toBeLessThanOrEqual(110);
    },
  );
});
