import { join } from 'node:path';
import { defineConfig } from 'vitest/config';

const common = {
  root: import.meta.dirname,
  testTimeout: 900_000,
  hookTimeout: 900_000,
  pool: 'forks' as const,
};

const { XEN_ONLY: only, XEN_TEST_LONG: long } = process.env;
/** Two share the machine where one of them waits for much; the others have it alone, the one that reboots it last. */
const phases = [
  ['life', 'failures'],
  ['drivers', 'reboot'],
  ['footprint'],
  long ? ['bootstrap'] : [],
  long || only?.includes('thin') ? ['thin'] : [],
  long || only?.includes('console') ? ['console'] : [],
  ['systems'],
  ['outage'],
  only?.includes('cuts') ? ['cuts'] : [],
]
  .map((names) => names.filter((name) => !only || only.split(',').includes(name)))
  .filter((names) => names.length > 0);

export default defineConfig({
  test: {
    reporters: [join(import.meta.dirname, 'report.ts')],
    projects: phases.map((names, groupOrder) => ({
      test: {
        ...common,
        name: names.join(' and '),
        include: names.map((name) => `${name}.test.ts`),
        maxWorkers: names.length,
        sequence: { groupOrder: groupOrder + 1 },
      },
    })),
  },
});
