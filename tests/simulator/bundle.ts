// Makes one program of the real code and the model: where the code asks for Node's file system, clock or timers, for programs or for
// the network, it gets the model's. A mutant is the code with one of its precautions taken out.
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { build, type Plugin } from 'esbuild';
import type { Edit, Mutant } from './mutants/list.ts';

const HERE = import.meta.dirname;
const SRC = resolve(HERE, '../../src');
/** Where stories lead; what else there is of src (setting up, moving, the network) is never called. */
const TOLD_OF = /^(?:(?:core|drivers|jobs|stats|operations|base|config)\/|app(?:-daemon|-job)?\.ts$)/;
const isToldOf = (importer: string) =>
  importer.startsWith(`${SRC}/`) && TOLD_OF.test(importer.slice(SRC.length + 1));

/** What of Node is the model's, for modules of src. */
const OF_NODE: Readonly<Record<string, string>> = {
  'node:fs/promises': 'node-fs-promises.ts',
  'node:fs': 'node-fs.ts',
  'node:timers/promises': 'parts/timers-promises.ts',
  'node:os': 'parts/os.ts',
  pino: 'parts/pino.ts',
};

/** Modules of src that are the model's, for other modules of src; the model may build on the real one. */
const OF_SRC: Readonly<Record<string, string>> = {
  'drivers/run.ts': 'parts/run.ts',
  'drivers/host-figures.ts': 'parts/host-figures.ts',
  'drivers/certificate.ts': 'parts/certificate.ts',
  'drivers/accounts.ts': 'parts/accounts.ts',
  'drivers/console-logs.ts': 'parts/console-logs.ts',
  'drivers/templates.ts': 'parts/templates.ts',
  'transport/http.ts': 'parts/http.ts',
  'transport/tls.ts': 'parts/tls.ts',
  'base/bases.ts': 'parts/bases.ts',
  'stats/schedule.ts': 'parts/schedule.ts',
};

/** The text of a module with its mutation. */
function mutate(text: string, { file, from, to }: Edit, name: string): string {
  const at = text.indexOf(from);
  if (at < 0) throw new Error(`mutant "${name}": ${file} has no such text (any more): ${from}`);
  if (text.indexOf(from, at + 1) >= 0)
    throw new Error(`mutant "${name}": ${file} has this text more than once: ${from}`);
  return text.slice(0, at) + to + text.slice(at + from.length);
}

function model(mutant: Mutant | undefined, left: Set<Edit>): Plugin {
  return {
    name: 'model',
    setup({ onResolve, onLoad }) {
      onResolve({ filter: /^(node:|pino$)/ }, ({ path, importer }) => {
        const part =
          isToldOf(importer) || (path === 'pino' && importer.startsWith(SRC)) ? OF_NODE[path] : undefined;
        return part === undefined ? undefined : { path: join(HERE, part) };
      });
      onResolve({ filter: /^\.\.?\// }, ({ path, importer }) => {
        if (!importer.startsWith(`${SRC}/`)) return undefined;
        const part = OF_SRC[resolve(dirname(importer), path).slice(SRC.length + 1)];
        return part === undefined ? undefined : { path: join(HERE, part) };
      });
      if (!mutant) return;
      onLoad({ filter: /\/src\/.*\.ts$/ }, ({ path }) => {
        const edits = mutant.edits.filter(({ file }) => path === join(SRC, file));
        for (const edit of edits) left.delete(edit);
        if (edits.length === 0) return undefined;
        const text = readFileSync(path, 'utf8');
        return {
          contents: edits.reduce((so_far, edit) => mutate(so_far, edit, mutant.name), text),
          loader: 'ts',
        };
      });
    },
  };
}

/** Makes the program, and writes it to a file. */
export async function bundle(file: string, mutant?: Mutant): Promise<void> {
  const left = new Set(mutant?.edits ?? []);
  const { outputFiles } = await build({
    entryPoints: [join(HERE, 'main.ts')],
    plugins: [model(mutant, left)],
    ...{ bundle: true, write: false, format: 'esm', platform: 'node', target: 'node20', logLevel: 'error' },
    banner: { js: "import { createRequire } from 'node:module'; const require = createRequire('/');" },
  });
  const [output] = outputFiles ?? [];
  if (!output) throw new Error('esbuild made no program');
  for (const { file } of left) throw new Error(`mutant "${mutant?.name}": ${file} is no part of the program`);
  writeFileSync(file, output.contents);
}
