import { createHmac, randomBytes } from 'node:crypto';
import type { BigIntStats } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { replaceFile } from '../core/atomic-file.ts';
import { AgentError } from '../core/errors.ts';
import type { FileLocks, PasswordFile } from '../core/ports.ts';
import { costOf, isKnownHash, type PasswordHasher } from './htpasswd-hash.ts';

/** What a {@link PasswordFile} is made of. */
export interface PasswordFileOptions {
  /** Apache's htpasswd file; one that does not exist has no users. */
  readonly path: string;
  readonly hasher: PasswordHasher;
  readonly locks: FileLocks;
  /** The lock that every writer of ours takes. */
  readonly lock_path: string;
}

/** The users of an htpasswd file, as it was at `version`. */
export interface Users {
  readonly version: string;
  /** User -> hash; the first line of a user counts, as it does for Apache. Names are bytes, as latin1. */
  readonly hashes: ReadonlyMap<string, string>;
  /** A hash of each cost: every password is checked against one of each, so that it takes as long for whoever asks. */
  readonly decoys: ReadonlyMap<string, string>;
}

/** The decoy of a file without a usable line: bcrypt, cost 10, of nothing known. */
const LONE_DECOY = '$2y$10$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA';
const NO_FILE = 'no file';
const LOCK_WAIT_MS = 10_000;

const bytesOf = (user: string) => Buffer.from(user, 'utf8').toString('latin1');

/** Reads the text of an htpasswd file; lines that are none, and hashes of kinds that cannot be checked, are left out. */
export function parseUsers(text: string, version: string): Users {
  const hashes = new Map<string, string>();
  for (const line of text.split('\n')) {
    if (/^\s*(#|$)/.test(line)) continue;
    const [user = '', hash = ''] = line.trimEnd().split(':');
    if (user !== '' && isKnownHash(hash) && !hashes.has(user)) hashes.set(user, hash);
  }
  const known = hashes.size === 0 ? [LONE_DECOY] : [...hashes.values()];
  return { version, hashes, decoys: new Map(known.map((hash) => [costOf(hash), hash])) };
}

const markOf = (at: BigIntStats) => [at.dev, at.ino, at.size, at.mtimeNs, at.ctimeNs].join(':');

function unreadable(error: unknown): AgentError {
  return new AgentError('internal', 'The file of SOAP users cannot be read.', { cause: error });
}

/** Replaces a user's line in the text of an htpasswd file, or adds one; a user's further lines, which never counted, go. */
function withPassword(text: string, user: string, hash: string): string {
  const lines = text === '' ? [] : text.replace(/\n$/, '').split('\n');
  const isUsers = (line: string) => line.startsWith(`${user}:`);
  const first = lines.findIndex(isUsers);
  const kept = lines.filter((line, index) => index === first || !isUsers(line));
  if (first === -1) kept.push(`${user}:${hash}`);
  else kept[first] = `${user}:${hash}${kept[first]?.endsWith('\r') ? '\r' : ''}`;
  return `${kept.join('\n')}\n`;
}

/** The text of an htpasswd file without a user. */
function withoutUser(text: string, user: string): string {
  const lines = text.split('\n');
  return lines.filter((line) => !line.startsWith(`${user}:`)).join('\n');
}

/** Opens an htpasswd file: read anew whenever it changes, written whole and under a lock. */
export function createPasswordFile({ path, hasher, locks, lock_path }: PasswordFileOptions): PasswordFile {
  const mark_key = randomBytes(32);
  let users: Users | undefined;

  async function version(): Promise<string> {
    try {
      return markOf(await stat(path, { bigint: true }));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return NO_FILE;
      throw unreadable(error);
    }
  }

  async function readText(): Promise<{ text: string; version: string }> {
    try {
      const file = await open(path, 'r');
      try {
        const version = markOf(await file.stat({ bigint: true }));
        return { text: await file.readFile('latin1'), version };
      } finally {
        await file.close();
      }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return { text: '', version: NO_FILE };
      throw unreadable(error);
    }
  }

  async function currentUsers(): Promise<Users> {
    if (users?.version === (await version())) return users;
    const read = await readText();
    users = parseUsers(read.text, read.version);
    return users;
  }

  /** Replaces the file by what `edit` makes of it, under the lock of its writers. */
  async function change(user: string, edit: (text: string) => string): Promise<void> {
    const held = await locks.tryLock(lock_path, LOCK_WAIT_MS);
    if (!held) {
      throw new AgentError(
        'program_timeout',
        `${user}: its SOAP password was not changed: another program holds the lock of the file htpasswd for more than ${LOCK_WAIT_MS / 1000} s; try again later.`,
      );
    }
    try {
      const { text } = await readText();
      const changed = edit(text);
      held.requireHeld();
      if (changed !== text) await replaceFile(path, Buffer.from(changed, 'latin1'));
    } finally {
      await held.release();
    }
  }

  return {
    async mark(user) {
      const name = bytesOf(user);
      const hash = (await currentUsers()).hashes.get(name);
      return createHmac('sha256', mark_key)
        .update(JSON.stringify([name, hash]))
        .digest('base64');
    },
    async verify(user, password) {
      const { hashes, decoys } = await currentUsers();
      const own = hashes.get(bytesOf(user));
      let matched = false;
      for (const [cost, decoy] of decoys) {
        if (own !== undefined && costOf(own) === cost) matched = await hasher.matches(password, own);
        // A program that is missing for others' kind of hash locks nobody else out.
        else
          await hasher.matches(password, decoy).catch((error) => {
            if (own === undefined) throw error;
          });
      }
      return matched;
    },
    async setPassword(user, password) {
      if (!/^[^\0-\x20:#\x7f][^\0-\x1f:\x7f]{0,254}$/.test(user)) {
        throw new AgentError(
          'invalid_value',
          'This name cannot be a SOAP user: it is empty, too long, or has a colon.',
        );
      }
      const hash = await hasher.bcrypt(password);
      await change(user, (text) => withPassword(text, bytesOf(user), hash));
    },
    removeUser: (user) => change(user, (text) => withoutUser(text, bytesOf(user))),
  };
}
