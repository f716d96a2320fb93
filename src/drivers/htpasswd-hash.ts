import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { AgentError } from '../core/errors.ts';
import type { Runner } from '../core/runner.ts';

/** Longest password that any scheme is given, in bytes (Apache's MAX_STRING_LEN); a longer one matches nothing. */
const MAX_PASSWORD_BYTES = 255;

/** What bcrypt reads of a password; it ignores the rest, so a longer one is not written. */
const BCRYPT_BYTES = 72;
const BCRYPT_COST = 10;
const HASH_TIMEOUT_MS = 15_000;

/** Hashes and checks passwords, in programs of their own: the event loop never waits for a hash. */
export interface PasswordHasher {
  /** Whether the password gives this hash; false for a kind of hash that {@link isKnownHash} does not know. */
  matches(password: Uint8Array, hash: string): Promise<boolean>;
  /** A bcrypt hash, `$2y$10$...`. Errors: invalid_value, program_*. */
  bcrypt(password: string): Promise<string>;
}

type Compute = (password: Uint8Array, hash: string) => string | Promise<string>;

/** The kinds of hash in an htpasswd file (contract, "Transport"): crypt(5)'s, Apache's apr1, Apache's SHA-1. */
const CRYPT = /^(?:\$2[aby]\$[0-9]{2}\$[./0-9A-Za-z]{53}|\$[56]\$[^\s:*!;]{1,200}|[./0-9A-Za-z]{13})$/;
/** yescrypt, gost-yescrypt and scrypt: an admin may have copied a line of /etc/shadow. */
const YESCRYPT =
  /^(?:\$g?y\$[./0-9A-Za-z]{1,32}\$|\$7\$[./0-9A-Za-z]{11})[./0-9A-Za-z]{0,86}\$[./0-9A-Za-z]{43}$/;
const APR1 = /^\$apr1\$([./0-9A-Za-z]{1,8})\$[./0-9A-Za-z]{22}$/;
const SHA1 = /^\{SHA\}[+/0-9A-Za-z]{27}=$/;

/** Whether a hash is of a kind that can be checked. */
export function isKnownHash(hash: string): boolean {
  return [CRYPT, YESCRYPT, APR1, SHA1].some((kind) => kind.test(hash));
}

/** What of a hash decides how long it takes: its kind, and its rounds. */
export function costOf(hash: string): string {
  const [setting = 'DES'] =
    /^(?:\$2[aby]\$[0-9]{2}|\$[56]\$(?:rounds=[0-9]+\$)?|\$g?y\$[^$]*\$|\$7\$.{11}|\$apr1|\{SHA\})/.exec(
      hash,
    ) ?? [];
  return setting.replace(/^\$2[ab]/, '$2y');
}

function sameText(one: string, other: string): boolean {
  const [a, b] = [Buffer.from(one, 'latin1'), Buffer.from(other, 'latin1')];
  return a.length === b.length && timingSafeEqual(a, b);
}

/** bcrypt's own base64: the usual bits, its own letters, no padding. */
function bcryptSalt(): string {
  const usual = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
  const bcrypts = './ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';
  const salt = randomBytes(16).toString('base64').slice(0, 22);
  return salt.replace(/./g, (letter) => bcrypts.charAt(usual.indexOf(letter)));
}

/**
 * Makes a hasher: crypt(3) kinds through the program `crypt_program` (scripts/dtc-xen-crypt, which knows what the node's
 * libxcrypt knows), apr1 through openssl, SHA-1 here.
 */
export function createPasswordHasher(runner: Runner, crypt_program: string): PasswordHasher {
  async function crypt(password: Uint8Array, setting: string): Promise<string> {
    const { stdout } = await runner.check({
      label: 'dtc-xen-crypt',
      program: crypt_program,
      args: [],
      timeout_ms: HASH_TIMEOUT_MS,
      input: Buffer.concat([password, Buffer.from(`\0${setting}`, 'latin1')]),
    });
    return stdout;
  }
  async function apr1(password: Uint8Array, hash: string): Promise<string> {
    const { stdout } = await runner.check({
      label: 'openssl passwd',
      program: 'openssl',
      args: ['passwd', '-apr1', '-salt', APR1.exec(hash)?.[1] ?? '', '-stdin'],
      timeout_ms: HASH_TIMEOUT_MS,
      input: Buffer.concat([password, Buffer.from('\n')]),
    });
    return stdout.trimEnd();
  }
  const sha1 = (password: Uint8Array) => `{SHA}${createHash('sha1').update(password).digest('base64')}`;

  const kinds: readonly (readonly [RegExp, Compute])[] = [
    [CRYPT, crypt],
    [YESCRYPT, crypt],
    [APR1, apr1],
    [SHA1, sha1],
  ];
  return {
    async matches(password, hash) {
      const compute = kinds.find(([kind]) => kind.test(hash))?.[1];
      if (!compute) return false;
      const usable =
        password.length <= MAX_PASSWORD_BYTES && !password.some((byte) => byte === 0 || byte === 10);
      const computed = await compute(usable ? password : Buffer.from('not usable'), hash);
      return sameText(computed, hash) && usable;
    },
    async bcrypt(password) {
      const bytes = Buffer.from(password);
      if (bytes.length === 0 || bytes.length > BCRYPT_BYTES || /[\0\r\n]/.test(password)) {
        throw new AgentError(
          'invalid_value',
          `The SOAP password must be 1 to ${BCRYPT_BYTES} bytes long, without line ends.`,
        );
      }
      return crypt(bytes, `$2y$${BCRYPT_COST}$${bcryptSalt()}`);
    },
  };
}
