import { AgentError } from '../core/errors.ts';
import type { Sample, SampleDelivery } from '../core/ports.ts';
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
  confirm(timestamp: number, count: number): Promise<readonly Sample[]>;
} {
  const waiting: (() => void)[] = [];
  let taken = false;
  /** Tells the delivery under way that somebody waits for its end. */
  let want: () => void = () => undefined;

  async function acquire(): Promise<void> {
    if (!taken) {
      taken = true;
      return;
    }
    want();
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
    want = () => undefined;
    const next = waiting.shift();
    if (next) next();
    else taken = false;
  }

  const read = (count: number) => spool.oldest(count, rows_an_answer);

  function deliver(stored: Awaited<ReturnType<typeof read>>): SampleDelivery {
    const serials = stored.map(({ serial }) => serial);
    let settled = false;
    const wanted = new Promise<void>((resolve) => {
      want = resolve;
    });
    // Who came while the samples were read waits already.
    if (waiting.length > 0) want();
    return {
      samples: stored.map(({ sample }) => sample),
      wanted,
      async delivered() {
        if (settled) return;
        settled = true;
        try {
          await spool.remove(serials);
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
  }

  return {
    async take(count) {
      await acquire();
      try {
        return deliver(await read(count));
      } catch (error) {
        release();
        throw error;
      }
    },
    async confirm(timestamp, count) {
      await acquire();
      try {
        await spool.confirm(timestamp);
        return (await read(count)).map(({ sample }) => sample);
      } finally {
        release();
      }
    },
  };
}
