import type { JobFate, JobKind, JobRequests } from '../core/ports.ts';
import type { Finished } from '../core/runner.ts';
import type { VpsId } from '../core/vps.ts';

/** How a step's script is run. */
export interface ScriptOptions {
  readonly timeout_ms: number;
  /** Written to its standard input; secrets go here, never into the arguments. */
  readonly input?: string;
  /** Exit codes that are not failures, besides 0. */
  readonly ok_codes?: readonly number[];
  /** It ends with this process by itself (src/core/runner.ts). */
  readonly ends_with_caller?: boolean;
}

/** What a step is run with. */
export interface StepContext {
  /** Aborted when the job is told to end (SIGTERM); scripts that run are killed. */
  readonly signal: AbortSignal;
  /** Adds a line to the job's log. */
  log(line: string): void;
  /**
   * Says what the job comes to where it ends from now on, by a failure, cancelled or killed; on disk when it returns, so it is
   * said before what makes it true is begun. Undefined: there is nothing to say any more.
   */
  fate(fate: JobFate | undefined): Promise<void>;
  /**
   * Runs `scripts_dir/name`, its output going to the job's log as it comes.
   *
   * @throws AgentError program_failed, program_timeout, program_missing; labelled `script name`
   */
  script(name: string, args: readonly string[], options: ScriptOptions): Promise<Finished>;
}

/**
 * One step of a job. What it throws ends the job as failed, and its message is told; what it returns becomes the job's
 * message where it is the last step that returned any.
 */
export interface Step {
  /** Lower-case, one word: `bootstrap`. Told in the VPS's state and in messages. */
  readonly name: string;
  /** How long it takes in comparison with the plan's other steps; 1 without. */
  readonly weight?: number;
  run(step: StepContext): Promise<string | undefined>;
}

/** What a plan is made from. */
export interface JobOrder<K extends JobKind> {
  readonly id: string;
  readonly vps: VpsId;
  readonly request: JobRequests[K];
  /** The secret that `Jobs.start` was given (reinstall: the root password's crypt(3) hash, and on a second line itself for an appliance that wants it); it is in no file any more. */
  readonly secret: string | undefined;
  /** Where the VPS's root is mounted; whatever is mounted there or below is taken down when the job ends, however it ends. */
  readonly mount_point: string;
}

/**
 * The steps of each kind of job, in order. They run one after the other under the VPS's lock, in a mount and PID namespace
 * of their own: when the job's process dies, everything that it started and mounted goes with it.
 */
export type JobPlans = { readonly [K in JobKind]: (order: JobOrder<K>) => readonly Step[] };
