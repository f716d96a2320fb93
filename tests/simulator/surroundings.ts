// What Node gives to every program beside its modules: the clock, timers, signals, standard error. While a process of the story runs,
// they are the story's.
import { machine } from './machine.ts';

const real = {
  Date: globalThis.Date,
  setTimeout: globalThis.setTimeout,
  clearTimeout: globalThis.clearTimeout,
  setInterval: globalThis.setInterval,
  clearInterval: globalThis.clearInterval,
  setImmediate: globalThis.setImmediate,
  pid: process.pid,
  now: performance.now.bind(performance),
  kill: process.kill.bind(process),
  on: process.on.bind(process),
  write: process.stderr.write.bind(process.stderr),
};

/** The time outside of stories, in ms. */
export const realNow = (): number => real.now();

/** Lets the event loop come to its other work. */
export const breathe = (): Promise<void> => new Promise((resolve) => void real.setImmediate(resolve));

class StoryDate extends real.Date {
  constructor(...args: [] | [number | string | Date]) {
    if (args.length === 0) super(machine.wall_ms());
    else super(args[0]);
  }
  static override now(): number {
    return machine.wall_ms();
  }
}

interface Timer {
  cancel(): void;
  ref(): Timer;
  unref(): Timer;
}

function makeTimer(ms: number, fire: () => void): Timer {
  const { cancel } = machine.engine.timer(ms, fire);
  const timer: Timer = { cancel, ref: () => timer, unref: () => timer };
  return timer;
}

function makeInterval(ms: number, fire: () => void): Timer {
  let current: { cancel(): void };
  const turn = () => {
    current = machine.engine.timer(ms, turn);
    fire();
  };
  current = machine.engine.timer(ms, turn);
  const timer: Timer = { cancel: () => current.cancel(), ref: () => timer, unref: () => timer };
  return timer;
}

/** A signal to a process or a program of the story. */
function kill(pid: number, signal: string | number = 'SIGTERM'): true {
  const process = machine.processes.get(pid);
  const program = machine.programs.get(pid);
  if (!process && !program) throw Object.assign(new Error('ESRCH'), { code: 'ESRCH' });
  if (signal === 'SIGKILL') {
    if (process) machine.kill(process);
    program?.kill();
  } else if (process) {
    const handler = process.handlers.get(String(signal));
    machine.engine.as(process, () => (handler ? handler() : machine.kill(process)));
  } else program?.kill();
  return true;
}

type Any = (...args: never[]) => unknown;

/** Whether a process of the story runs. */
const inAStory = () => (machine as typeof machine | undefined)?.engine.running !== undefined;

/** Puts the story's surroundings in the place of Node's; returns what takes them away again. */
export function enterStory(): () => void {
  const inStory = <T extends Any>(story: Any, otherwise: T): T =>
    ((...args: never[]) => (inAStory() ? story(...args) : otherwise(...args))) as T;
  const cancel = (timer: unknown) => (timer as Timer | undefined)?.cancel?.();
  const set = globalThis as Record<string, unknown>;
  const { stackTraceLimit } = Error;
  // Errors are thrown by the thousand, and hardly one's stack is looked at.
  Error.stackTraceLimit = 4;
  set['Date'] = StoryDate;
  set['setTimeout'] = inStory(
    ((fire: () => void, ms = 0) => makeTimer(ms, fire)) as Any,
    real.setTimeout as unknown as Any,
  );
  set['setInterval'] = inStory(
    ((fire: () => void, ms = 0) => makeInterval(ms, fire)) as Any,
    real.setInterval as unknown as Any,
  );
  set['setImmediate'] = inStory(
    ((fire: () => void) => makeTimer(0, fire)) as Any,
    real.setImmediate as unknown as Any,
  );
  set['clearTimeout'] = inStory(cancel as Any, real.clearTimeout as unknown as Any);
  set['clearInterval'] = inStory(cancel as Any, real.clearInterval as unknown as Any);
  performance.now = () => machine.engine.now;
  Object.defineProperty(process, 'pid', {
    configurable: true,
    get: () => {
      const { running } = (machine as typeof machine | undefined)?.engine ?? {};
      if (!running) return real.pid;
      return running.contained ? 1 : running.pid;
    },
  });
  // Whoever calls it, and whenever: no process outside of the story is ever meant.
  process.kill = kill as never;
  process.on = inStory(
    ((signal: string, handler: () => void) => {
      machine.engine.running?.handlers.set(signal, handler);
      return process;
    }) as Any,
    real.on as unknown as Any,
  ) as never;
  process.stderr.write = inStory(
    ((text: string) => {
      if (!machine.faulty)
        machine.watch.report('a defect', `a job's process said: ${text.split('\n').slice(0, 4).join(' | ')}`);
      return true;
    }) as Any,
    real.write as unknown as Any,
  ) as never;
  return () => {
    Error.stackTraceLimit = stackTraceLimit;
    for (const name of [
      'Date',
      'setTimeout',
      'clearTimeout',
      'setInterval',
      'clearInterval',
      'setImmediate',
    ] as const)
      set[name] = real[name];
    performance.now = real.now;
    Object.defineProperty(process, 'pid', { configurable: true, value: real.pid });
    process.kill = real.kill;
    process.on = real.on;
    process.stderr.write = real.write;
  };
}

/** node:timers/promises of the story. */
export function sleep(ms: number, value?: unknown, options?: { signal?: AbortSignal }): Promise<unknown> {
  const { signal } = options ?? {};
  return new Promise((resolve, reject) => {
    const onAbort = () => {
      timer.cancel();
      reject(signal?.reason);
    };
    const timer = makeTimer(ms, () => {
      signal?.removeEventListener('abort', onAbort);
      resolve(value);
    });
    signal?.addEventListener('abort', onAbort);
  });
}
