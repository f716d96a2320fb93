/**
 * Counts failed logins.
 *
 * Failures count against the caller's address (an IPv6 caller's /64). With `max_failures` of them inside `window_ms`, the
 * address is refused until the oldest ones leave the window. A user who has logged in from that address within `trust_ms`
 * has a count of their own there: the panel is not locked out by a neighbour behind the same NAT who guesses other names
 * or has an old password, yet guesses at the panel's own name are limited just the same.
 */
export interface Throttle {
  /** Milliseconds until this user may try again from this address; 0: now. */
  wait_ms(group: string, user: string): number;
  failed(group: string, user: string): void;
  succeeded(group: string, user: string): void;
}

/** Limits of a {@link Throttle}. */
export interface ThrottleOptions {
  readonly max_failures?: number;
  readonly window_ms?: number;
  readonly trust_ms?: number;
  /** Addresses (and trusted users) that are kept in mind; beyond it the ones least recently seen are forgotten. */
  readonly capacity?: number;
  /** A clock in milliseconds that never goes back. */
  readonly now?: () => number;
}

/** A map that forgets the entry least recently written when it is full. */
class BoundedMap<V> {
  readonly #entries = new Map<string, V>();
  readonly #capacity: number;
  constructor(capacity: number) {
    this.#capacity = capacity;
  }
  get(key: string): V | undefined {
    return this.#entries.get(key);
  }
  set(key: string, value: V): void {
    this.#entries.delete(key);
    this.#entries.set(key, value);
    const [oldest] = this.#entries.keys();
    if (this.#entries.size > this.#capacity && oldest !== undefined) this.#entries.delete(oldest);
  }
}

/** Makes a {@link Throttle}; its memory is bounded by `capacity`. */
export function createThrottle({
  max_failures = 10,
  window_ms = 5 * 60_000,
  trust_ms = 24 * 3_600_000,
  capacity = 10_000,
  now = () => performance.now(),
}: ThrottleOptions = {}): Throttle {
  /** Times of the last failures, oldest first, at most `max_failures`. */
  const failures = new BoundedMap<readonly number[]>(capacity);
  /** When a user last logged in from an address. */
  const logins = new BoundedMap<number>(capacity);

  const ofUser = (group: string, user: string) => `${group} ${user}`;
  function count(key: string, at: number): void {
    failures.set(key, [...(failures.get(key) ?? []), at].slice(-max_failures));
  }
  const isTrusted = (group: string, user: string) =>
    now() - (logins.get(ofUser(group, user)) ?? Number.NEGATIVE_INFINITY) < trust_ms;

  return {
    wait_ms(group, user) {
      const times = failures.get(isTrusted(group, user) ? ofUser(group, user) : group) ?? [];
      const [oldest] = times;
      if (oldest === undefined || times.length < max_failures) return 0;
      return Math.max(0, oldest + window_ms - now());
    },
    failed(group, user) {
      const at = now();
      count(group, at);
      if (isTrusted(group, user)) count(ofUser(group, user), at);
    },
    succeeded(group, user) {
      logins.set(ofUser(group, user), now());
    },
  };
}
