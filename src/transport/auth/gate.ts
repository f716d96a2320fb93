import { Tally } from '../tally.ts';

/** Thrown where too many wait already. */
export class GateFull extends Error {
  constructor() {
    super('too many password checks are waiting');
    this.name = 'GateFull';
  }
}

/** Limits of a {@link Gate}. */
export interface GateOptions {
  /** Tasks that run at once, over all keys. */
  readonly running?: number;
  /** Tasks of one key that run at once: one address cannot hold every place. */
  readonly running_per_key?: number;
  readonly waiting?: number;
  readonly waiting_per_key?: number;
}

/** Lets a few tasks run at once, makes a bounded number wait, first come first served, and refuses the rest. */
export class Gate {
  readonly #limits: Required<GateOptions>;
  readonly #running = new Tally();
  #total = 0;
  readonly #waiting: { readonly key: string; readonly start: (leave: () => void) => void }[] = [];

  constructor(limits: GateOptions = {}) {
    this.#limits = { running: 4, running_per_key: 2, waiting: 128, waiting_per_key: 32, ...limits };
  }

  /** @throws GateFull */
  async run<T>(key: string, task: () => Promise<T>): Promise<T> {
    const leave = this.#hasRoom(key) ? this.#enter(key) : await this.#wait(key);
    try {
      return await task();
    } finally {
      leave();
    }
  }

  #hasRoom(key: string): boolean {
    return this.#total < this.#limits.running && this.#running.count(key) < this.#limits.running_per_key;
  }

  #enter(key: string): () => void {
    this.#total += 1;
    const end = this.#running.begin(key);
    return () => {
      this.#total -= 1;
      end();
      this.#letNextIn();
    };
  }

  #wait(key: string): Promise<() => void> {
    const ofKey = this.#waiting.filter((waiter) => waiter.key === key).length;
    if (this.#waiting.length >= this.#limits.waiting || ofKey >= this.#limits.waiting_per_key)
      throw new GateFull();
    return new Promise((resolve) => this.#waiting.push({ key, start: resolve }));
  }

  #letNextIn(): void {
    const next = this.#waiting.findIndex((waiter) => this.#hasRoom(waiter.key));
    if (next === -1) return;
    const [waiter] = this.#waiting.splice(next, 1);
    waiter?.start(this.#enter(waiter.key));
  }
}
