import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['tests/**/*.test.ts'],
    // The simulator's stories are told by `make simulate` alone until its open finding is settled: see tests/simulator/simulator.test.ts.
    exclude: ['tests/xen/**', 'node_modules/**', 'tests/simulator/simulator.test.ts'],
    reporters: ['default', './tests/plain-reporter.ts'],
    testTimeout: 180_000,
    hookTimeout: 300_000,
    pool: 'forks',
    maxWorkers: 3,
  },
});
