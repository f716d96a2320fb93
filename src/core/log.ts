import { fstatSync } from 'node:fs';
import { type Logger, pino } from 'pino';
import type { Config } from '../config/schema.ts';

/** What a log line is of, in syslog's numbers (sd-daemon(3)), by pino's levels. */
const PRIORITIES: Readonly<Record<number, number>> = { 10: 7, 20: 7, 30: 6, 40: 4, 50: 3, 60: 2 };
const STANDARD_OUTPUT = 1;

/** Whether standard output goes to the journal: $JOURNAL_STREAM names it by device and inode (systemd.exec(5)). */
function goesToJournal(env: NodeJS.ProcessEnv): boolean {
  if (env['JOURNAL_STREAM'] === undefined) return false;
  const { dev, ino } = fstatSync(STANDARD_OUTPUT, { bigint: true });
  return env['JOURNAL_STREAM'] === `${dev}:${ino}`;
}

/**
 * The agent's log: JSON lines on standard output. Where that is the journal, each has its priority before it as `<4>`, which
 * journald takes off.
 */
export function createLog(config: Pick<Config, 'log_level'>, env = process.env): Logger {
  const options = {
    level: config.log_level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (level: string) => ({ level }) },
  };
  if (!goesToJournal(env)) return pino(options);
  const output = pino.destination({ fd: STANDARD_OUTPUT, sync: true });
  return pino(options, {
    [Symbol.for('pino.metadata')]: true,
    lastLevel: 30,
    write(line: string) {
      output.write(`<${PRIORITIES[this.lastLevel] ?? 6}>${line}`);
    },
  } as pino.DestinationStream & { lastLevel: number });
}
