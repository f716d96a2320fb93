import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { heldLocks } from '../core/held-locks.ts';
import type { Command } from '../core/runner.ts';

/** What is started for a command: the program itself, or one that keeps the caller's locks until that has ended. */
export interface Started {
  readonly program: string;
  readonly args: readonly string[];
  /** The program's files from 3 on. */
  readonly fds: readonly number[];
  /** Whether the process that is started is not the program, but waits for it, and ends as it does. */
  readonly keeps_locks: boolean;
}

/** Beside this file, and beside the bundle that it becomes part of. */
const WITHOUT_LOCKS = fileURLToPath(new URL('./without-locks', import.meta.url));
/** As many as that program closes. */
const MAX_LOCKS = 7;
/** timeout(1) with no time limit does nothing but wait for its child; it ends as that does, by the same signal too. */
const KEEPER = ['/usr/bin/timeout', '--foreground', '0', '/bin/sh', WITHOUT_LOCKS] as const;
/** What the shell ends with where it cannot run a program. */
const CANNOT_RUN: ReadonlySet<unknown> = new Set([126, 127]);

type KeptCommand = Pick<Command, 'program' | 'args' | 'inherited_fds' | 'ends_with_caller'>;

/**
 * What to start for a command, so that the locks that the caller works under are held until its program has ended.
 *
 * @throws AgentError lock_lost
 */
export function keepingLocks(command: KeptCommand): Started {
  const { program, args, inherited_fds, ends_with_caller } = command;
  const locks = heldLocks();
  for (const lock of locks) lock.requireHeld();
  const fds = locks.map(({ fd }) => fd).filter((fd) => fd !== undefined);
  if (inherited_fds) return { program, args, fds: inherited_fds, keeps_locks: false };
  if (fds.length === 0 || ends_with_caller) return { program, args, fds, keeps_locks: false };
  if (fds.length > MAX_LOCKS) throw new Error(`${program} would be started under ${fds.length} locks.`);
  const [keeper, ...words] = KEEPER;
  return { program: keeper, args: [...words, program, ...args], fds, keeps_locks: true };
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).syscall === undefined) throw error;
    return false;
  }
}

/** Whether a keeper of locks ended because its program is not there, or not to be executed. `path` is where it was looked for. */
export function couldNotRun(started: Started, program: string, path: string, exit: unknown): boolean {
  if (!started.keeps_locks || !CANNOT_RUN.has(exit)) return false;
  const folders = program.includes('/') ? [''] : path.split(delimiter);
  return !folders.some((folder) => isProgram(join(folder, program)));
}
