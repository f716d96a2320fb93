// Starts the simulator as programs of their own, beside whoever wants it.
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { bundle } from './bundle.ts';
import type { Mutant } from './mutants/list.ts';
import type { Result, Wanted } from './simulate.ts';

const run = promisify(execFile);

/** Tells stories of the product, or of a mutant of it, in so many processes at once; the first broken promise ends all of them. */
export async function tellStories(wanted: Wanted, processes: number, mutant?: Mutant): Promise<Result> {
  const folder = mkdtempSync(join(tmpdir(), 'simulator-'));
  try {
    const file = join(folder, 'simulator.mjs');
    await bundle(file, mutant);
    const enough = new AbortController();
    const results = await Promise.all(
      Array.from({ length: processes }, async (_, i): Promise<Result | undefined> => {
        const share = {
          ...wanted,
          runs: Math.ceil(wanted.runs / processes),
          seed: (wanted.seed + i * 104729) % 0x7fffffff,
        };
        const args = ['--max-semi-space-size=32', file, JSON.stringify(share)];
        try {
          const { stdout } = await run(process.execPath, args, { maxBuffer: 1 << 26, signal: enough.signal });
          const result = JSON.parse(stdout) as Result;
          if (result.broken) enough.abort();
          return result;
        } catch (error) {
          if ((error as Error).name === 'AbortError') return undefined;
          throw error;
        }
      }),
    );
    return sum(results.filter((result) => result !== undefined));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function sum(results: readonly Result[]): Result {
  const happened: Record<string, number> = {};
  for (const result of results) {
    for (const [what, count] of Object.entries(result.happened))
      happened[what] = (happened[what] ?? 0) + count;
  }
  const total = (of: (result: Result) => number) => results.reduce((all, result) => all + of(result), 0);
  return {
    ...{
      stories: total(({ stories }) => stories),
      calls: total(({ calls }) => calls),
      cpu_s: total(({ cpu_s }) => cpu_s),
    },
    happened,
    broken: results.find(({ broken }) => broken)?.broken,
  };
}

/** The result as a table, and what was broken. */
export function tellResult({ stories, calls, cpu_s, happened, broken }: Result, seed: number): string {
  const rows = Object.entries(happened).sort(([, a], [, b]) => b - a);
  return [
    `${stories} stories with ${calls} calls, ${(stories / cpu_s).toFixed(0)} for a second of a processor; seed ${seed}`,
    ...rows.map(([what, count]) => `  ${what.padEnd(32)} ${String(count).padStart(8)}`),
    broken ? broken.told : `${stories} stories, 0 violations (SIMULATE_SEED=${seed} tells them again)`,
  ].join('\n');
}
