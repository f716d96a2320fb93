import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['tests/**/*.test.ts'],
    exclude: ['tests/xen/**', 'node_modules/**'],
    reporters: ['default', './tests/plain-reporter.ts'],
    testTimeout: 180_000,
    hookTimeout: 300_000,
    // What is waited for comes late on a busy machine.
    expect: { poll: { timeout: 60_000 } },
    pool: 'forks',
    maxWorkers: 3,
  },
});
