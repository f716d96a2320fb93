// node --import tsx tests/fuzz/build.ts FOLDER [TARGET...]: for each target FOLDER/targets/TARGET.js, as jazzer.js takes it, and its
// seeds as files in FOLDER/seeds/TARGET.
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';
import { TARGETS } from './targets.ts';

const [folder = '', ...wanted] = process.argv.slice(2);
const unknown = wanted.find((name) => !Object.hasOwn(TARGETS, name));
if (folder === '' || unknown !== undefined) {
  process.stderr.write(`There is no target ${unknown}; there are: ${Object.keys(TARGETS).join(', ')}\n`);
  process.exit(2);
}
rmSync(join(folder, 'targets'), { recursive: true, force: true });
mkdirSync(join(folder, 'targets'), { recursive: true });
writeFileSync(join(folder, 'targets/package.json'), '{"type":"commonjs"}\n');
for (const [name, { seeds }] of Object.entries(TARGETS)) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  mkdirSync(join(folder, 'seeds', name), { recursive: true });
  for (const [at, bytes] of seeds().entries()) writeFileSync(join(folder, 'seeds', name, String(at)), bytes);
  await build({
    stdin: {
      contents: `import { TARGETS } from './targets.ts';\nexport const fuzz = (bytes) => TARGETS[${JSON.stringify(name)}].read(bytes);\n`,
      resolveDir: import.meta.dirname,
    },
    outfile: join(folder, 'targets', `${name}.js`),
    bundle: true,
    platform: 'node',
    target: 'node20.19',
    format: 'cjs',
    define: { 'import.meta.dirname': '__dirname' },
    logLevel: 'error',
  });
}
