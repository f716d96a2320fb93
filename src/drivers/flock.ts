/**
 * Locks that the kernel keeps: flock(1) on a file, held by a companion `cat` whose standard input is a pipe of ours. When
 * this process dies, however it dies, the pipe closes, `cat` ends, and the lock is free. A program run by hand takes the
 * same lock with `flock -n FILE command`.
 */
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { AgentError } from '../core/errors.ts';
import type { FileLocks, HeldLock, VpsLocks } from '../core/ports.ts';
import type { Runner } from '../core/runner.ts';
import type { VpsId } from '../core/vps.ts';

/** What flock(1) is told to exit with where somebody else holds the lock. */
const HELD_ELSEWHERE = 75;
const RELEASE_GRACE_MS = 2_000;

function waiting(wait_ms: number): string[] {
  return wait_ms > 0 ? ['--timeout', (wait_ms / 1000).toFixed(3)] : ['--nonblock'];
}

/** File locks by flock(1). The file is made where it is missing, and stays. */
export function createFileLocks(runner: Runner): FileLocks {
  return {
    async tryLock(file, wait_ms = 0, kind = 'exclusive') {
      const conflict = ['--conflict-exit-code', String(HELD_ELSEWHERE)];
      const options = ['--no-fork', `--${kind}`, ...waiting(wait_ms), ...conflict];
      const holder = runner.start({
        label: 'flock',
        program: 'flock',
        args: [...options, '--', file, 'cat'],
        input: '\n',
      });
      if (await holder.answered) return { release: () => holder.close(RELEASE_GRACE_MS) };
      const { exit, last_words } = await holder.ended;
      if (exit === HELD_ELSEWHERE) return undefined;
      if (exit === 'not started') {
        throw new AgentError('program_missing', 'flock cannot be run: it is part of util-linux; install it.');
      }
      throw new AgentError('program_failed', `flock failed (exit code ${exit}): ${last_words}`);
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
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 'a program run by hand';
        throw error;
      }
    },
    remove: () => rm(path, { force: true }),
  };
}

/**
 * One writer per VPS: `run_dir/lock/xenNN.lock`, with the holder's name in `xenNN.holder`.
 *
 * @throws AgentError vps_busy naming the holder
 */
export function createVpsLocks({ run_dir, locks }: { run_dir: string; locks: FileLocks }): VpsLocks {
  const file = (vps: VpsId, ending: string) => join(run_dir, 'lock', `${vps.name}.${ending}`);

  return {
    async acquire(vps, holder, wait_ms = 0): Promise<HeldLock> {
      const path = file(vps, 'lock');
      const note = holderNote(file(vps, 'holder'));
      await mkdir(dirname(path), { recursive: true, mode: 0o700 });
      const lock = await locks.tryLock(path, wait_ms);
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
        async release() {
          try {
            await note.remove();
          } finally {
            await lock.release();
          }
        },
      };
    },
  };
}
