import { defineConfig } from 'vitest/config';

// Node gives its children sockets, and the outermost `bash -c` takes one for a call from the network and reads ~/.bashrc (bash(1),
// "Invocation when run by a remote shell daemon"): whatever a developer has there, locks that others wait for among it.
process.env['SHLVL'] = '2';

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
