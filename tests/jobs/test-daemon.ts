/** A daemon of jobs.test.ts, to be killed: starts the plan `slow` on the folder given, under the VPS's lock, which it keeps. */
import { createFileLocks, createVpsLocks } from '../../src/drivers/flock.ts';
import { createRunner } from '../../src/drivers/run.ts';
import { createJobs } from '../../src/jobs/jobs.ts';
import { jobsOptions, request, xen01 } from './house.ts';

const [base = ''] = process.argv.slice(2);
const runner = createRunner({ path: process.env['PATH'] ?? '' });
const locks = createVpsLocks({ run_dir: `${base}/run`, locks: createFileLocks(runner) });
await locks.acquire(xen01, 'the daemon that is going to die');
const { state } = await createJobs(jobsOptions(base)).start('reinstall', xen01, request('slow'));
console.log(state);
setInterval(() => undefined, 60_000);
