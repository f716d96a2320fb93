import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { JobStatus, ReinstallRequest } from '../../src/core/ports.ts';
import { parseVpsId, type VpsId } from '../../src/core/vps.ts';
import { createFileLocks, createVpsLocks } from '../../src/drivers/flock.ts';
import { createRunner } from '../../src/drivers/run.ts';
import { createJobs, type JobsOptions } from '../../src/jobs/jobs.ts';

/** How long the sleepers of this process sleep, in seconds: what they are known by. */
export const SLEEP_S = String(1_000_000 + process.pid);

/** What the plans of test-job.ts run. */
const SCRIPTS = {
  say: 'echo "$1"',
  fail: 'echo "the mirror is down" >&2; exit 3',
  'wait-for': 'while [ ! -e "$1" ]; do sleep 0.05; done',
  'mount-and-wait': [
    'mkdir -p -- "$2"; mount -o loop -- "$1" "$2"; touch "$2/inside"',
    `setsid sleep ${SLEEP_S} >/dev/null 2>&1 &`,
    `env -i setsid sleep ${SLEEP_S} >/dev/null 2>&1 &`,
    `touch "$3/mounted"; sleep ${SLEEP_S}`,
  ].join('\n'),
  'mount-and-leave': [
    'mkdir -p -- "$2"; mount -o loop -- "$1" "$2"',
    `cd -- "$2"; setsid sleep ${SLEEP_S} >/dev/null 2>&1 &`,
    `cd -- "$2"; env -i setsid sleep ${SLEEP_S} & echo done`,
  ].join('\n'),
  count: '[ ! -e "$1/secret" ] || exit 9; wc -c',
  loud: 'i=0; while [ $i -lt 4000 ]; do echo "$i ........................................"; i=$((i+1)); done',
};

/** The VPS of these tests. */
export const xen01 = parseVpsId('xen01') as VpsId;

/** A folder of its own with scripts, locks and jobs. */
export interface House {
  readonly base: string;
  readonly jobs: ReturnType<typeof createJobs>;
  readonly locks: ReturnType<typeof createVpsLocks>;
  readonly files: ReturnType<typeof createFileLocks>;
  /** A second `createJobs` on the same folder, as a restarted daemon has it. */
  again(change?: Partial<JobsOptions>): ReturnType<typeof createJobs>;
  /** Starts a job under the VPS's lock, as an operation does. */
  start(plan: string, secret?: string): Promise<JobStatus>;
  /** Waits for the job's end as another program would see it. */
  ended(jobs?: ReturnType<typeof createJobs>): Promise<JobStatus>;
  folder(job: Pick<JobStatus, 'id'>): string;
  /** The pids whose command line holds all of these words. */
  processes(...words: string[]): number[];
  clean(): Promise<void>;
}

/** What a reinstall of these tests asks for; `plan` is the one of test-job.ts. */
export function request(plan: string): ReinstallRequest {
  const nics = [{ ip: '192.0.2.10', netmask: '255.255.255.0', broadcast: '192.0.2.255' }];
  return { os: plan, memory_mb: 256, nics, gateway: '192.0.2.1', dns: ['192.0.2.2'], image_type: 'vbd' };
}

/** Waits until `test` is true, at most a minute. */
export async function eventually(what: string, test: () => boolean | Promise<boolean>): Promise<void> {
  const until = Date.now() + 60_000;
  while (!(await test())) {
    if (Date.now() > until) throw new Error(`it did not come to be: ${what}`);
    await sleep(25);
  }
}

/** The command of test-job.ts on a folder. */
export function jobCommand(base: string): string[] {
  const main = fileURLToPath(new URL('./test-job.ts', import.meta.url));
  return [process.execPath, '--import', import.meta.resolve('tsx'), main, base];
}

/** Options of `createJobs` on a folder. */
export function jobsOptions(base: string): JobsOptions {
  const program_path = process.env['PATH'] ?? '';
  const runner = createRunner({ path: program_path });
  return {
    runner,
    program_path,
    locks: createFileLocks(runner),
    state_dir: join(base, 'state'),
    mount_dir: join(base, 'mnt'),
    job_runner: 'detached',
    job_command: jobCommand(base),
    start_timeout_ms: 60_000,
  };
}

/** An ext4 image where xen01's root disk is. */
export function makeImage(base: string): string {
  const image = join(base, 'mnt', 'xen01.img');
  writeFileSync(image, '');
  execFileSync('truncate', ['--size=16M', '--', image]);
  execFileSync('mkfs.ext4', ['-q', image]);
  return image;
}

/** Loop devices on a file. */
export function loopDevices(image: string): string {
  return execFileSync('losetup', ['--associated', image], { encoding: 'utf8' });
}

function processesWith(words: readonly string[]): number[] {
  return readdirSync('/proc')
    .filter((name) => /^[0-9]+$/.test(name))
    .map(Number)
    .filter((pid) => {
      let line = '';
      try {
        line = readFileSync(`/proc/${pid}/cmdline`, 'latin1');
      } catch (error) {
        if (!['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
      }
      return words.every((word) => line.includes(word));
    });
}

/** Kills with -9; those already gone are fine. */
export function killAll(pids: readonly number[]): void {
  for (const pid of pids) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  }
}

/** Makes a {@link House}. */
export function makeHouse(): House {
  const base = mkdtempSync(join(tmpdir(), 'dtc-xen-jobs-'));
  for (const folder of ['mnt', 'scripts', 'run']) mkdirSync(join(base, folder));
  for (const [name, text] of Object.entries(SCRIPTS)) {
    const path = join(base, 'scripts', name);
    writeFileSync(path, `#!/bin/sh\nset -eu\n${text}\n`);
    chmodSync(path, 0o755);
  }
  const options = jobsOptions(base);
  const jobs = createJobs(options);
  const locks = createVpsLocks({ run_dir: join(base, 'run'), locks: options.locks });
  return {
    base,
    jobs,
    locks,
    files: options.locks,
    again: (change = {}) => createJobs({ ...options, ...change }),
    async start(plan, secret) {
      const lock = await locks.acquire(xen01, 'a test');
      try {
        return await jobs.start('reinstall', xen01, request(plan), secret);
      } finally {
        await lock.release();
      }
    },
    async ended(by = jobs) {
      await eventually('the end of the job', async () => (await by.current(xen01)) === undefined);
      return (await by.last(xen01)) as JobStatus;
    },
    folder: ({ id }) => join(base, 'state', 'states', 'xen01', id),
    processes: (...words) => processesWith(words),
    async clean() {
      killAll(processesWith([base]));
      await eventually('the end of all processes', () => processesWith([base]).length === 0);
      rmSync(base, { recursive: true, force: true });
    },
  };
}
