import { AsyncLocalStorage } from 'node:async_hooks';
import type { HeldLock } from './ports.ts';

const held = new AsyncLocalStorage<readonly HeldLock[]>();

/**
 * Does work under a lock that was taken: every program that the work starts keeps it until that program has ended, and none is
 * started any more where the lock was lost. The locks of work within work add up. Who took the lock lets it go.
 */
export function holding<T>(lock: HeldLock, work: () => T): T {
  return held.run([...heldLocks(), lock], work);
}

/** Does work that is none of the caller's, and must not keep the caller's locks: what goes on when the caller is done. */
export function holdingNothing<T>(work: () => T): T {
  return held.run([], work);
}

/** The locks that the caller works under, but those let go of meanwhile. */
export function heldLocks(): readonly HeldLock[] {
  return (held.getStore() ?? []).filter(({ fd }) => fd !== undefined);
}
