// Stories of two VPSes, told to the real code on a node that is a model: nothing is lost, whatever dies when.
import { expect, it } from 'vitest';
import { tellResult, tellStories } from './program-of-stories.ts';

const SECONDS = 60;
const { SIMULATE_SEED } = process.env;

it(`finds nothing lost in the stories of ${SECONDS} seconds`, async () => {
  const seed = SIMULATE_SEED === undefined ? Math.floor(Math.random() * 0x7fffffff) : Number(SIMULATE_SEED);
  const wanted = {
    seed,
    runs: 0,
    seconds: SECONDS,
    survey: false,
    only: undefined,
    shorten: true,
    log_lines: 15,
  };
  const result = await tellStories(wanted, 1);
  const told = tellResult(result, seed);
  console.log(told);
  expect(result.stories).toBeGreaterThan(0);
  expect(result.broken, told).toBeUndefined();
}, 600_000);
