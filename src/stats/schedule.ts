import { type Logger as CronLogger, createTask } from 'node-cron';
import type { Logger } from 'pino';

/** Calls something at every full minute of the wall clock, never twice at once. */
export interface Schedule {
  start(): Promise<void>;
  /** No further call; one that runs goes on. */
  stop(): Promise<void>;
}

function cronLogger(log: Logger): CronLogger {
  const text = (message: string | Error) => (message instanceof Error ? message.message : message);
  return {
    info: (message) => log.debug(message),
    debug: (message) => log.debug(text(message)),
    warn: (message) => log.warn(message),
    error: (message, error) => log.warn({ err: error }, text(message)),
  };
}

/** Makes a {@link Schedule} from a cron expression; `run` never throws. */
export function createSchedule(expression: string, run: () => Promise<void>, log: Logger): Schedule {
  const task = createTask(expression, run, { name: 'sample', noOverlap: true, logger: cronLogger(log) });
  return {
    async start() {
      await task.start();
    },
    async stop() {
      await task.destroy();
    },
  };
}
