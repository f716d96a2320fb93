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
/** Where the search for a program goes on, as execvp(3) has it; another error ends it. */
const LOOK_ON: ReadonlySet<unknown> = new Set(['ENOENT', 'ENOTDIR', 'EACCES']);

type KeptCommand = Pick<Command, 'program' | 'args' | 'inherited_fds' | 'ends_with_caller'>;

/** Whether a file can be executed; undefined where nothing can, and the search for a program ends there. */
function isProgram(path: string): boolean | undefined {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch (error) {
    return LOOK_ON.has((error as NodeJS.ErrnoException).code) ? false : undefined;
  }
}

/** Where execvp(3) would find a program in colon-separated folders. The shell is not asked: it passes by what cannot be looked at. */
function find(program: string, path: string): string | undefined {
  const places = program.includes('/')
    ? [program]
    : path.split(delimiter).map((folder) => join(folder, program));
  const at = places.find((place) => isProgram(place) !== false);
  return at !== undefined && isProgram(at) ? at : undefined;
}

/**
 * What to start for a command, so that the locks that the caller works under are held until its program has ended. `path` is where
 * programs are looked for: one that is not there is started as it is, for the kernel's own answer.
 *
 * @throws AgentError lock_lost
 */
export function keepingLocks(command: KeptCommand, path: string): Started {
  const { program, args, inherited_fds, ends_with_caller } = command;
  const locks = heldLocks();
  for (const lock of locks) lock.requireHeld();
  const fds = locks.map(({ fd }) => fd).filter((fd) => fd !== undefined);
  if (inherited_fds) return { program, args, fds: inherited_fds, keeps_locks: false };
  if (fds.length === 0 || ends_with_caller) return { program, args, fds, keeps_locks: false };
  if (fds.length > MAX_LOCKS) throw new Error(`${program} would be started under ${fds.length} locks.`);
  const found = find(program, path);
  if (found === undefined) return { program, args, fds, keeps_locks: false };
  const [keeper, ...words] = KEEPER;
  return { program: keeper, args: [...words, found, ...args], fds, keeps_locks: true };
}
