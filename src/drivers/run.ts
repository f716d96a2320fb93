import type { ChildProcess } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { execa, type Options } from 'execa';
import { AgentError } from '../core/errors.ts';
import type {
  Command,
  Companion,
  CompanionCommand,
  CompanionEnd,
  Dialogue,
  Finished,
  Runner,
} from '../core/runner.ts';
import { keepingLocks, type Started } from './keeping-locks.ts';
import { killFollowers, killGroup } from './process-group.ts';

export type { Command, Companion, CompanionCommand, Finished, Runner } from '../core/runner.ts';

/** Settings of a {@link Runner}. */
export interface RunnerOptions {
  /** Colon-separated folders that programs are looked for in. */
  readonly path: string;
  /** Bytes kept of each stream. */
  readonly output_cap_bytes?: number;
  /** Told of every ended call, for the log. */
  readonly onFinished?: (call: { label: string; exit_code: number | string; ms: number }) => void;
}

/** From SIGTERM to SIGKILL. */
const KILL_GRACE_MS = 2_000;
/** From SIGTERM to giving up on a process that not even SIGKILL ends (it hangs in the kernel). */
const GIVE_UP_MS = 5_000;
/** Output is read for this long after the program's end, where something that it left behind keeps its pipes open. */
const DRAIN_MS = 250;
const COMPANION_CAP_BYTES = 4096;

/** What a failed program said, fit for one sentence: its last line of errors that says something. */
export function lastWords(finished: Pick<Finished, 'stdout' | 'stderr'>): string {
  const lines = `${finished.stdout}\n${finished.stderr}`
    .split('\n')
    .map((line) => line.replace(/[^\x20-\x7e]/g, ' ').trim())
    .filter((line) => line !== '');
  const last = lines.at(-1) ?? 'it said nothing';
  return last.length > 200 ? `${last.slice(0, 200)}...` : last;
}

type StdioOptions<Input extends 'pipe' | 'ignore'> = readonly [
  Input,
  'pipe',
  'pipe',
  ...(3 | 4 | 5 | 6 | 7 | 8 | 9)[],
];

class Capture {
  readonly #chunks: Buffer[] = [];
  readonly #cap: number;
  /** Of all that came, kept or not. */
  size = 0;
  truncated = false;
  constructor(cap: number) {
    this.#cap = cap;
  }
  add(chunk: Buffer): void {
    const room = Math.max(0, this.#cap - this.size);
    this.size += chunk.length;
    if (chunk.length > room) this.truncated = true;
    if (room > 0) this.#chunks.push(chunk.subarray(0, room));
  }
  text(): string {
    return Buffer.concat(this.#chunks).toString('utf8');
  }
}

/** Past this, something that a program left behind writes and writes. */
const READ_ON_MS = 2_000;

/**
 * Calls back when what was written by now is read: a process that was kept from its work for a while comes to its timers before it
 * comes to what lies in its pipes.
 */
function readOn(size: () => number, onRead: (nothing: undefined) => void): void {
  const end = performance.now() + READ_ON_MS;
  const look = () => {
    const before = size();
    setImmediate(() => {
      if (size() === before || performance.now() > end) onRead(undefined);
      else look();
    });
  };
  look();
}

/** A process of execa's, as far as its end goes. */
type Child = Pick<ChildProcess, 'pid' | 'stdin' | 'stderr' | 'exitCode' | 'signalCode'> &
  PromiseLike<unknown>;

/**
 * Kills what was started, whole. Who keeps locks is spared: it ends when the program has ended, which one that hangs in the
 * kernel does not for any signal.
 */
function kill(child: Child, { keeps_locks }: Started, signal: NodeJS.Signals): void {
  if (child.pid === undefined) return;
  if (!keeps_locks) killGroup(child.pid, signal);
  else if (killFollowers(child.pid, signal) === 0 && child.exitCode === null && child.signalCode === null) {
    // It has not started its program yet; if it has by now, it hands the signal on.
    process.kill(child.pid, 'SIGTERM');
  }
}

/** Of the descriptors that execa takes, its types know the first ten. */
function stdioOf<Input extends 'pipe' | 'ignore'>(stdin: Input, { fds }: Started): StdioOptions<Input> {
  return [stdin, 'pipe', 'pipe', ...fds] as StdioOptions<Input>;
}

/** Makes a {@link Runner}: argument arrays, LC_ALL=C, process groups that are killed whole, capped output. */
export function createRunner({ path, output_cap_bytes = 1 << 20, onFinished }: RunnerOptions): Runner {
  const inOwnSession = ({ env, cwd }: Pick<Command, 'env' | 'cwd'>) => ({
    env: { PATH: path, LC_ALL: 'C', HOME: '/root', ...env },
    extendEnv: false,
    detached: true,
    cleanup: false,
    buffer: false,
    reject: false,
    ...(cwd === undefined ? {} : { cwd }),
  });

  const pathOf = ({ env }: Pick<Command, 'env'>) => env?.['PATH'] ?? path;

  /** How a program of its own session ends; one that ends early breaks the pipe to it, which its end tells, too. */
  async function endOf(child: Child, command: CompanionCommand): Promise<CompanionEnd> {
    const began = performance.now();
    const stderr = new Capture(COMPANION_CAP_BYTES);
    child.stderr?.on('data', (chunk: Buffer) => stderr.add(chunk));
    child.stdin?.on('error', () => undefined);
    await child;
    const exit = child.pid === undefined ? 'not started' : (child.signalCode ?? child.exitCode ?? 'lost');
    onFinished?.({ label: command.label, exit_code: exit, ms: Math.round(performance.now() - began) });
    return { exit, last_words: lastWords({ stdout: '', stderr: stderr.text() }) };
  }

  async function close(
    child: Child,
    started: Started,
    ended: Promise<CompanionEnd>,
    grace_ms: number,
  ): Promise<CompanionEnd> {
    child.stdin?.end();
    const hard_kill = setTimeout(() => kill(child, started, 'SIGKILL'), grace_ms);
    const end = await ended;
    clearTimeout(hard_kill);
    return end;
  }

  function start(command: CompanionCommand): Companion {
    const started: Started = { ...command, fds: [], keeps_locks: false };
    const output = command.output_path === undefined ? 'pipe' : openSync(command.output_path, 'a', 0o600);
    const stdin = output === 'pipe' ? 'pipe' : 'ignore';
    const options = { ...inOwnSession(command), stdio: [stdin, output, output] } as Options;
    const child = execa(command.program, [...command.args], options);
    if (output !== 'pipe') {
      closeSync(output);
      child.unref();
    }
    child.stdout?.resume();
    const ended = endOf(child, command);
    return { ended, close: async (grace_ms) => void (await close(child, started, ended, grace_ms)) };
  }

  function converse(command: Parameters<Runner['converse']>[0]): Dialogue {
    const started = keepingLocks(command, pathOf(command));
    const options = { ...inOwnSession(command), stdio: stdioOf('pipe', started) };
    const child = execa(started.program, [...started.args], options);
    const ended = endOf(child, command);
    const { stdin: input, stdout: output } = child;
    return { input, output, close: (grace_ms) => close(child, started, ended, grace_ms) };
  }

  async function run(command: Command): Promise<Finished> {
    const began = performance.now();
    const stdout = new Capture(output_cap_bytes);
    const stderr = new Capture(output_cap_bytes);
    const ms = () => Math.round(performance.now() - began);
    if (command.signal?.aborted) {
      throw new AgentError('program_timeout', `${command.label} was not started: its caller has given up.`);
    }
    const started = keepingLocks(command, pathOf(command));
    const options: Options = {
      ...inOwnSession(command),
      stdio: stdioOf(command.input === undefined ? 'ignore' : 'pipe', started),
      ...(command.input === undefined ? {} : { input: command.input }),
    };
    const child = execa(started.program, [...started.args], options);
    const listen = (stream: typeof child.stdout, capture: Capture) =>
      stream?.on('data', (chunk: Buffer) => {
        capture.add(chunk);
        command.onOutput?.(chunk);
      });
    listen(child.stdout, stdout);
    listen(child.stderr, stderr);

    const timers: NodeJS.Timeout[] = [];
    let killed_by: 'timeout' | 'signal' | undefined;
    let giveUp: () => void = () => undefined;
    const gaveUp = new Promise<undefined>((resolve) => {
      giveUp = () => resolve(undefined);
    });
    const end = (why: 'timeout' | 'signal') => {
      if (killed_by) return;
      killed_by = why;
      kill(child, started, 'SIGTERM');
      timers.push(setTimeout(() => kill(child, started, 'SIGKILL'), KILL_GRACE_MS));
      timers.push(setTimeout(giveUp, GIVE_UP_MS));
    };
    timers.push(setTimeout(() => end('timeout'), command.timeout_ms));
    const onAbort = () => end('signal');
    command.signal?.addEventListener('abort', onAbort, { once: true });

    const drained = new Promise<undefined>((resolve) => {
      child.once('exit', () =>
        timers.push(setTimeout(() => readOn(() => stdout.size + stderr.size, resolve), DRAIN_MS)),
      );
    });
    const result = await Promise.race([child, drained, gaveUp]);
    for (const timer of timers) clearTimeout(timer);
    command.signal?.removeEventListener('abort', onAbort);
    if (killed_by) kill(child, started, 'SIGKILL');
    child.stdout?.destroy();
    child.stderr?.destroy();

    const log = { label: command.label, stdout: stdout.text(), stderr: stderr.text() };
    const code = child.exitCode ?? result?.exitCode;
    onFinished?.({
      label: command.label,
      exit_code: killed_by ?? code ?? child.signalCode ?? 'not started',
      ms: ms(),
    });
    if (killed_by) {
      const why =
        killed_by === 'timeout' ? `did not end within ${command.timeout_ms / 1000} s` : 'was cancelled';
      throw new AgentError('program_timeout', `${command.label} ${why} and was killed.`, { log });
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
    start,
    converse,
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
