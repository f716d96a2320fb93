import { createHmac, randomBytes } from 'node:crypto';

/**
 * Remembers pairs that were right for a short while, as keyed hashes under a key that never leaves this process; all are
 * dropped when the password file changes.
 */
export class VerifiedPairs {
  readonly #key = randomBytes(32);
  readonly #until = new Map<string, number>();
  readonly #keep_ms: number;
  readonly #capacity: number;
  #version = '';

  constructor(keep_ms: number, capacity = 1000) {
    this.#keep_ms = keep_ms;
    this.#capacity = capacity;
  }

  /** The pair's keyed hash under a version of the password file. */
  digest(user: string, password: Uint8Array, version: string): string {
    return createHmac('sha256', this.#key).update(`${version}\0${user}\0`).update(password).digest('base64');
  }

  has(digest: string, version: string): boolean {
    if (version !== this.#version) {
      this.#until.clear();
      this.#version = version;
    }
    return (this.#until.get(digest) ?? 0) > performance.now();
  }

  /** Keeps a pair; one of a version that is no longer the newest is not kept. */
  add(digest: string, version: string): void {
    if (version !== this.#version) return;
    const now = performance.now();
    for (const [known, until] of this.#until) if (until <= now) this.#until.delete(known);
    if (this.#until.size < this.#capacity) this.#until.set(digest, now + this.#keep_ms);
  }
}
