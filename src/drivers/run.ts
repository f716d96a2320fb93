import { execa, type Options } from 'execa';
import { AgentError } from '../core/errors.ts';

/** One program to run. `label` names the call for messages, logs and fault-injecting tests: `xl list`. */
export interface Command {
  readonly label: string;
  /** Looked for in the configured path, never in the caller's directory. */
  readonly program: string;
  /** Passed as they are; no shell sees them. Put `--` before operands that come from outside. */
  readonly args: readonly string[];
  readonly timeout_ms: number;
  /** Written to standard input; without it the program reads /dev/null. Secrets go here, never into `args`. */
  readonly input?: string;
  /** Added to the small fixed environment. */
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
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

/** Runs programs: the one place that does. */
export interface Runner {
  /**
   * Runs a program to its end, whatever its exit code.
   *
   * @throws AgentError program_timeout, program_missing, or program_failed where a signal ended it
   */
  run(command: Command): Promise<Finished>;
  /** The same, but an exit code other than 0 (or `ok_codes`) is program_failed, with what the program said last. */
  check(command: Command & { ok_codes?: readonly number[] }): Promise<Finished>;
}

/** Settings of a {@link Runner}. */
export interface RunnerOptions {
  /** Colon-separated folders that programs are looked for in. */
  readonly path: string;
  /** Bytes kept of each stream. */
  readonly output_cap_bytes?: number;
  /** Told of every ended call, for the log. */
  readonly onFinished?: (call: { label: string; exit_code: number | string; ms: number }) => void;
}

const KILL_GRACE_MS = 2_000;
const DRAIN_MS = 250;

/** What a failed program said, fit for one sentence: its last line of errors that says something. */
export function lastWords(finished: Pick<Finished, 'stdout' | 'stderr'>): string {
  const lines = `${finished.stdout}\n${finished.stderr}`
    .split('\n')
    .map((line) => line.replace(/[^\x20-\x7e]/g, ' ').trim())
    .filter((line) => line !== '');
  const last = lines.at(-1) ?? 'it said nothing';
  return last.length > 200 ? `${last.slice(0, 200)}...` : last;
}

class Capture {
  readonly #chunks: Buffer[] = [];
  readonly #cap: number;
  #size = 0;
  truncated = false;
  constructor(cap: number) {
    this.#cap = cap;
  }
  add(chunk: Buffer): void {
    const room = this.#cap - this.#size;
    if (chunk.length > room) this.truncated = true;
    if (room <= 0) return;
    const kept = chunk.subarray(0, room);
    this.#chunks.push(kept);
    this.#size += kept.length;
  }
  text(): string {
    return Buffer.concat(this.#chunks).toString('utf8');
  }
}

function killGroup(pid: number | undefined, signal: NodeJS.Signals): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** Makes a {@link Runner}: argument arrays, LC_ALL=C, process groups that are killed whole, capped output. */
export function createRunner({ path, output_cap_bytes = 1 << 20, onFinished }: RunnerOptions): Runner {
  async function run(command: Command): Promise<Finished> {
    const started = performance.now();
    const stdout = new Capture(output_cap_bytes);
    const stderr = new Capture(output_cap_bytes);
    const ms = () => Math.round(performance.now() - started);
    command.signal?.throwIfAborted();
    const options: Options = {
      env: { PATH: path, LC_ALL: 'C', HOME: '/root', ...command.env },
      extendEnv: false,
      detached: true,
      cleanup: false,
      buffer: false,
      reject: false,
      stdin: command.input === undefined ? 'ignore' : 'pipe',
      ...(command.input === undefined ? {} : { input: command.input }),
      ...(command.cwd === undefined ? {} : { cwd: command.cwd }),
    };
    const child = execa(command.program, [...command.args], options);
    const listen = (stream: typeof child.stdout, capture: Capture) =>
      stream?.on('data', (chunk: Buffer) => {
        capture.add(chunk);
        command.onOutput?.(chunk);
      });
    listen(child.stdout, stdout);
    listen(child.stderr, stderr);

    let killed_by: 'timeout' | 'signal' | undefined;
    let hard_kill: NodeJS.Timeout | undefined;
    const kill = (why: 'timeout' | 'signal') => {
      if (killed_by) return;
      killed_by = why;
      killGroup(child.pid, 'SIGTERM');
      hard_kill = setTimeout(() => killGroup(child.pid, 'SIGKILL'), KILL_GRACE_MS);
    };
    const timer = setTimeout(() => kill('timeout'), command.timeout_ms);
    const onAbort = () => kill('signal');
    command.signal?.addEventListener('abort', onAbort, { once: true });

    const exited = new Promise<void>((resolve) => child.once('exit', () => setTimeout(resolve, DRAIN_MS)));
    const result = await Promise.race([child, exited.then(() => undefined)]);
    clearTimeout(timer);
    clearTimeout(hard_kill);
    command.signal?.removeEventListener('abort', onAbort);
    if (killed_by) killGroup(child.pid, 'SIGKILL');

    const log = { label: command.label, stdout: stdout.text(), stderr: stderr.text() };
    const code = child.exitCode ?? result?.exitCode;
    onFinished?.({
      label: command.label,
      exit_code: killed_by ?? code ?? child.signalCode ?? 'not started',
      ms: ms(),
    });
    if (killed_by) {
      throw new AgentError(
        'program_timeout',
        `${command.label} did not end within ${Math.round(command.timeout_ms / 1000)} s and was killed.`,
        { log },
      );
    }
    if (child.pid === undefined) {
      throw new AgentError(
        'program_missing',
        `${command.label} cannot be run: ${command.program} is not installed, or not to be executed.`,
        {
          cause: result,
          log,
        },
      );
    }
    if (typeof code !== 'number') {
      throw new AgentError(
        'program_failed',
        `${command.label} was ended by ${child.signalCode ?? 'a signal'}.`,
        { log },
      );
    }
    return {
      exit_code: code,
      stdout: log.stdout,
      stderr: log.stderr,
      truncated: stdout.truncated || stderr.truncated,
      ms: ms(),
    };
  }

  return {
    run,
    async check(command) {
      const finished = await run(command);
      if (finished.exit_code === 0 || command.ok_codes?.includes(finished.exit_code)) return finished;
      throw new AgentError(
        'program_failed',
        `${command.label} failed (exit code ${finished.exit_code}): ${lastWords(finished)}`,
        {
          log: {
            label: command.label,
            exit_code: finished.exit_code,
            stdout: finished.stdout,
            stderr: finished.stderr,
          },
        },
      );
    },
  };
}
