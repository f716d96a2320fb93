import type { Terminal } from './secret.ts';

const INTERVAL_MS = 1_000;

/** One line of a terminal that says how far something is, written over at most once a second; nothing elsewhere. */
export function createProgress(messages: Terminal['messages']): { show(told: string): void; clear(): void } {
  let shown_ms = Number.NEGATIVE_INFINITY;
  return {
    show(told) {
      if (!messages.isTTY || performance.now() - shown_ms < INTERVAL_MS) return;
      shown_ms = performance.now();
      messages.write(`\r${told.slice(0, (messages.columns ?? 80) - 1)}\x1b[K`);
    },
    clear() {
      if (messages.isTTY && shown_ms > 0) messages.write('\r\x1b[K');
    },
  };
}
