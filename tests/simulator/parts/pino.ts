const silent = () => undefined;
const quiet = {
  info: silent,
  debug: silent,
  trace: silent,
  warn: silent,
  error: silent,
  fatal: silent,
  level: 'silent',
};

/** A log that nobody reads: the daemon gets another one (agent.ts). */
export const pino = () => quiet;
