import type { Logger } from 'pino';
import type { Ports } from './context.ts';
import { AgentError } from './errors.ts';
import { holding } from './held-locks.ts';
import type { HeldLock, JobStatus } from './ports.ts';
import type { VpsId } from './vps.ts';

/**
 * Does something with a VPS while nobody else changes it: under its lock, where no job of it runs, and after what a reinstall
 * that was cut off has begun is finished. `holder` is what others are told. Work that only waits from some moment on lets go of the
 * lock then; it changes nothing any more. Errors: `vps_busy`, `lock_lost`, `program_*`, and the
 * work's.
 */
export type UnderLock = <T>(
  vps: VpsId,
  holder: string,
  work: (letGo: () => Promise<void>) => Promise<T>,
  options?: UnderLockSettings,
) => Promise<T>;

/** How work is done under a VPS's lock. */
export interface UnderLockSettings {
  /** Whether what was begun is finished first; the work of an order that is about none of it does without. [true] */
  readonly settles?: boolean;
}

/** What {@link createUnderLock} needs. */
export interface UnderLockOptions {
  readonly ports: Pick<Ports, 'locks' | 'jobs' | 'systems'>;
  readonly log: Pick<Logger, 'warn'>;
}

function busyWithJob(vps: VpsId, job: JobStatus): AgentError {
  const step = job.steps.at(-1)?.name;
  return new AgentError(
    'vps_busy',
    `${vps.name} is busy: a ${job.kind} runs since ${job.created}${step ? ` (step ${step})` : ''}; wait for its end.`,
  );
}

/** Makes {@link UnderLock}. */
export function createUnderLock({ ports, log }: UnderLockOptions): UnderLock {
  async function acquire(vps: VpsId, holder: string): Promise<HeldLock> {
    try {
      return await ports.locks.acquire(vps, holder);
    } catch (error) {
      const job =
        error instanceof AgentError && error.code === 'vps_busy' ? await ports.jobs.current(vps) : undefined;
      throw job ? busyWithJob(vps, job) : error;
    }
  }

  async function settleSystems(vps: VpsId): Promise<void> {
    try {
      const told = await ports.systems.settle(vps);
      if (told !== undefined) log.warn({ vps: vps.name }, told);
    } catch (error) {
      if (!(error instanceof AgentError)) throw error;
      if (error.code === 'lock_lost') throw error;
      log.warn({ vps: vps.name, code: error.code }, error.message);
      // Whatever needs a stopped VPS finds out by itself that it is not.
      if (error.code === 'vps_running' || error.code === 'vps_saved') return;
      const message = `${vps.name} is busy: a reinstall is not finished. ${error.message}`;
      throw new AgentError('vps_busy', message, { cause: error });
    }
  }

  return async (vps, holder, work, { settles = true } = {}) => {
    const lock = await acquire(vps, holder);
    try {
      return await holding(lock, async () => {
        const job = await ports.jobs.current(vps);
        if (job) throw busyWithJob(vps, job);
        if (settles) {
          await settleSystems(vps);
          await ports.systems.requireWhole(vps);
        }
        return work(lock.release);
      });
    } finally {
      await lock.release();
    }
  };
}
