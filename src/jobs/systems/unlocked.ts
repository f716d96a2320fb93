import type { Logger } from 'pino';
import { AgentError, asAgentError, errorFields } from '../../core/errors.ts';
import { holding } from '../../core/held-locks.ts';
import type { HeldLock, VpsLocks } from '../../core/ports.ts';
import type { VpsId } from '../../core/vps.ts';

/** Does something with a VPS under its lock, unless somebody holds that; what goes wrong is logged, and tried again later. */
export async function ifUnlocked(
  locks: VpsLocks,
  vps: VpsId,
  holder: string,
  log: Pick<Logger, 'warn'>,
  work: () => Promise<unknown>,
): Promise<void> {
  let lock: HeldLock;
  try {
    lock = await locks.acquire(vps, holder);
  } catch (error) {
    if (error instanceof AgentError && error.code === 'vps_busy') return;
    throw error;
  }
  try {
    await holding(lock, work);
  } catch (error) {
    const failure = asAgentError(error);
    log.warn({ vps: vps.name, ...errorFields(failure) }, failure.message);
  } finally {
    await lock.release();
  }
}
