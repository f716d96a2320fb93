import { createTask } from 'node-cron';
import type { Logger } from 'pino';

/** Calls something at the times of a cron expression, never twice at once. */
export interface Schedule {
  start(): Promise<void>;
  /** No further call; one that runs goes on. */
  stop(): Promise<void>;
}

/** How long a clock that was set may go unnoticed. */
const LOOK_MS = 10_000;
/** What the wall clock may be off from the time that really passed, before it counts as set. */
const SET_MS = 1_500;

/**
 * Makes a {@link Schedule} from a cron expression; `run` never throws.
 *
 * The wall clock may be set at any moment, by years: whatever it was set to, the next call is at the next time of the expression
 * on the clock as it is now. Times that were jumped over are one call, at once.
 */
export function createSchedule(expression: string, run: () => Promise<void>, log: Logger): Schedule {
  // node-cron's own timer walks through every minute that the clock jumped over, and sleeps until the time that it jumped back from.
  const task = createTask(expression, () => undefined, { name: expression });
  let timer: NodeJS.Timeout | undefined;
  let stopped = false;
  let running = false;
  let planned = { at_ms: 0, in_ms: 0, since: 0 };

  function plan(): void {
    const at_ms = task.getNextRuns(1)[0]?.getTime() ?? Number.POSITIVE_INFINITY;
    planned = { at_ms, in_ms: at_ms - Date.now(), since: performance.now() };
  }

  async function runOnce(): Promise<void> {
    if (running) return log.warn({ schedule: expression }, 'what was to be done again is not through yet');
    running = true;
    try {
      await run();
    } finally {
      running = false;
    }
  }

  function look(): void {
    const left_ms = planned.at_ms - Date.now();
    if (left_ms <= 0) {
      plan();
      void runOnce();
    } else if (left_ms > planned.in_ms - (performance.now() - planned.since) + SET_MS) plan();
    wait();
  }

  function wait(): void {
    if (stopped) return;
    timer = setTimeout(look, Math.min(Math.max(planned.at_ms - Date.now(), 1), LOOK_MS));
  }

  return {
    async start() {
      plan();
      wait();
    },
    async stop() {
      stopped = true;
      clearTimeout(timer);
      await task.destroy();
    },
  };
}
