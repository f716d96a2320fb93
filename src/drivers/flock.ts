/**
 * Locks that the kernel keeps: flock(2) on a file that this process holds open. Such a lock belongs to the open file, so
 * flock(1), which inherits it, can take it for us; it is free when nobody has that open file any more: this process, however
 * it dies, and every program that was started under the lock. A program run by hand takes the same lock with
 * `flock -n FILE command`.
 */
import { closeSync, constants, fstatSync, openSync, statSync } from 'node:fs';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { AgentError } from '../core/errors.ts';
import type { FileLocks, HeldLock, VpsLocks } from '../core/ports.ts';
import type { Runner } from '../core/runner.ts';
import type { VpsId } from '../core/vps.ts';

/** What flock(1) is told to exit with where somebody else holds the lock. */
const HELD_ELSEWHERE = 75;
/** What flock(1) may take beyond the time that it waits for the lock. */
const FLOCK_GRACE_MS = 10_000;
/** How often a lock's file may be removed at the very moment that its lock is taken. */
const MAX_TRIES = 10;
/** Descriptors of a program: standard input, output and errors come before those that it inherits. */
const INHERITED_FD = '3';

/** Whether a path still leads to the file that is open here. */
function leadsTo(path: string, fd: number): boolean {
  const there = statSync(path, { bigint: true, throwIfNoEntry: false });
  if (!there) return false;
  const open = fstatSync(fd, { bigint: true });
  return there.ino === open.ino && there.dev === open.dev;
}

function lost(path: string): AgentError {
  return new AgentError(
    'lock_lost',
    `The lock ${basename(path)} was lost: somebody removed or replaced its file. What went on under it has stopped where it was: see what is half done, and try again.`,
    { log: { path } },
  );
}

/** A descriptor with a lock on it, as a {@link HeldLock}. It is let go of when it is told to be, and not when it is forgotten. */
function heldLock(path: string, fd: number): HeldLock {
  let open: number | undefined = fd;
  return {
    get fd() {
      return open;
    },
    requireHeld() {
      if (open === undefined || !leadsTo(path, open)) throw lost(path);
    },
    async release() {
      const closing = open;
      open = undefined;
      if (closing !== undefined) closeSync(closing);
    },
  };
}

function openLockFile(path: string): number {
  try {
    return openSync(path, constants.O_RDWR | constants.O_CREAT, 0o600);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOSPC' || code === 'EDQUOT') throw error;
    const message = `A lock cannot be taken: its file ${basename(path)} cannot be opened (${code}); look at the agent's run_dir.`;
    throw new AgentError('program_failed', message, { cause: error, log: { path } });
  }
}

/** File locks by flock(1). The file is made where it is missing, and stays. */
export function createFileLocks(runner: Runner): FileLocks {
  /** Takes the lock of an open file; false where somebody else holds it. */
  async function flock(fd: number, kind: 'exclusive' | 'shared', wait_ms: number): Promise<boolean> {
    const waiting = wait_ms > 0 ? ['--timeout', (wait_ms / 1000).toFixed(3)] : ['--nonblock'];
    const { exit_code } = await runner.check({
      label: 'flock',
      program: 'flock',
      args: [`--${kind}`, ...waiting, '--conflict-exit-code', String(HELD_ELSEWHERE), INHERITED_FD],
      inherited_fds: [fd],
      timeout_ms: wait_ms + FLOCK_GRACE_MS,
      ok_codes: [HELD_ELSEWHERE],
    });
    return exit_code === 0;
  }

  return {
    async tryLock(file, wait_ms = 0, kind = 'exclusive') {
      const until = performance.now() + wait_ms;
      for (let tries = 0; tries < MAX_TRIES; tries += 1) {
        const fd = openLockFile(file);
        let lock: HeldLock | undefined;
        try {
          if (!(await flock(fd, kind, until - performance.now()))) return undefined;
          // Who removed the file meanwhile has left us a lock that nobody else will ever meet.
          if (leadsTo(file, fd)) lock = heldLock(file, fd);
        } finally {
          if (!lock) closeSync(fd);
        }
        if (lock) return lock;
      }
      throw lost(file);
    },
  };
}

/** Who holds a VPS's lock, for a person to read; what counts is the lock alone. */
interface HolderNote {
  write(holder: string): Promise<void>;
  read(): Promise<string>;
  remove(): Promise<void>;
}

function holderNote(path: string): HolderNote {
  return {
    async write(holder) {
      const fresh = `${path}.${process.pid}.new`;
      await writeFile(fresh, `${holder}, since ${new Date().toISOString()}\n`, { mode: 0o600 });
      await rename(fresh, path);
    },
    async read() {
      try {
        return (await readFile(path, 'utf8')).trim().slice(0, 200);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
        return 'a program run by hand, or one that an earlier call has left';
      }
    },
    remove: () => rm(path, { force: true }),
  };
}

/**
 * The locks of VPSes, in `run_dir/lock`: `xenNN.lock` for one writer at a time, with the holder's name in `xenNN.holder`, and
 * `xenNN.disks`, the claim on its disks, which who starts the guest holds shared.
 */
export function createVpsLocks({ run_dir, locks }: { run_dir: string; locks: FileLocks }): VpsLocks {
  async function file(vps: VpsId, ending: string): Promise<string> {
    const path = join(run_dir, 'lock', `${vps.name}.${ending}`);
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    return path;
  }

  return {
    async acquire(vps, holder, wait_ms = 0): Promise<HeldLock> {
      const note = holderNote(await file(vps, 'holder'));
      const lock = await locks.tryLock(await file(vps, 'lock'), wait_ms);
      if (!lock) {
        throw new AgentError(
          'vps_busy',
          `${vps.name} is busy: held by ${await note.read()}; try again when that is done.`,
        );
      }
      try {
        await note.write(holder);
      } catch (error) {
        await lock.release();
        throw error;
      }
      return {
        get fd() {
          return lock.fd;
        },
        requireHeld: lock.requireHeld,
        async release() {
          try {
            if (lock.fd !== undefined) await note.remove();
          } finally {
            await lock.release();
          }
        },
      };
    },

    async claimDisks(vps, cannot): Promise<HeldLock> {
      const path = await file(vps, 'disks');
      const claim = await locks.tryLock(path);
      if (claim) return claim;
      const beside_a_start = await locks.tryLock(path, 0, 'shared');
      if (beside_a_start) {
        await beside_a_start.release();
        throw new AgentError('vps_running', `${vps.name} ${cannot}: its guest is being started.`);
      }
      throw new AgentError(
        'vps_busy',
        `${vps.name} ${cannot}: something works on its disks; try again when that is done.`,
      );
    },
  };
}
