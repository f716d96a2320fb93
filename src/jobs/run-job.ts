import { join } from 'node:path';
import { AgentError, asAgentError } from '../core/errors.ts';
import { holding } from '../core/held-locks.ts';
import type { JobFate, JobKind, JobStatus, JobStep, VpsLocks } from '../core/ports.ts';
import type { Runner } from '../core/runner.ts';
import type { Systems } from '../core/systems.ts';
import type { VpsId } from '../core/vps.ts';
import { type JobFolder, jobFolder, readRequest, readStatus, takeSecret, writeStatus } from './folder.ts';
import { createLeftovers, JOB_MARK, mountPoint } from './leftovers.ts';
import { type JobLog, openJobLog } from './log.ts';
import type { JobPlans, Step, StepContext } from './plan.ts';
import { endMessage, takeDown } from './settle.ts';

/** What a job's process is composed of. */
export interface JobProcess {
  readonly runner: Runner;
  readonly locks: VpsLocks;
  readonly plans: JobPlans;
  /** Called at the job's end under the VPS's lock: takes away what was begun and not finished. */
  readonly systems: Pick<Systems, 'settle'>;
  readonly scripts_dir: string;
  /** provisioning_mount_point. */
  readonly mount_dir: string;
  /** Aborted by SIGTERM: the job is cancelled, and told as failed. */
  readonly signal: AbortSignal;
  /** Told of what a step threw that is no AgentError; standard error ends up in the job's process.log. */
  readonly onDefect: (thrown: unknown) => void;
  readonly log_cap_bytes?: number;
  /** How long the caller of `Jobs.start` may still hold the VPS's lock. */
  readonly lock_wait_ms?: number;
}

/** The VPS's lock is free at the end of a job, but for the looks of others whether it lives. */
const END_LOCK_WAIT_MS = 10_000;

/** Where the job stands, kept on disk before anything else is done. */
class Progress {
  readonly #folder: JobFolder;
  #status: JobStatus;
  constructor(folder: JobFolder, status: JobStatus) {
    this.#folder = folder;
    this.#status = status;
  }
  get status(): JobStatus {
    return this.#status;
  }
  async #save(change: Partial<JobStatus>): Promise<void> {
    this.#status = { ...this.#status, ...change };
    await writeStatus(this.#folder, this.#status);
  }
  #closedSteps(): JobStep[] {
    const ended = new Date().toISOString();
    return this.#status.steps.map((step) => (step.ended === undefined ? { ...step, ended } : step));
  }
  running(): Promise<void> {
    return this.#save({ state: 'running' });
  }
  begin(name: string, share: number): Promise<void> {
    return this.#save({
      steps: [...this.#closedSteps(), { name, share, started: new Date().toISOString() }],
    });
  }
  async fate(fate: JobFate | undefined): Promise<void> {
    const { fate: _, ...status } = this.#status;
    this.#status = status;
    await this.#save(fate ? { fate } : {});
  }
  end(state: 'succeeded' | 'failed', message: string): Promise<void> {
    return this.#save({ state, ended: new Date().toISOString(), steps: this.#closedSteps(), message });
  }
}

function stepContext(progress: Progress, log: JobLog, job: JobProcess): StepContext {
  const { runner, scripts_dir, signal } = job;
  const { id } = progress.status;
  return {
    signal,
    log: (line) => log.line(line),
    fate: (fate) => progress.fate(fate),
    script: (name, args, options) =>
      runner.check({
        label: `script ${name}`,
        program: join(scripts_dir, name),
        args,
        ...options,
        env: { [JOB_MARK]: id },
        signal,
        onOutput: (chunk) => log.write(chunk),
      }),
  };
}

async function planOf(folder: JobFolder, mount_dir: string, plans: JobPlans): Promise<readonly Step[]> {
  const { kind, request } = await readRequest(folder);
  const secret = await takeSecret(folder);
  const makeSteps = plans[kind] as JobPlans[JobKind] as (order: unknown) => readonly Step[];
  const mount_point = mountPoint(mount_dir, folder.vps);
  return makeSteps({ id: folder.id, vps: folder.vps, request, secret, mount_point });
}

/** The sentence for a job that did not come to its end. */
function failure(status: JobStatus, thrown: unknown, cancelled: boolean): string {
  const step = status.steps.at(-1);
  const where = step ? ` in step ${step.name}` : ' before its first step; nothing was touched';
  return cancelled
    ? endMessage(status, `was cancelled${where}`)
    : endMessage(status, `failed${where}: ${asAgentError(thrown).message}`);
}

/** Finishes what was begun with the VPS's systems, or takes it away; where that fails, the daemon tries again. */
async function settleSystems(job: JobProcess, vps: VpsId): Promise<string | undefined> {
  try {
    const lock = await job.locks.acquire(vps, 'the end of a job', END_LOCK_WAIT_MS);
    try {
      return await holding(lock, () => job.systems.settle(vps));
    } finally {
      await lock.release();
    }
  } catch (thrown) {
    if (!(thrown instanceof AgentError)) job.onDefect(thrown);
    return asAgentError(thrown).message;
  }
}

/**
 * Runs a queued job to its end: the main of the job's process, which `Jobs.start` began under the job's lock. A job that was
 * told as failed before its process came to run is left as it is.
 *
 * @returns how the job stands then
 * @throws Error where the folder is no job's, or cannot be written
 */
export async function runJob(path: string, job: JobProcess): Promise<JobStatus> {
  const folder = jobFolder(path);
  const queued = await readStatus(folder);
  if (!queued) throw new Error(`${path} holds no job.`);
  if (queued.state !== 'queued') return queued;

  const { kind } = queued;
  const { name: vps } = folder.vps;
  const progress = new Progress(folder, queued);
  const log = openJobLog(folder.log_path, job.log_cap_bytes);
  const header = (text: string) => log.line(`== ${new Date().toISOString()} ${text}`);
  const leftovers = createLeftovers(job);
  header(`${kind} of ${vps}, job ${folder.id}`);
  await progress.running();

  let message = `The ${kind} of ${vps} is done.`;
  let problem: { thrown: unknown } | undefined;
  try {
    const steps = await planOf(folder, job.mount_dir, job.plans);
    const lock = await job.locks.acquire(
      folder.vps,
      `a ${kind} (job ${folder.id})`,
      job.lock_wait_ms ?? 60_000,
    );
    try {
      const context = stepContext(progress, log, job);
      const total = steps.reduce((sum, { weight = 1 }) => sum + weight, 0);
      await holding(lock, async () => {
        for (const step of steps) {
          job.signal.throwIfAborted();
          await progress.begin(step.name, Math.round((1000 * (step.weight ?? 1)) / total) / 10);
          header(`step ${step.name}`);
          message = (await step.run(context)) ?? message;
        }
      });
    } catch (thrown) {
      problem = { thrown };
    } finally {
      // What is taken down is this job's own, also where its lock was lost.
      if (process.pid === 1) await leftovers.killNamespace();
      const left = await takeDown(folder, leftovers);
      if (left !== undefined) problem ??= { thrown: new AgentError('program_failed', left) };
      await lock.release();
      const said = await settleSystems(job, folder.vps);
      if (said !== undefined) log.line(said);
    }
  } catch (thrown) {
    problem ??= { thrown };
  }

  const { fate } = progress.status;
  if (problem && job.signal.aborted && fate?.state === 'succeeded') {
    // It was told to end when it had done what counts.
    problem = undefined;
    message = fate.told;
  }
  if (problem) {
    message = failure(progress.status, problem.thrown, job.signal.aborted);
    const is_told = problem.thrown instanceof AgentError || problem.thrown === job.signal.reason;
    if (!is_told) job.onDefect(problem.thrown);
  }
  header(message);
  await progress.end(problem ? 'failed' : 'succeeded', message);
  log.close();
  return progress.status;
}
