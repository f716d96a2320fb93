import type { Reporter, TestModule } from 'vitest/node';

/** Ends a run's output with one plain line, `N passed, N failed, N skipped`, for whoever reads logs by machine. */
export default class PlainReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const count = { passed: 0, failed: 0, skipped: 0, pending: 0 };
    for (const module of modules) {
      const tests = [...module.children.allTests()].map((test) => test.result().state);
      for (const state of tests) count[state] += 1;
      // What fails before its tests or after them.
      if (module.state() === 'failed' && !tests.includes('failed')) count.failed += 1;
    }
    process.stdout.write(
      `\n${count.passed} passed, ${count.failed} failed, ${count.skipped + count.pending} skipped\n`,
    );
  }
}
