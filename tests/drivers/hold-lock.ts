/** Another process of flock.test.ts: takes xen01's lock below the run directory given, says what came of it, and stays. */
import type { AgentError } from '../../src/core/errors.ts';
import { createFileLocks, createVpsLocks } from '../../src/drivers/flock.ts';
import { createRunner } from '../../src/drivers/run.ts';

const [run_dir = ''] = process.argv.slice(2);
const runner = createRunner({ path: process.env['PATH'] ?? '' });
const locks = createVpsLocks({ run_dir, locks: createFileLocks(runner) });

try {
  await locks.acquire({ number: '01', name: 'xen01' }, 'the other process');
  console.log('held');
  setInterval(() => undefined, 60_000);
} catch (error) {
  const { code, message } = error as AgentError;
  console.log(code, message);
}
