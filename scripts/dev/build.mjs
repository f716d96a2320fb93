// Bundles the daemon and the client, each with its libraries, into one file in dist/.
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { build } from 'esbuild';

const banner = `#!/usr/bin/env node
import { createRequire as __createRequire } from 'node:module';
const require = __createRequire(import.meta.url);
const __filename = import.meta.filename;
const __dirname = import.meta.dirname;`;

const { metafile } = await build({
  entryPoints: { 'dtc-xen-agent': 'src/main.ts', 'dtc-xen-client': 'src/client/main.ts' },
  outdir: 'dist',
  bundle: true,
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

// What is started from beside the bundle (src/drivers/keeping-locks.ts, src/jobs/launch.ts).
copyFileSync('src/drivers/without-locks', 'dist/without-locks');
copyFileSync('src/jobs/with-node-proc', 'dist/with-node-proc');

// Which file of which library went in: scripts/dev/bundled-licences.mjs reads it.
mkdirSync('.cache', { recursive: true });
writeFileSync('.cache/bundled.json', JSON.stringify(metafile.inputs));
