import { AgentError } from '../core/errors.ts';
import type { SampleDelivery } from '../core/ports.ts';
import type { Spool } from './spool.ts';

/**
 * Samples of one answer, past the first: an answer is about 8 MB, the rest comes with the next call. The longest form, the legacy
 * dialect's, takes some 900 bytes for a VPS in a sample.
 */
const ROWS_AN_ANSWER = Math.floor((8 << 20) / 900);

/** Settings of {@link createDeliveries}. */
export interface DeliveriesOptions {
  readonly spool: Spool;
  /** How long a caller waits for the end of another's delivery. */
  readonly wait_ms: number;
  readonly rows_an_answer?: number;
}

/** Hands out samples, one delivery at a time: a second caller waits for the first one's end (`timeout` after a while). */
export function createDeliveries({ spool, wait_ms, rows_an_answer = ROWS_AN_ANSWER }: DeliveriesOptions): {
  take(count: number): Promise<SampleDelivery>;
} {
  const waiting: (() => void)[] = [];
  let taken = false;

  async function acquire(): Promise<void> {
    if (!taken) {
      taken = true;
      return;
    }
    await new Promise<void>((resolve, reject) => {
      const turn = () => {
        clearTimeout(timer);
        resolve();
      };
      const timer = setTimeout(() => {
        waiting.splice(waiting.indexOf(turn), 1);
        const seconds = Math.round(wait_ms / 1000);
        reject(
          new AgentError(
            'timeout',
            `The samples are being delivered to another caller, which has not ended within ${seconds} s; ask again later.`,
          ),
        );
      }, wait_ms);
      waiting.push(turn);
    });
  }

  /** Gives the turn to the next caller, or to nobody. */
  function release(): void {
    const next = waiting.shift();
    if (next) next();
    else taken = false;
  }

  return {
    async take(count) {
      await acquire();
      let settled = false;
      try {
        const stored = await spool.oldest(count, rows_an_answer);
        return {
          samples: stored.map(({ sample }) => sample),
          async delivered() {
            if (settled) return;
            settled = true;
            try {
              await spool.remove(stored.map(({ serial }) => serial));
            } finally {
              release();
            }
          },
          kept() {
            if (settled) return;
            settled = true;
            release();
          },
        };
      } catch (error) {
        release();
        throw error;
      }
    },
  };
}
