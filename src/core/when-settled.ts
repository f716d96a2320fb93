import { setTimeout as sleep } from 'node:timers/promises';

const SETTLE_MS = 3_000;
const POLL_MS = 200;

/**
 * What `look` finds, once it is not in use, or still is after `limit_ms`, some seconds: udev opens a disk for a moment whenever a
 * writer has closed it, to see what is on it now. `seen` is what a look has found just now.
 */
export async function whenSettled<T>(
  look: () => Promise<T>,
  inUse: (found: T) => boolean,
  { seen, limit_ms = SETTLE_MS }: { readonly seen?: T | undefined; readonly limit_ms?: number } = {},
): Promise<T> {
  const end = performance.now() + limit_ms;
  let found = seen ?? (await look());
  while (inUse(found) && performance.now() < end) {
    await sleep(POLL_MS);
    found = await look();
  }
  return found;
}
