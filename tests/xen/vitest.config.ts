import { join } from 'node:path';
import { defineConfig } from 'vitest/config';

const common = {
  root: import.meta.dirname,
  hookTimeout: 900_000,
  pool: 'forks' as const,
};

const { XEN_ONLY: only = '', XEN_TEST_LONG: long } = process.env;
const named = only === '' ? [] : only.split(',');
/** Between guests and work on their disks: minutes each, and nothing beside it, since xl kills a script that takes 10 s. */
const BETWEEN = ['saved', 'rebooting', 'by-hand', 'renames', 'orderly', 'images'];
/** Two share the machine where one of them waits for much; the others have it alone, the one that reboots it last. */
const phases = [
  ['life', 'failures'],
  ['drivers', 'reboot'],
  ['footprint'],
  ...['bootstrap', 'thin', 'console', 'old-node', ...BETWEEN].map((name) =>
    long || named.includes(name) ? [name] : [],
  ),
  ['systems'],
  ['hostile'],
  ['outage'],
  named.includes('cuts') ? ['cuts'] : [],
]
  .map((names) => names.filter((name) => named.length === 0 || named.includes(name)))
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
        testTimeout: names.some((each) => BETWEEN.includes(each)) ? 7_200_000 : 900_000,
        sequence: { groupOrder: groupOrder + 1 },
      },
    })),
  },
});
