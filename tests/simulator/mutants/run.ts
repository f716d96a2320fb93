// `make mutants`: tells stories of each mutant until one breaks a promise. A mutant that lives is a hole in the simulator.
// ONLY=word: those alone that have it in their name. RUNS: how many stories each gets.
import { availableParallelism } from 'node:os';
import { tellStories } from '../program-of-stories.ts';
import { MUTANTS } from './list.ts';

const runs = Number(process.env['RUNS'] || 40_000);
const only = process.env['ONLY'] ?? '';
const seed =
  process.env['SIMULATE_SEED'] === undefined
    ? Math.floor(Math.random() * 0x7fffffff)
    : Number(process.env['SIMULATE_SEED']);
const wanted = {
  seed,
  runs,
  seconds: 0,
  survey: false,
  only: undefined,
  shorten: process.env['SHORTEN'] !== undefined,
  log_lines: 4,
};
const say = (line: string) => process.stdout.write(`${line}\n`);

say(`seed ${seed}, at most ${runs} stories for each`);
let alive = 0;
for (const mutant of MUTANTS.filter(({ name }) => name.includes(only))) {
  const { broken, stories } = await tellStories(wanted, availableParallelism(), mutant);
  if (!broken) alive += 1;
  const what = broken
    ? `caught after ${String(broken.after).padStart(6)}`
    : `LIVES after ${String(stories).padStart(6)}`;
  say(`${mutant.name.padEnd(55)} ${what}  ${broken?.invariant ?? ''}: ${broken?.first.slice(0, 160) ?? ''}`);
  if (broken && only !== '') say(broken.told);
}
say(alive === 0 ? 'all caught' : `${alive} live`);
process.exitCode = alive === 0 ? 0 : 1;
