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
  readonly #running = new Map<string, number>();
  #total = 0;
  readonly #waiting: { readonly key: string; readonly start: () => void }[] = [];

  constructor(limits: GateOptions = {}) {
    this.#limits = { running: 4, running_per_key: 2, waiting: 128, waiting_per_key: 32, ...limits };
  }

  /** @throws GateFull */
  async run<T>(key: string, task: () => Promise<T>): Promise<T> {
    if (this.#hasRoom(key)) this.#enter(key);
    else await this.#wait(key);
    try {
      return await task();
    } finally {
      this.#leave(key);
    }
  }

  #hasRoom(key: string): boolean {
    return this.#total < this.#limits.running && (this.#running.get(key) ?? 0) < this.#limits.running_per_key;
  }

  #enter(key: string): void {
    this.#total += 1;
    this.#running.set(key, (this.#running.get(key) ?? 0) + 1);
  }

  #wait(key: string): Promise<void> {
    const ofKey = this.#waiting.filter((waiter) => waiter.key === key).length;
    if (this.#waiting.length >= this.#limits.waiting || ofKey >= this.#limits.waiting_per_key)
      throw new GateFull();
    return new Promise((resolve) => this.#waiting.push({ key, start: resolve }));
  }

  #leave(key: string): void {
    this.#total -= 1;
    const left = (this.#running.get(key) ?? 1) - 1;
    if (left === 0) this.#running.delete(key);
    else this.#running.set(key, left);
    const next = this.#waiting.findIndex((waiter) => this.#hasRoom(waiter.key));
    if (next === -1) return;
    const [waiter] = this.#waiting.splice(next, 1);
    if (!waiter) return;
    this.#enter(waiter.key);
    waiter.start();
  }
}
