/** The job's process of these tests: `test-job.ts BASE FOLDER`. A reinstall's `os` names the plan; a fsck is the plan `quick`. */
import { createFileLocks, createVpsLocks } from '../../src/drivers/flock.ts';
import { createRunner } from '../../src/drivers/run.ts';
import type { JobOrder, Step } from '../../src/jobs/plan.ts';
import { runJob } from '../../src/jobs/run-job.ts';

const MINUTE_MS = 60_000;
const [base = '', folder = ''] = process.argv.slice(2);

function script(step: string, name: string, args: readonly string[] = [], input?: string): Step {
  return {
    name: step,
    run: async (ctx) => {
      const options = { timeout_ms: MINUTE_MS, ...(input === undefined ? {} : { input }) };
      const { stdout } = await ctx.script(name, args, options);
      return stdout.trim().split('\n').at(-1);
    },
  };
}

function steps(plan: string, mount_point: string, secret = ''): readonly Step[] {
  const say = script('say', 'say', ['it was said']);
  const fated: Step = {
    name: 'fate',
    run: async (ctx) => {
      await ctx.fate({ state: 'failed', told: 'Nothing is lost.' });
      return undefined;
    },
  };
  switch (plan) {
    case 'quick':
      return [script('greet', 'say', ['hello']), say];
    case 'failing':
      return [say, script('bootstrap', 'fail'), say];
    case 'slow':
      return [say, script('wait', 'wait-for', [`${base}/go`]), say];
    case 'mounting':
      return [fated, script('bootstrap', 'mount-and-wait', [`${base}/mnt/xen01.img`, mount_point, base])];
    case 'leaving':
      return [script('leave', 'mount-and-leave', [`${base}/mnt/xen01.img`, mount_point, base])];
    case 'secret':
      return [script('secret', 'count', [folder], secret)];
    case 'loud':
      return [script('loud', 'loud'), say];
    case 'defect':
      return [{ name: 'defect', run: () => Promise.reject(new TypeError('a defect at /some/where.ts')) }];
    case 'dead':
      process.exit(3);
  }
  throw new Error(`there is no plan ${plan}`);
}

const runner = createRunner({ path: process.env['PATH'] ?? '' });
const cancelled = new AbortController();
process.on('SIGTERM', () => cancelled.abort());

await runJob(folder, {
  runner,
  locks: createVpsLocks({ run_dir: `${base}/run`, locks: createFileLocks(runner) }),
  plans: {
    reinstall: ({ request, secret, mount_point }: JobOrder<'reinstall'>) =>
      steps(request.os, mount_point, secret),
    fsck: ({ mount_point }) => steps('quick', mount_point),
  },
  systems: { settle: async () => undefined },
  scripts_dir: `${base}/scripts`,
  mount_dir: `${base}/mnt`,
  signal: cancelled.signal,
  onDefect: (thrown) => console.error(thrown),
  log_cap_bytes: 100_000,
});
