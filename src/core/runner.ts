import type { Readable, Writable } from 'node:stream';

/** One program to run. `label` names the call for messages, logs and fault-injecting tests: `xl list`. */
export interface Command {
  readonly label: string;
  /** Looked for in the configured path, never in the caller's directory. */
  readonly program: string;
  /** Passed as they are; no shell sees them. Put `--` before operands that come from outside. */
  readonly args: readonly string[];
  readonly timeout_ms: number;
  /** Written to standard input; without it the program reads /dev/null. Secrets go here, never into `args`. */
  readonly input?: string | Uint8Array;
  /** Added to the small fixed environment. */
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** Open files of this process that the program gets as its files 3, 4, and so on. */
  readonly inherited_fds?: readonly number[];
  /**
   * The program sees to it that it, and all that it starts, ends with this process: it is a child of this process itself, and
   * has the caller's locks among its own files.
   */
  readonly ends_with_caller?: boolean;
  /** Kills the program's whole process group when aborted. */
  readonly signal?: AbortSignal;
  /** Called with every piece of output as it comes, both streams in turn. */
  readonly onOutput?: (chunk: Buffer) => void;
}

/** How a program ended. Output beyond the cap is cut off at its front part's end, and `truncated` says so. */
export interface Finished {
  readonly exit_code: number;
  readonly stdout: string;
  readonly stderr: string;
  readonly truncated: boolean;
  readonly ms: number;
}

/** A program to run beside this one: without a time limit, and with its input left open. */
export type CompanionCommand = Pick<Command, 'label' | 'program' | 'args' | 'env' | 'cwd'> & {
  /** Both streams are appended to this file, and the program reads /dev/null: nothing ties it to this process. */
  readonly output_path?: string;
};

/** How a companion ended: its exit code, or why there is none (a signal's name, `not started`), and what it said last. */
export interface CompanionEnd {
  readonly exit: number | string;
  readonly last_words: string;
}

/** A program that runs beside this one, as the leader of a session of its own. */
export interface Companion {
  /** Settles when it has ended. Never rejects. */
  readonly ended: Promise<CompanionEnd>;
  /** Ends its input and waits for its end; after `grace_ms` its process group is killed. */
  close(grace_ms: number): Promise<void>;
}

/** A program that is spoken with while it runs, as the leader of a session of its own; what it complains of is kept for its end. */
export interface Dialogue {
  readonly input: Writable;
  readonly output: Readable;
  /** Ends its input and waits for its end; after `grace_ms` its process group is killed. Never rejects. */
  close(grace_ms: number): Promise<CompanionEnd>;
}

/**
 * Runs programs: the one place that does (src/drivers/run.ts). What `run`, `check` and `converse` start keeps the locks that
 * the caller works under (src/core/held-locks.ts) until it has ended, whatever becomes of the caller.
 */
export interface Runner {
  /**
   * Runs a program to its end, whatever its exit code.
   *
   * @throws AgentError program_timeout, program_missing, program_failed where a signal ended it; lock_lost: it was not started
   */
  run(command: Command): Promise<Finished>;
  /** The same, but an exit code other than 0 (or `ok_codes`) is program_failed, with what the program said last. */
  check(command: Command & { ok_codes?: readonly number[] }): Promise<Finished>;
  /**
   * Starts a program and leaves it running, without the caller's locks; with `output_path` it outlives this process, and does
   * not keep it alive.
   */
  start(command: CompanionCommand): Companion;
  /** Starts a program whose input is written, and whose output is read, by the caller. Error: `lock_lost`. */
  converse(command: Pick<Command, 'label' | 'program' | 'args' | 'env'>): Dialogue;
}
