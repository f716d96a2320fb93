/**
 * Another process of flock.test.ts, on the run directory given:
 *
 * - `hold PROGRAM...` takes xen01's lock, says what came of it, runs the program under it, and stays
 * - `count FILE TIMES` adds one to the number in the file, that many times, each under xen01's lock
 */
import { readFileSync, writeFileSync } from 'node:fs';
import type { AgentError } from '../../src/core/errors.ts';
import { createUnderLock } from '../../src/core/under-lock.ts';
import { createFileLocks, createVpsLocks } from '../../src/drivers/flock.ts';
import { createRunner } from '../../src/drivers/run.ts';

const [run_dir = '', order, ...rest] = process.argv.slice(2);
const xen01 = { number: '01', name: 'xen01' };
const runner = createRunner({ path: process.env['PATH'] ?? '' });
const locks = createVpsLocks({ run_dir, locks: createFileLocks(runner) });
const nothing = async () => undefined;
const ports = { locks, jobs: { current: nothing }, systems: { settle: nothing, requireWhole: nothing } };
const underLock = createUnderLock({ ports: ports as never, log: { warn: () => undefined } });

async function hold([program, ...args]: string[]): Promise<void> {
  try {
    await underLock(xen01, 'the other process', async () => {
      console.log('held');
      if (program !== undefined) await runner.run({ label: program, program, args, timeout_ms: 60_000 });
      await new Promise((resolve) => setTimeout(resolve, 60_000));
    });
  } catch (error) {
    const { code, message } = error as AgentError;
    console.log(code, message);
  }
}

async function count([file = '', times]: string[]): Promise<void> {
  for (let time = 0; time < Number(times); time += 1) {
    const lock = await locks.acquire(xen01, 'one that counts', 60_000);
    const before = Number(readFileSync(file, 'utf8'));
    await new Promise((resolve) => setTimeout(resolve, 2));
    writeFileSync(file, String(before + 1));
    await lock.release();
  }
}

await (order === 'count' ? count(rest) : hold(rest));
