// `make simulate RUNS=100000`: so many stories on all processors. SIMULATE_SEED tells those of a seed again, SIMULATE_MUTANT tells
// them of a mutant, SIMULATE_SURVEY goes on where something is broken, SIMULATE_ONLY looks for some words alone.
import { availableParallelism } from 'node:os';
import { MUTANTS } from './mutants/list.ts';
import { tellResult, tellStories } from './program-of-stories.ts';

const { RUNS, SIMULATE_SEED, SIMULATE_MUTANT, SIMULATE_SURVEY, SIMULATE_ONLY, SIMULATE_LOG } = process.env;
const mutant = MUTANTS.find(({ name }) => name === SIMULATE_MUTANT);
if (SIMULATE_MUTANT !== undefined && !mutant) throw new Error(`there is no mutant ${SIMULATE_MUTANT}`);
const seed = SIMULATE_SEED === undefined ? Math.floor(Math.random() * 0x7fffffff) : Number(SIMULATE_SEED);
const wanted = {
  ...{ seed, runs: Number(RUNS ?? 10_000), seconds: 0, only: SIMULATE_ONLY },
  ...{ survey: SIMULATE_SURVEY !== undefined, shorten: true, log_lines: Number(SIMULATE_LOG ?? 15) },
};
const processes = SIMULATE_SEED === undefined ? availableParallelism() : 1;
const result = await tellStories(wanted, processes, mutant);
process.stdout.write(`${tellResult(result, seed)}\n`);
process.exitCode = result.broken ? 1 : 0;
