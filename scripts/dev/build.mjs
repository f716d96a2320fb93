// Bundles the daemon and the client, with their libraries, into dist/: the agent in parts, of which each command loads its own.
import { copyFileSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';

const OUT = 'dist';
const banner = `#!/usr/bin/env node
import { createRequire as __createRequire } from 'node:module';
const require = __createRequire(import.meta.url);
const __filename = import.meta.filename;
const __dirname = import.meta.dirname;`;

mkdirSync(OUT, { recursive: true });
for (const name of readdirSync(OUT)) if (/\.m?js$/.test(name)) rmSync(join(OUT, name));

const bundle = (name, entry, splitting) =>
  build({
    entryPoints: { [name]: entry },
    outdir: OUT,
    outExtension: { '.js': '.mjs' },
    chunkNames: `${name}-[name]-[hash]`,
    bundle: true,
    splitting,
    platform: 'node',
    target: 'node20.19',
    format: 'esm',
    legalComments: 'none',
    // The source text stays in memory for as long as the daemon runs; names stay, for its stack traces.
    minifyWhitespace: true,
    minifySyntax: true,
    logLevel: 'warning',
    metafile: true,
    banner: { js: banner },
  });
const bundles = [
  await bundle('dtc-xen-agent', 'src/main.ts', true),
  await bundle('dtc-xen-client', 'src/client/main.ts', false),
];

// What is started from beside the bundle (src/drivers/keeping-locks.ts, src/jobs/launch.ts).
copyFileSync('src/drivers/without-locks', join(OUT, 'without-locks'));
copyFileSync('src/jobs/with-node-proc', join(OUT, 'with-node-proc'));

// Which file of which library went in: scripts/dev/bundled-licences.mjs reads it.
mkdirSync('.cache', { recursive: true });
const inputs = Object.assign({}, ...bundles.map(({ metafile }) => metafile.inputs));
writeFileSync('.cache/bundled.json', JSON.stringify(inputs));
