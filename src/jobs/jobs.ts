import { lstat, mkdir, rename, rm, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { AgentError } from '../core/errors.ts';
import { holding } from '../core/held-locks.ts';
import { readLogTail } from '../core/log-tail.ts';
import type { FileLocks, JobStatus, Jobs } from '../core/ports.ts';
import { bootId } from '../core/steady-clock.ts';
import type { VpsId } from '../core/vps.ts';
import { isEnded, type JobFolder, readStatus } from './folder.ts';
import { type LaunchOptions, launch } from './launch.ts';
import { createLeftovers } from './leftovers.ts';
import { settle } from './settle.ts';
import { createJobStore, type StoredJob } from './store.ts';

/** What {@link createJobs} needs. */
export interface JobsOptions extends LaunchOptions {
  readonly locks: FileLocks;
  readonly state_dir: string;
  /** provisioning_mount_point. */
  readonly mount_dir: string;
  /** How long a job's process may take until it runs. */
  readonly start_timeout_ms?: number;
  /** How long one that is cancelled may take to take itself down. */
  readonly cancel_timeout_ms?: number;
}

/** {@link Jobs}, with what the daemon does at its start and from time to time. */
export interface JobKeeper extends Jobs {
  /**
   * Settles every dead job, and deletes what crashes left of folders. What fails for one VPS is told, and keeps no other one's from
   * being done. Returns the jobs that were settled.
   */
  recover(onTrouble: (vps: VpsId, thrown: unknown) => void): Promise<readonly JobStatus[]>;
}

const ENDED_JOBS_KEPT = 10;
const POLL_MS = 50;
const CANCEL_POLL_MS = 200;
const LOCK_AFTER_KILL_MS = 10_000;
/** Beyond the time a start may take, so that nobody settles a job that is still being started. */
const STARTING_GRACE_MS = 10_000;

/** Jobs in `state_dir/states`, run as {@link LaunchOptions} says. */
export function createJobs(options: JobsOptions): JobKeeper {
  const { locks, mount_dir, start_timeout_ms = 120_000, cancel_timeout_ms = 30_000 } = options;
  const store = createJobStore(join(options.state_dir, 'states'));
  const leftovers = createLeftovers(options);
  const turns = new Map<string, Promise<unknown>>();

  /** One at a time per VPS: two checks of a dead job would each take the other's probe of its lock for life. */
  function inTurn<T>(vps: VpsId, work: () => Promise<T>): Promise<T> {
    const turn = (turns.get(vps.name) ?? Promise.resolve()).then(work, work);
    turns.set(vps.name, turn);
    const done = () => {
      if (turns.get(vps.name) === turn) turns.delete(vps.name);
    };
    turn.then(done, done);
    return turn;
  }

  const mayBeStarting = async ({ state, created, boot_id }: JobStatus) =>
    state === 'queued' &&
    Math.abs(Date.now() - Date.parse(created)) < start_timeout_ms + STARTING_GRACE_MS &&
    boot_id === (await bootId());

  /** The job's status after a look at whether it lives; a dead one is settled. */
  async function lookAt({ folder, status }: StoredJob): Promise<JobStatus | undefined> {
    if (isEnded(status) || (await mayBeStarting(status))) return status;
    const lock = await locks.tryLock(folder.lock_path);
    if (!lock) return readStatus(folder);
    try {
      return await holding(lock, () => settle(folder, leftovers));
    } finally {
      await lock.release();
    }
  }

  async function findCurrent(vps: VpsId): Promise<JobStatus | undefined> {
    let current: JobStatus | undefined;
    for (const job of await store.list(vps)) {
      const status = await lookAt(job);
      if (status && !isEnded(status)) current ??= status;
    }
    return current;
  }

  const logLink = (vps: VpsId) => join(mount_dir, `${vps.number}.log`);

  async function linkLog(folder: JobFolder): Promise<void> {
    await mkdir(mount_dir, { recursive: true, mode: 0o700 });
    const fresh = `${logLink(folder.vps)}.new`;
    await rm(fresh, { force: true });
    await symlink(folder.log_path, fresh);
    await rename(fresh, logLink(folder.vps));
  }

  /** Waits until the job's process says that it runs; undefined where it ended or stayed silent. */
  async function waitUntilRunning(
    folder: JobFolder,
    ended: Promise<unknown>,
  ): Promise<JobStatus | undefined> {
    let over = false;
    ended.then(() => {
      over = true;
    });
    const until = Date.now() + start_timeout_ms;
    for (;;) {
      const last_look = over || Date.now() >= until;
      const status = await readStatus(folder);
      if (status && status.state !== 'queued') return status;
      if (last_look) return undefined;
      await sleep(POLL_MS);
    }
  }

  async function giveUp(folder: JobFolder): Promise<AgentError> {
    const said = ((await readLogTail(folder.process_log_path, 0)) ?? '').split('\n').filter(Boolean);
    const why =
      said.find((line) => /error|failed|cannot|denied/i.test(line)) ?? said.at(-1) ?? 'it said nothing';
    const tell = ({ kind, vps }: JobStatus) =>
      `The ${kind} of ${vps} did not start (${why.trim().slice(0, 200)}); nothing was touched.`;
    await leftovers.killProcesses(folder.id);
    const lock = await locks.tryLock(folder.lock_path, LOCK_AFTER_KILL_MS);
    if (!lock) {
      return new AgentError(
        'program_timeout',
        `The job ${folder.id} of ${folder.vps.name} did not start, and cannot be killed: see its processes on the node.`,
      );
    }
    try {
      const settled = await holding(lock, () => settle(folder, leftovers, tell));
      return new AgentError('program_failed', settled?.message ?? `The job ${folder.id} is gone.`);
    } finally {
      await lock.release();
    }
  }

  async function recoverOne(vps: VpsId): Promise<JobStatus[]> {
    await store.sweep(vps, start_timeout_ms);
    const before = (await store.list(vps)).filter(({ status }) => !isEnded(status));
    await jobs.current(vps);
    const now = await Promise.all(before.map(({ folder }) => readStatus(folder)));
    return now.filter((status) => status !== undefined && isEnded(status)) as JobStatus[];
  }

  const jobs: JobKeeper = {
    async start(kind, vps, request, secret) {
      const current = await jobs.current(vps);
      if (current) {
        throw new AgentError(
          'vps_busy',
          `${vps.name} is busy: a ${current.kind} runs since ${current.created}; wait for its end.`,
        );
      }
      await store.prune(vps, ENDED_JOBS_KEPT);
      const { folder } = await store.create(vps, { kind, request }, secret);
      if (kind === 'reinstall') await linkLog(folder);
      const companion = await launch(kind, folder, options);
      const failed = companion.ended.then(({ exit }) => (exit === 0 ? new Promise(() => {}) : exit));
      const running = await waitUntilRunning(folder, failed);
      if (!running) throw await giveUp(folder);
      return running;
    },

    current: (vps) => inTurn(vps, () => findCurrent(vps)),

    async cancel(vps) {
      const current = await jobs.current(vps);
      const job = (await store.list(vps)).find(({ folder }) => folder.id === current?.id);
      if (!job) return undefined;
      const { folder } = job;
      const until = Date.now() + cancel_timeout_ms;
      const runs = async () => {
        const status = await readStatus(folder);
        return status !== undefined && !isEnded(status);
      };
      while (Date.now() < until && (await runs())) {
        await leftovers.terminate(folder.id);
        await sleep(CANCEL_POLL_MS);
      }
      if (await runs()) await leftovers.killProcesses(folder.id);
      const lock = await locks.tryLock(folder.lock_path, LOCK_AFTER_KILL_MS);
      if (!lock) {
        throw new AgentError(
          'program_timeout',
          `The job ${folder.id} of ${vps.name} was told to end, and cannot be killed: see its processes on the node.`,
        );
      }
      try {
        return await holding(lock, () => settle(folder, leftovers));
      } finally {
        await lock.release();
      }
    },

    async last(vps) {
      return (await store.list(vps))[0]?.status;
    },

    async installLog(vps, lines) {
      const newest = (await store.list(vps)).find(({ status }) => status.kind === 'reinstall');
      return newest && (await readLogTail(newest.folder.log_path, lines));
    },

    async forget(vps) {
      for (const { folder, status } of await store.list(vps)) {
        if (isEnded(status)) await store.remove(folder);
      }
      const link = await lstat(logLink(vps)).catch((error: NodeJS.ErrnoException) => {
        if (error.code === 'ENOENT') return undefined;
        throw error;
      });
      if (link?.isSymbolicLink()) await rm(logLink(vps));
    },

    async recover(onTrouble) {
      const settled: JobStatus[] = [];
      for (const vps of await store.vpses()) {
        try {
          settled.push(...(await recoverOne(vps)));
        } catch (thrown) {
          onTrouble(vps, thrown);
        }
      }
      return settled;
    },
  };
  return jobs;
}
