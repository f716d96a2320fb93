// Time, processes and their calls. One thing happens at a time: what a process does between two of its calls is done before anything
// else is, so that every story is the same whenever it is told again.

/** How much a call may change: where a story interrupts, it counts the calls of one of these kinds, or all. */
export type CallKind = 'look' | 'write' | 'program';

/** A call of a process to the node's kernel, or a step of a program that it has started. */
export interface Call {
  readonly kind: CallKind;
  /** `rename /etc/xen/xen01`, `lvrename`: for the story in words. */
  readonly what: string;
  /** The program whose step it is. */
  readonly program?: { kill(): void; slowDown(ms: number): void };
}

/** What is done at a call instead of, before or after it. */
export interface Trap {
  readonly before?: () => void;
  readonly after?: () => void;
  /** Makes the call fail with this error. */
  readonly fail?: NodeJS.ErrnoException;
}

/** A process of the agent, whose code is the real one: the daemon, a job, a program called by hand. */
export class Process {
  alive = true;
  onEnd: () => void = () => undefined;
  readonly handlers = new Map<string, () => void>();
  /** Programs that end when this process does, since their input ends. */
  readonly companions: { kill(): void }[] = [];
  readonly schedules: { expression: string; run: () => Promise<void> }[] = [];
  readonly pid: number;
  readonly name: string;
  readonly environ: Readonly<Record<string, string>>;
  /** Whether it has a PID and a mount namespace of its own: what it started and mounted goes with it. */
  readonly contained: boolean;
  constructor(pid: number, name: string, environ: Readonly<Record<string, string>>, contained: boolean) {
    this.pid = pid;
    this.name = name;
    this.environ = environ;
    this.contained = contained;
  }
}

/** Who may wait: a process of the agent, or anything else that can end. */
export interface Mortal {
  readonly alive: boolean;
}

interface Event {
  readonly at: number;
  readonly order: number;
  readonly owner: Mortal | undefined;
  readonly fire: () => void;
  cancelled: boolean;
}

/** The story took more calls than any should: something waits for what never comes. */
export class Endless extends Error {}

const NEVER = new Promise<never>(() => undefined);
const MAX_CALLS = 60_000;
const TRACE = process.env['SIMULATE_TRACE'] !== undefined;

/** The clock, and what waits for it. */
export class Engine {
  /** Milliseconds since the story began, whatever the wall clock says. */
  now = 0;
  calls = 0;
  /** Every call, where SIMULATE_TRACE is set. */
  readonly trace: string[] = [];
  running: Process | undefined;
  /** Asked at every call. */
  trap: ((call: Call, by: Process | undefined) => Trap | undefined) | undefined;
  #order = 0;
  readonly #heap: Event[] = [];

  /** Has something done at a time, unless its owner is dead by then. */
  at(at: number, owner: Mortal | undefined, fire: () => void): Event {
    const event = { at, order: this.#order++, owner, fire, cancelled: false };
    const heap = this.#heap;
    let i = heap.push(event) - 1;
    while (i > 0) {
      const up = (i - 1) >> 1;
      if (!earlier(event, heap[up] as Event)) break;
      heap[i] = heap[up] as Event;
      i = up;
    }
    heap[i] = event;
    return event;
  }

  #next(): Event | undefined {
    for (let first = this.#heap[0]; first; first = this.#heap[0]) {
      if (!first.cancelled && (first.owner === undefined || first.owner.alive)) return first;
      this.#pop();
    }
    return undefined;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop() as Event;
    const { length } = heap;
    if (length === 0) return;
    let i = 0;
    for (;;) {
      let down = 2 * i + 1;
      if (down >= length) break;
      if (down + 1 < length && earlier(heap[down + 1] as Event, heap[down] as Event)) down += 1;
      if (!earlier(heap[down] as Event, last)) break;
      heap[i] = heap[down] as Event;
      i = down;
    }
    heap[i] = last;
  }

  #isEndless(): boolean {
    this.calls += 1;
    return this.calls > MAX_CALLS;
  }

  /** A call of the process that runs: it takes `ms`, then has its effect, unless the process is dead by then. */
  call<T>(call: Call, ms: number, effect: () => T): Promise<T> {
    const by = this.running;
    if ((by && !by.alive) || this.#isEndless()) return NEVER;
    if (TRACE) this.trace.push(`${this.now.toFixed(2)} ${by?.name ?? '-'} ${call.what}`);
    const trap = this.trap?.(call, by);
    const at = this.now + ms;
    const next = this.#next();
    if (!trap && (!next || at < next.at)) {
      this.now = at;
      try {
        return Promise.resolve(effect());
      } catch (error) {
        return Promise.reject(error);
      }
    }
    return new Promise<T>((resolve, reject) => {
      this.at(at, by, () => {
        this.running = by;
        trap?.before?.();
        if (by && !by.alive) return;
        let settle: () => void;
        try {
          if (trap?.fail) throw trap.fail;
          const value = effect();
          settle = () => resolve(value);
        } catch (error) {
          settle = () => reject(error);
        }
        trap?.after?.();
        if (by && !by.alive) return;
        this.running = by;
        settle();
      });
    });
  }

  /** A step of a program: traps count it as they count calls. */
  step(call: Call, by: Process | undefined, effect: () => void): void {
    if (this.#isEndless()) return;
    if (TRACE) this.trace.push(`${this.now.toFixed(2)} ${by?.name ?? '-'} step of ${call.what}`);
    const trap = this.trap?.(call, by);
    trap?.before?.();
    effect();
    trap?.after?.();
  }

  /** A promise for the process that runs now, and what settles it in its turn. */
  promise<T>(): { promise: Promise<T>; resolve: (value: T) => void; reject: (error: unknown) => void } {
    const by = this.running;
    let settle = { resolve: (_: T) => {}, reject: (_: unknown) => {} };
    const promise = new Promise<T>((resolve, reject) => {
      settle = { resolve, reject };
    });
    const inTurn = (work: () => void) => {
      this.at(this.now, by, () => {
        this.running = by;
        work();
      });
    };
    return {
      promise,
      resolve: (value) => inTurn(() => settle.resolve(value)),
      reject: (error) => inTurn(() => settle.reject(error)),
    };
  }

  /** A timer of the process that runs now. */
  timer(ms: number, fire: () => void): { cancel: () => void; again: (ms: number) => void } {
    const by = this.running;
    const set = (in_ms: number) =>
      this.at(this.now + Math.max(0, in_ms), by, () => {
        this.running = by;
        fire();
      });
    let event = set(ms);
    return {
      cancel: () => {
        event.cancelled = true;
      },
      again: (in_ms) => {
        event = set(in_ms);
      },
    };
  }

  /** Has a process do something, in its turn. */
  as(process: Process, work: () => void): void {
    this.at(this.now, process, () => {
      this.running = process;
      work();
    });
  }

  /** Goes on until something is so, at most for some time of the story; false where it is not so then. */
  run(until: () => boolean, limit_ms: number): Promise<boolean> {
    const deadline = this.now + limit_ms;
    return new Promise((resolve, reject) => {
      const turn = () => {
        this.running = undefined;
        try {
          for (;;) {
            if (this.calls > MAX_CALLS) throw new Endless(`more than ${MAX_CALLS} calls`);
            if (until()) return resolve(true);
            const next = this.#next();
            if (!next || next.at > deadline) {
              this.now = deadline;
              return resolve(until());
            }
            this.#pop();
            this.now = Math.max(this.now, next.at);
            this.running = undefined;
            next.fire();
            if (this.running !== undefined) break;
          }
          this.#whenQuiet(turn);
        } catch (error) {
          reject(error);
        }
      };
      this.#whenQuiet(turn);
    });
  }

  /** After all that promises have set off. */
  #whenQuiet(then: () => void): void {
    queueMicrotask(() => process.nextTick(then));
  }
}

function earlier(a: Event, b: Event): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}
