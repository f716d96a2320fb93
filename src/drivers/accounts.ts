import { chmod, chown, lstat, mkdir, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Config } from '../config/schema.ts';
import { AgentError } from '../core/errors.ts';
import type { Accounts, PasswordFile } from '../core/ports.ts';
import type { Runner } from '../core/runner.ts';
import type { VpsId } from '../core/vps.ts';
import { createIsos } from './isos.ts';
import { createKnownStores } from './known-stores.ts';
import { unlessMissing } from './missing.ts';
import { type Owner, removeHome, writeInOwnedFolder } from './owned-folder.ts';

const TIMEOUT_MS = 20_000;
/** The Unix group of all console users. */
const GROUP = 'xenusers';
/** The console users' login shell: the console of their VPS and nothing else. */
const CONSOLE_SHELL = '/usr/bin/dtc-xen_userconsole';
/** What sshd reads keys from first (sshd_config(5), AuthorizedKeysFile). */
const KEY_FILE = 'authorized_keys';
/**
 * An account with this date can log in by no way (usermod(8), --expiredate: days since 1970). It is ours alone: 1 is what admins use
 * (passwd(1)), and no call of an owner's lifts that.
 */
const EXPIRED_BY_US = '2';
/** Of /etc/shadow's fields (shadow(5)), the account's expiration date. */
const EXPIRES = 7;
const END_TRIES = 20;
const END_PAUSE_MS = 100;
/** crypt(3), SHA-512. */
const SHA512 = /^\$6\$[./A-Za-z0-9]{1,16}\$[./A-Za-z0-9]{86}$/;

/** What the accounts driver needs. */
export interface AccountsOptions {
  readonly runner: Runner;
  readonly config: Pick<Config, 'state_dir'>;
  readonly htpasswd: Pick<PasswordFile, 'setPassword' | 'removeUser'>;
}

/** Makes {@link Accounts}: Unix users xenNN in group xenusers, with homes in state_dir/ttyssh_home. */
export function createAccounts({ runner, config, htpasswd }: AccountsOptions): Accounts {
  const homes = join(config.state_dir, 'ttyssh_home');
  const stores = createKnownStores(config);
  const requireHomes = () => stores.requireFolder('homes', homes);
  const homeOf = (vps: VpsId) => join(homes, vps.name);
  const check = (label: string, program: string, args: readonly string[], input?: string) =>
    runner.check({ label, program, args, timeout_ms: TIMEOUT_MS, ...(input === undefined ? {} : { input }) });

  /** A line of the node's databases (getent(1): 2 is "not there"). */
  async function getent(
    database: 'passwd' | 'shadow' | 'group',
    name: string,
  ): Promise<string[] | undefined> {
    const answer = await runner.check({
      label: `getent ${database}`,
      program: 'getent',
      args: [database, name],
      timeout_ms: TIMEOUT_MS,
      ok_codes: [2],
    });
    return answer.exit_code === 0 ? answer.stdout.trim().split(':') : undefined;
  }

  /** What stands against taking a Unix user for the console user of a VPS; undefined where nothing does. */
  function strange(
    vps: VpsId,
    [, , uid = '', gid = '', , home = '', shell = '']: string[],
  ): string | undefined {
    if (!/^[1-9][0-9]{0,9}$/.test(uid) || !/^[0-9]{1,10}$/.test(gid)) return 'its ids are odd';
    if (basename(shell) !== basename(CONSOLE_SHELL)) return `its login shell is ${shell}`;
    return home === homeOf(vps) ? undefined : `its home is ${home}`;
  }

  /** The console user, who must be one: a password for any other account would let a customer into the node. */
  async function consoleUser(vps: VpsId): Promise<Owner | undefined> {
    const entry = await getent('passwd', vps.name);
    if (!entry) return undefined;
    const wrong = strange(vps, entry);
    if (wrong === undefined) return { uid: Number(entry[2]), gid: Number(entry[3]) };
    throw new AgentError(
      'program_failed',
      `The Unix user ${vps.name} is not the console user of a VPS (${wrong}); it was not touched.`,
    );
  }

  /** sshd reads keys with the user's rights: whatever the umask was, the way to the home must be open, if not to be read. */
  async function ensureWay(): Promise<void> {
    await mkdir(homes, { recursive: true });
    await stores.claimFolder('homes', homes);
    for (const folder of [config.state_dir, homes]) {
      const { mode } = await stat(folder);
      if ((mode & 0o011) !== 0o011) await chmod(folder, (mode & 0o7777) | 0o011);
    }
  }

  /** The home is the user's; one that is still root's was cut off in its making. */
  async function ensureHome(home: string, { uid, gid }: Owner): Promise<void> {
    await ensureWay();
    const there = await unlessMissing(lstat(home), undefined);
    if (!there) await mkdir(home, 0o700);
    else if (!there.isDirectory())
      throw new AgentError('program_failed', `${home} is not a folder; look what it is.`);
    if (there && there.uid !== 0) return;
    await chown(home, uid, gid);
    await chmod(home, 0o700);
  }

  /** Makes what is missing of the console user; the login shell is there from the moment that the user is. */
  async function ensureConsoleUser(vps: VpsId): Promise<Owner> {
    if (!(await consoleUser(vps))) {
      if (!(await getent('group', GROUP))) await check('groupadd', 'groupadd', ['--system', '--', GROUP]);
      await check('useradd', 'useradd', [
        ...['--home-dir', homeOf(vps), '--no-create-home', '--no-user-group', '--gid', GROUP],
        ...['--shell', CONSOLE_SHELL, '--comment', `console of ${vps.name}`, '--', vps.name],
      ]);
    }
    const owner = await consoleUser(vps);
    if (!owner) {
      throw new AgentError('program_failed', `useradd made no Unix user ${vps.name}; see getent passwd.`);
    }
    await ensureHome(homeOf(vps), owner);
    // The name has been another owner's before.
    const expires = (await getent('shadow', vps.name))?.[EXPIRES];
    if (expires === EXPIRED_BY_US) await check('usermod', 'usermod', ['--expiredate', '', '--', vps.name]);
    return owner;
  }

  /** Ends all that runs as a user; a connection that is there already needs no password to open sessions. */
  async function endProcesses(vps: VpsId, uid: string): Promise<void> {
    for (let tries = 0; tries < END_TRIES; tries += 1) {
      const ended = await runner.check({
        label: 'pkill',
        program: 'pkill',
        args: ['-KILL', '-u', uid],
        timeout_ms: TIMEOUT_MS,
        ok_codes: [1],
      });
      if (ended.exit_code === 1) return;
      await sleep(END_PAUSE_MS);
    }
    throw new AgentError(
      'program_failed',
      `The Unix user ${vps.name} is locked, but processes of it do not end: see ps -u ${vps.name}, end them, and try again.`,
    );
  }

  /** Passwords go to programs as a line of their input; validated at the edge too. */
  function requireOneLine(password: string): void {
    if (password !== '' && !/[\x00-\x1f\x7f]/.test(password)) return;
    throw new AgentError('invalid_value', 'The password is empty, or holds control characters or line ends.');
  }

  const isos = createIsos(homes, requireHomes);
  return {
    ...isos,
    requireHomes,

    async setConsolePassword(vps, password) {
      requireOneLine(password);
      await ensureConsoleUser(vps);
      const input = `${vps.name}:${password}\n`;
      const set = await runner.run({
        label: 'chpasswd',
        program: 'chpasswd',
        args: [],
        timeout_ms: TIMEOUT_MS,
        input,
      });
      if (set.exit_code === 0) return;
      // Nothing of what it said: a complaint about its input may quote it.
      throw new AgentError(
        'program_failed',
        `${vps.name}: chpasswd failed (exit code ${set.exit_code}): the password may be refused by the node's PAM rules.`,
      );
    },

    async setSshKey(vps, key) {
      const owner = await ensureConsoleUser(vps);
      await writeInOwnedFolder(homeOf(vps), '.ssh', KEY_FILE, `${key}\n`, owner);
    },

    async revoke(vps) {
      await requireHomes();
      await htpasswd.removeUser(vps.name);
      const entry = await getent('passwd', vps.name);
      if (entry && strange(vps, entry) !== undefined) return;
      if (entry) {
        await check('usermod', 'usermod', ['--lock', '--expiredate', EXPIRED_BY_US, '--', vps.name]);
        await endProcesses(vps, String(entry[2]));
      }
    },

    async forget(vps) {
      await requireHomes();
      await isos.unpinIsos(vps, []);
      const entry = await getent('passwd', vps.name);
      if (entry && strange(vps, entry) !== undefined) return;
      await removeHome(homes, vps.name);
      // One whose login was under way when the account was locked.
      if (entry) await endProcesses(vps, String(entry[2]));
    },

    setSoapPassword: (vps, password) => htpasswd.setPassword(vps.name, password),

    async hashRootPassword(password) {
      requireOneLine(password);
      const { stdout } = await check(
        'openssl passwd',
        'openssl',
        ['passwd', '-6', '-stdin'],
        `${password}\n`,
      );
      const hash = stdout.trim();
      if (SHA512.test(hash)) return hash;
      throw new AgentError(
        'program_output',
        `openssl passwd answered something that is not a SHA-512 hash: ${stdout.length} characters. No password was changed: try again, and see what openssl passwd -6 answers by hand.`,
      );
    },
  };
}
