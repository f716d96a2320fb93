import type { Logger } from 'pino';
import { quoteName } from '../core/bind.ts';
import type { PasswordFile } from '../core/ports.ts';
import { addressGroup } from './auth/address.ts';
import { type Credentials, parseBasic } from './auth/basic.ts';
import { Gate, GateFull, type GateOptions } from './auth/gate.ts';
import { createThrottle, type ThrottleOptions } from './auth/throttle.ts';
import { VerifiedPairs } from './auth/verified.ts';

/**
 * Who a request is from, or how it is refused: 401 wrong or no password, 429 too many failures, 503 passwords cannot be
 * checked now.
 */
export type AuthResult =
  | { readonly ok: true; readonly user: string; readonly stillKnown: () => Promise<boolean> }
  | { readonly ok: false; readonly status: 401 }
  | { readonly ok: false; readonly status: 429 | 503; readonly retry_after_s: number };

/** Checks an Authorization header that came from an address; never throws. */
export type Authenticate = (header: string | undefined, address: string) => Promise<AuthResult>;

/** What an {@link Authenticate} is made of. */
export interface AuthOptions {
  readonly passwords: Pick<PasswordFile, 'mark' | 'verify'>;
  readonly log: Logger;
  /** How long a pair that was right is remembered. */
  readonly remember_ms?: number;
  readonly throttle?: ThrottleOptions;
  readonly gate?: GateOptions;
}

type Verdict = 'right' | 'wrong' | 'throttled';

const REFUSED: AuthResult = Object.freeze({ ok: false, status: 401 });
const BUSY: AuthResult = Object.freeze({ ok: false, status: 503, retry_after_s: 1 });

/**
 * Makes the check that stands before every SOAP call.
 *
 * Every failure is one log line, `authentication failure from ADDRESS for user NAME`, made for fail2ban
 * (fail2ban/filter.conf): the address comes before anything that a caller chose, and
 * the name is printable ASCII without spaces.
 */
export function createAuthenticator({
  passwords,
  log,
  remember_ms = 10_000,
  throttle: throttle_options = {},
  gate: gate_options = {},
}: AuthOptions): Authenticate {
  const throttle = createThrottle(throttle_options);
  const gate = new Gate(gate_options);
  const verified = new VerifiedPairs(remember_ms);
  /** Checks that run now, by the pair's digest: callers with the same pair share one. */
  const running = new Map<string, Promise<Verdict>>();

  function check({ user, password }: Credentials, group: string): Promise<Verdict> {
    return gate.run(group, async () => {
      if (throttle.wait_ms(group, user) > 0) return 'throttled';
      if (await passwords.verify(user, password)) return 'right';
      // Counted before the next one waiting is let in, so that many at once are limited as well.
      throttle.failed(group, user);
      return 'wrong';
    });
  }

  /** `mark` is taken before: what fits a line that came meanwhile is not remembered for the older one. */
  async function verdictOn(credentials: Credentials, group: string, mark: string): Promise<Verdict> {
    const digest = verified.digest(credentials.user, credentials.password, mark);
    if (verified.has(digest)) return 'right';
    const key = `${group} ${digest}`;
    const shared = running.get(key);
    if (shared) {
      const verdict = await shared;
      if (verdict === 'wrong') throttle.failed(group, credentials.user);
      return verdict;
    }
    const own = check(credentials, group).finally(() => running.delete(key));
    running.set(key, own);
    const verdict = await own;
    if (verdict === 'right' && (await passwords.mark(credentials.user)) === mark) verified.add(digest);
    return verdict;
  }

  function throttled(group: string, user: string): AuthResult {
    const retry_after_s = Math.max(1, Math.ceil(throttle.wait_ms(group, user) / 1000));
    return { ok: false, status: 429, retry_after_s };
  }

  function refused(address: string, user: string): AuthResult {
    log.warn({ address }, `authentication failure from ${address} for user ${quoteName(user) || '-'}`);
    return REFUSED;
  }

  return async (header, address) => {
    if (header === undefined) return REFUSED;
    const group = addressGroup(address);
    const credentials = parseBasic(header);
    const user = credentials?.user ?? '';
    if (throttle.wait_ms(group, user) > 0) return throttled(group, user);
    if (!credentials) {
      throttle.failed(group, user);
      return refused(address, user);
    }
    try {
      const mark = await passwords.mark(user);
      const verdict = await verdictOn(credentials, group, mark);
      if (verdict === 'throttled') return throttled(group, user);
      if (verdict === 'wrong') return refused(address, user);
      throttle.succeeded(group, user);
      return { ok: true, user, stillKnown: async () => (await passwords.mark(user)) === mark };
    } catch (error) {
      if (error instanceof GateFull) return BUSY;
      log.error({ err: error, address }, 'passwords cannot be checked');
      return { ok: false, status: 503, retry_after_s: 5 };
    }
  };
}
