import { createHmac, randomBytes } from 'node:crypto';

/**
 * Remembers pairs that were right for a short while, as keyed hashes under a key that never leaves this process; each together with
 * the mark of its user's line, so that it is right no more when that changes.
 */
export class VerifiedPairs {
  readonly #key = randomBytes(32);
  readonly #until = new Map<string, number>();
  readonly #keep_ms: number;
  readonly #capacity: number;

  constructor(keep_ms: number, capacity = 1000) {
    this.#keep_ms = keep_ms;
    this.#capacity = capacity;
  }

  /** The pair's keyed hash, with the mark of the user's line. */
  digest(user: string, password: Uint8Array, mark: string): string {
    return createHmac('sha256', this.#key).update(`${mark}\0${user}\0`).update(password).digest('base64');
  }

  has(digest: string): boolean {
    return (this.#until.get(digest) ?? 0) > performance.now();
  }

  add(digest: string): void {
    const now = performance.now();
    for (const [known, until] of this.#until) if (until <= now) this.#until.delete(known);
    if (this.#until.size < this.#capacity) this.#until.set(digest, now + this.#keep_ms);
  }
}
