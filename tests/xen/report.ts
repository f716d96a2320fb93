// The suite's report: a table of what was done, with the figures that tests note down.
import { appendFileSync, existsSync, readFileSync, rmSync } from 'node:fs';
import type { Reporter, TestCase, TestModule, TestSuite } from 'vitest/node';

const FIGURES = process.env['XEN_FIGURES'] ?? '';

/** Notes a figure down for the end of the report. */
export function note(what: string, figure: string): void {
  appendFileSync(FIGURES, `${JSON.stringify([what, figure])}\n`);
}

const seconds = (ms: number) => (ms / 1000).toFixed(1).padStart(7);
const MARKS: Record<string, string> = { passed: 'ok', failed: 'FAILED', skipped: 'left out' };

/** Prints each step when it has ended, and the whole table at the end. */
export default class TableReporter implements Reporter {
  readonly #rows: string[] = [];
  #failed = 0;

  onInit(): void {
    rmSync(FIGURES, { force: true });
  }

  onTestCaseResult(test: TestCase): void {
    const { state, errors } = test.result();
    const row = `${seconds(test.diagnostic()?.duration ?? 0)}  ${(MARKS[state] ?? state).padEnd(8)}  ${test.name}`;
    this.#rows.push(row);
    process.stdout.write(`${row}\n`);
    if (state !== 'failed') return;
    this.#failed += 1;
    for (const error of errors)
      process.stdout.write(`\n${error.stack ?? error.message}\n${error.diff ?? ''}\n`);
  }

  /** A hook that failed: all steps of its suite are left out. */
  onTestSuiteResult(suite: TestSuite): void {
    for (const error of suite.errors()) {
      this.#failed += 1;
      process.stdout.write(
        `\nbefore or after the steps of '${suite.name}': ${error.stack ?? error.message}\n`,
      );
    }
  }

  onTestRunEnd(modules: readonly TestModule[], unhandled: readonly { message: string }[]): void {
    const others = [...modules.flatMap((module) => module.errors()), ...unhandled];
    for (const { message } of others) process.stdout.write(`outside of any step: ${message}\n`);
    const figures = existsSync(FIGURES) ? readFileSync(FIGURES, 'utf8').trim().split('\n') : [];
    const lines = figures.map((line) => JSON.parse(line) as [string, string]);
    process.stdout.write(
      [
        '',
        'seconds  outcome   step, and what was asserted',
        ...this.#rows,
        '',
        ...lines.map(([what, figure]) => `${what}: ${figure}`),
        '',
      ].join('\n'),
    );
    process.stdout.write(`\n${this.#rows.length} steps, ${this.#failed} failed\n`);
  }
}
