import type { InstallContext } from '../core/bases.ts';
import { AgentError } from '../core/errors.ts';
import { holding } from '../core/held-locks.ts';
import type { HeldLock } from '../core/ports.ts';

/** How long a base may take to be made, and be waited for. */
export const MAKE_MS = 120 * 60_000;
/** How long one try to take a lock waits, so that a cancelled wait ends soon. */
export const LOCK_TRY_MS = 1_000;

/**
 * Does `work` under a lock that `take` takes, or returns undefined where somebody else has it for longer than it is told to
 * wait; tells where it has to wait.
 *
 * @throws AgentError program_timeout (cancelled), timeout
 */
export async function alone<T>(
  what: string,
  take: (wait_ms: number) => Promise<HeldLock | undefined>,
  { signal, log }: InstallContext,
  work: () => Promise<T>,
): Promise<T> {
  const until = Date.now() + MAKE_MS;
  let lock = await take(0);
  if (!lock) log(`${what}: somebody else works on it; waiting`);
  while (!lock) {
    if (signal.aborted) throw new AgentError('program_timeout', `Waiting for ${what} was cancelled.`);
    if (Date.now() > until) {
      throw new AgentError('timeout', `Somebody else works on ${what}, and does not come to an end.`);
    }
    lock = await take(LOCK_TRY_MS);
  }
  try {
    return await holding(lock, work);
  } finally {
    await lock.release();
  }
}
