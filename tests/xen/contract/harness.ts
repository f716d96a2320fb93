// What the driver contract takes from vitest, small enough to be bundled into one file and run in dom0: tests in order, hooks,
// vitest's own expect, and a count of the assertions.
import { JestAsymmetricMatchers, JestChaiExpect, JestExtend } from '@vitest/expect';
import * as chai from 'chai';

for (const plugin of [JestExtend, JestChaiExpect, JestAsymmetricMatchers]) chai.use(plugin);

/** What came of a test. */
export interface Outcome {
  readonly name: string;
  readonly assertions: number;
  readonly seconds: number;
  readonly error?: string;
}

type Work = (...values: never[]) => unknown;
type Hook = 'beforeAll' | 'afterAll' | 'beforeEach' | 'afterEach';
interface Suite {
  readonly hooks: Record<Hook, Work[]>;
  readonly tests: { readonly name: string; readonly work: Work }[];
}

const suites: Suite[] = [];
let assertions = 0;

/** vitest's expect, counted as vitest counts: one for each call. */
export const expect = Object.assign((value: unknown, message?: string) => {
  assertions += 1;
  return chai.expect(value, message);
}, chai.expect);

/** The names of the suites that are being described, the outermost first. */
const path: string[] = [];

/** A suite. One within another names its tests, and has its hooks: it can have none of its own. */
export function describe(name: string, ...rest: unknown[]): void {
  path.push(name);
  if (path.length === 1)
    suites.push({ hooks: { beforeAll: [], afterAll: [], beforeEach: [], afterEach: [] }, tests: [] });
  (rest.at(-1) as () => void)();
  path.pop();
}

const suite = () => suites.at(-1) as Suite;
const hook = (kind: Hook) => (work: Work) => {
  if (path.length !== 1) throw new Error(`${kind} in a suite within another: ${path.join(' > ')}`);
  suite().hooks[kind].push(work);
};
export const beforeAll = hook('beforeAll');
export const afterAll = hook('afterAll');
export const beforeEach = hook('beforeEach');
export const afterEach = hook('afterEach');

/** A test; `each` makes one of every row, whose first value stands for %s. */
export const it = Object.assign(
  (name: string, work: Work) => void suite().tests.push({ name: [...path, name].join(' > '), work }),
  {
    each: (rows: readonly (readonly unknown[])[]) => (name: string, work: Work) => {
      for (const row of rows) it(name.replace('%s', String(row[0])), () => work(...(row as never[])));
    },
  },
);

const failure = (error: unknown) => (error instanceof Error ? (error.stack ?? error.message) : String(error));

/** Runs everything that was described, in order. `told` hears of every end. */
export async function runTests(told: (outcome: Outcome) => void): Promise<Outcome[]> {
  const outcomes: Outcome[] = [];
  for (const { hooks, tests } of suites) {
    for (const work of hooks.beforeAll) await work();
    for (const test of tests) {
      const started = performance.now();
      let error: string | undefined;
      assertions = 0;
      for (const work of [...hooks.beforeEach, test.work, ...hooks.afterEach]) {
        try {
          await work();
        } catch (thrown) {
          error ??= failure(thrown);
        }
      }
      const seconds = (performance.now() - started) / 1000;
      const outcome = {
        name: test.name,
        assertions,
        seconds,
        ...(error === undefined ? {} : { error }),
      };
      outcomes.push(outcome);
      told(outcome);
    }
    for (const work of hooks.afterAll) await work();
  }
  return outcomes;
}
