// The Runner of the model: it starts the model's programs, under the locks that the caller holds.
import { AgentError } from '../../src/core/errors.ts';
import type { Command, CompanionCommand, CompanionEnd, Finished, Runner } from '../../src/core/runner.ts';
import { machine } from './machine.ts';
import type { Ending, Program } from './program.ts';
import { startProgram } from './programs.ts';

interface Lock {
  readonly fd: number | undefined;
  requireHeld(): void;
}

/** What tells which locks the caller works under; there was a time when no program kept any. */
export const held: { locks: () => readonly Lock[] } = { locks: () => [] };

const lastWords = ({ stdout = '', stderr = '' }: Partial<Ending>) =>
  `${stdout}\n${stderr}`.trim().split('\n').at(-1)?.trim() || 'it said nothing';

function run(command: Command): Promise<Finished> {
  const { label, signal } = command;
  const { engine } = machine;
  const starter = engine.running;
  const inherited = (command as { inherited_fds?: readonly number[] }).inherited_fds;
  if (signal?.aborted) {
    return Promise.reject(
      new AgentError('program_timeout', `${label} was not started: its caller has given up.`),
    );
  }
  let fds: readonly number[];
  try {
    const locks = inherited ? [] : held.locks();
    for (const lock of locks) lock.requireHeld();
    fds = inherited ?? locks.flatMap(({ fd }) => fd ?? []);
  } catch (error) {
    return Promise.reject(error);
  }
  return engine
    .call({ kind: 'program', what: label }, 1, () => undefined)
    .then(() => {
      const { promise, resolve, reject } = engine.promise<Finished>();
      let killed: 'timeout' | 'signal' | undefined;
      const began = engine.now;
      let program: Program | undefined;
      const kill = (why: typeof killed) => {
        if (!program?.alive) return;
        killed = why;
        program.kill();
      };
      const timer = engine.timer(command.timeout_ms, () => kill('timeout'));
      program = startProgram(
        {
          argv: [command.program, ...command.args],
          environ: command.env ?? {},
          starter,
          inside: starter?.contained ? starter : undefined,
          ...(typeof command.input === 'string' && { input: command.input }),
          onEnd: (ending) => {
            timer.cancel();
            if (killed) {
              const why = killed === 'timeout' ? 'did not end in time' : 'was cancelled';
              reject(
                new AgentError('program_timeout', `${label} ${why} and was killed.`, { log: { label } }),
              );
            } else if (!ending) reject(new AgentError('program_failed', `${label} was ended by SIGKILL.`));
            else {
              const { exit, stdout = '', stderr = '' } = ending;
              if (stdout !== '') command.onOutput?.(Buffer.from(stdout));
              resolve({ exit_code: exit, stdout, stderr, truncated: false, ms: engine.now - began });
            }
          },
        },
        fds,
      );
      signal?.addEventListener('abort', () => kill('signal'), { once: true });
      return promise;
    });
}

/** Something that runs beside: `answered` and `input` are of a time when locks were held by a companion. */
function start(command: CompanionCommand) {
  const { engine } = machine;
  const starter = engine.running;
  const ended = engine.promise<CompanionEnd>();
  const answered = engine.promise<boolean>();
  const program = startProgram({
    argv: [command.program, ...command.args],
    environ: command.env ?? {},
    starter,
    inside: starter?.contained ? starter : undefined,
    onAnswer: () => answered.resolve(true),
    onEnd: (ending) => {
      answered.resolve(false);
      ended.resolve({ exit: ending ? ending.exit : 'SIGKILL', last_words: lastWords(ending ?? {}) });
    },
  });
  if (command.output_path === undefined && starter) starter.companions.push(program);
  return {
    ended: ended.promise,
    answered: answered.promise,
    async close() {
      program.kill();
    },
  };
}

/** The model's {@link Runner}. */
export function createRunner(): Runner {
  return {
    run,
    start,
    converse() {
      throw new Error('the model does not know converse()');
    },
    async check(command) {
      const finished = await run(command);
      if (finished.exit_code === 0 || command.ok_codes?.includes(finished.exit_code)) return finished;
      throw new AgentError(
        'program_failed',
        `${command.label} failed (exit code ${finished.exit_code}): ${lastWords(finished)}`,
      );
    },
  };
}
