import {
  chownSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseVpsId, type VpsId } from '../../src/core/vps.ts';
import { createAccounts } from '../../src/drivers/accounts.ts';
import { createIsos } from '../../src/drivers/isos.ts';
import { createSmallPrograms, type SmallPrograms } from './small-programs.ts';

const xen01 = parseVpsId('01') as VpsId;
const UID = 23456;
const GID = 23457;

let programs: SmallPrograms;
let home: string;
let soapPasswords: string[][];

/** A node's user database in a file, which the fake useradd adds to. */
beforeEach(() => {
  programs = createSmallPrograms();
  home = join(programs.root, 'state', 'ttyssh_home', 'xen01');
  soapPasswords = [];
  const users = join(programs.root, 'users');
  programs.add(
    'getent',
    `[ "$1" = passwd ] && grep -s "^$2:" '${users}' && exit 0
[ "$1" = shadow ] && grep -s "^$2:" '${join(programs.root, 'shadow')}' && exit 0
exit 2`,
  );
  programs.addRecording('groupadd');
  programs.addRecording('chpasswd');
  programs.addRecording(
    'useradd',
    `while [ $# -gt 1 ]; do case "$1" in --shell) shell=$2;; --home-dir) home=$2;; esac; shift; done
echo "$1:x:${UID}:${GID}::$home:$shell" >> '${users}'`,
  );
});
afterEach(() => programs.cleanup());

const accounts = () =>
  createAccounts({
    runner: programs.runner,
    config: { state_dir: join(programs.root, 'state') },
    htpasswd: {
      setPassword: async (user, password) => {
        soapPasswords.push([user, password]);
      },
      removeUser: async (user) => {
        soapPasswords.push([user]);
      },
    },
  });
const existing = (entry: string) => writeFileSync(join(programs.root, 'users'), `${entry}\n`);
const key = 'ssh-ed25519 AAAA me';

describe('the console user', () => {
  it('is made with its login shell from the start, and gets its password by standard input', async () => {
    await accounts().setConsolePassword(xen01, 'a:b $(id) "\'');
    expect(programs.calls()).toEqual([
      { program: 'groupadd', args: ['--system', '--', 'xenusers'], input: '' },
      {
        program: 'useradd',
        args: [
          ...['--home-dir', home, '--no-create-home', '--no-user-group', '--gid', 'xenusers'],
          ...['--shell', '/usr/bin/dtc-xen_userconsole', '--comment', 'console of xen01', '--', 'xen01'],
        ],
        input: '',
      },
      { program: 'chpasswd', args: [], input: 'xen01:a:b $(id) "\'\n' },
    ]);
    const made = statSync(home);
    expect([made.uid, made.gid, made.mode & 0o777]).toEqual([UID, GID, 0o700]);
  });

  it("gets to the home whatever the agent's umask is, and reads nobody else's names", async () => {
    const umask = process.umask(0o077);
    try {
      await accounts().setSshKey(xen01, key);
    } finally {
      process.umask(umask);
    }
    const modes = [join(home, '../..'), join(home, '..'), home].map(
      (folder) => statSync(folder).mode & 0o777,
    );
    expect(modes).toEqual([0o711, 0o711, 0o700]);
  });

  it('that is there is kept', async () => {
    existing(`xen01:x:${UID}:${GID}::${home}:/bin/dtc-xen_userconsole`);
    await accounts().setConsolePassword(xen01, 'secret');
    expect(programs.calls().map(({ program }) => program)).toEqual(['chpasswd']);
  });

  it.each([
    ['a login shell', (at: string) => `xen01:x:1000:1000::${at}:/bin/bash`],
    ['the id of root', (at: string) => `xen01:x:0:0::${at}:/usr/bin/dtc-xen_userconsole`],
    ['another home', () => 'xen01:x:1000:1000::/root:/usr/bin/dtc-xen_userconsole'],
    ['a broken entry', () => 'xen01:x'],
  ])('with %s is not touched', async (_, entry) => {
    existing(entry(home));
    await expect(accounts().setConsolePassword(xen01, 'secret')).rejects.toMatchObject({
      code: 'program_failed',
      message: expect.stringContaining('it was not touched'),
    });
    await expect(accounts().setSshKey(xen01, key)).rejects.toMatchObject({ code: 'program_failed' });
    expect(programs.calls()).toEqual([]);
  });

  it.each(['', 'a\nroot:b', 'a\rb', 'a\0b'])(
    'takes no password that is not one line: %j',
    async (password) => {
      await expect(accounts().setConsolePassword(xen01, password)).rejects.toMatchObject({
        code: 'invalid_value',
      });
      await expect(accounts().hashRootPassword(password)).rejects.toMatchObject({ code: 'invalid_value' });
      expect(programs.calls()).toEqual([]);
    },
  );

  it('keeps the password out of every message', async () => {
    programs.add('chpasswd', 'cat >&2; exit 1');
    const failure = await accounts()
      .setConsolePassword(xen01, 's3cret')
      .catch((error: Error) => error);
    expect(failure).toMatchObject({ code: 'program_failed' });
    expect(`${(failure as Error).message}`).not.toContain('s3cret');
  });
});

describe('the ssh key', () => {
  it('replaces the old ones, and belongs to the user', async () => {
    await accounts().setSshKey(xen01, 'ssh-ed25519 OLD');
    await accounts().setSshKey(xen01, key);
    const file = join(home, '.ssh', 'authorized_keys');
    expect(readFileSync(file, 'utf8')).toBe(`${key}\n`);
    const there = statSync(file);
    expect([there.uid, there.gid, there.mode & 0o777]).toEqual([UID, GID, 0o600]);
    const folder = statSync(join(home, '.ssh'));
    expect([folder.uid, folder.mode & 0o777]).toEqual([UID, 0o700]);
    expect(readdirSync(join(home, '.ssh'))).toEqual(['authorized_keys']);
  });

  it('follows no link that the customer has laid', async () => {
    await accounts().setSshKey(xen01, key);
    const precious = join(programs.root, 'precious');
    mkdirSync(precious);
    writeFileSync(join(precious, 'authorized_keys'), 'root');
    const ssh = join(home, '.ssh');
    rmSync(join(ssh, 'authorized_keys'));
    symlinkSync(join(precious, 'authorized_keys'), join(ssh, 'authorized_keys'));
    symlinkSync(join(precious, 'authorized_keys'), join(ssh, '.authorized_keys.new'));
    await accounts().setSshKey(xen01, key);
    expect(lstatSync(join(ssh, 'authorized_keys')).isFile()).toBe(true);
    rmSync(ssh, { recursive: true });
    symlinkSync(precious, ssh);
    await expect(accounts().setSshKey(xen01, key)).rejects.toMatchObject({
      code: 'program_failed',
      message: `${home}/.ssh is a link or a file, not a folder; nothing was written.`,
    });
    expect(readdirSync(precious)).toEqual(['authorized_keys']);
    expect(readFileSync(join(precious, 'authorized_keys'), 'utf8')).toBe('root');
  });
});

describe('a folder where a file of the ssh key is to be', () => {
  it.each(['.authorized_keys.new', 'authorized_keys'])(
    '%s is told, and nothing in it is touched',
    async (name) => {
      await accounts().setSshKey(xen01, key);
      const ssh = join(home, '.ssh');
      rmSync(join(ssh, name), { force: true });
      mkdirSync(join(ssh, name));
      writeFileSync(join(ssh, name, 'precious'), 'theirs');
      await expect(accounts().setSshKey(xen01, key)).rejects.toMatchObject({
        code: 'program_failed',
        message: `${ssh}/${name} is a folder, and must be a file; remove it, then try again.`,
      });
      expect(readFileSync(join(ssh, name, 'precious'), 'utf8')).toBe('theirs');
    },
  );
});

describe('when the VPS is deleted', () => {
  const deleted = async () => {
    await accounts().revoke(xen01);
    await accounts().forget(xen01);
  };
  beforeEach(() => {
    programs.addRecording('usermod');
    const left = join(programs.root, 'left');
    writeFileSync(left, 'xx');
    // Ends two processes, one after the other; then there is none.
    programs.addRecording(
      'pkill',
      `[ -s '${left}' ] || exit 1; cut -c2- '${left}' | tr -d '\\n' > '${left}.new'; mv '${left}.new' '${left}'`,
    );
  });

  it('its owner is left no way in: no SOAP user, no password, no key, no open connection', async () => {
    await accounts().setSshKey(xen01, key);
    writeFileSync(join(home, '.ssh', 'authorized_keys2'), key);
    writeFileSync(join(home, 'b.iso'), '');
    await deleted();
    expect(soapPasswords).toEqual([['xen01']]);
    const end = { program: 'pkill', args: ['-KILL', '-u', `${UID}`], input: '' };
    expect(programs.calls().slice(-5)).toEqual([
      { program: 'usermod', args: ['--lock', '--expiredate', '2', '--', 'xen01'], input: '' },
      ...[end, end, end, end],
    ]);
    await deleted();
  });

  it("the name's next owner finds no file of the last one, and can log in", async () => {
    await accounts().setSshKey(xen01, key);
    writeFileSync(join(home, 'secret-dump.iso'), 'secret');
    // An earlier attempt was cut off.
    mkdirSync(join(home, '../.removed-xen01'));
    writeFileSync(join(home, '../.removed-xen01', 'older.iso'), 'secret');
    await deleted();
    expect(readdirSync(join(home, '..')).filter((name) => name.includes('xen01'))).toEqual([]);
    writeFileSync(join(programs.root, 'shadow'), 'xen01:!:20000:0:99999:7::2:\n');
    await accounts().setConsolePassword(xen01, 'next');
    expect(programs.calls().slice(-2)).toEqual([
      { program: 'usermod', args: ['--expiredate', '', '--', 'xen01'], input: '' },
      { program: 'chpasswd', args: [], input: 'xen01:next\n' },
    ]);
    expect(readdirSync(home)).toEqual([]);
    expect(await accounts().isoFiles(xen01)).toEqual([]);
    expect(statSync(home).mode & 0o777).toBe(0o700);
  });

  it('an account that the admin has expired stays so, whatever its owner sets', async () => {
    await accounts().setSshKey(xen01, key);
    writeFileSync(join(programs.root, 'shadow'), 'xen01:!:20000:0:99999:7::1:\n');
    await accounts().setConsolePassword(xen01, 'mine again');
    expect(programs.calls().filter(({ program }) => program === 'usermod')).toEqual([]);
  });

  it('nothing outside of the home goes with it: a link is taken away, and not followed', async () => {
    await accounts().setSshKey(xen01, key);
    const precious = join(programs.root, 'precious');
    mkdirSync(precious);
    writeFileSync(join(precious, 'authorized_keys'), 'root');
    rmSync(join(home, '.ssh'), { recursive: true });
    symlinkSync(precious, join(home, '.ssh'));
    await deleted();
    expect(readdirSync(precious)).toEqual(['authorized_keys']);
    rmSync(home, { recursive: true, force: true });
    symlinkSync(precious, home);
    await deleted();
    expect(readdirSync(precious)).toEqual(['authorized_keys']);
    expect(existsSync(home)).toBe(false);
  });

  it('a home whose Unix user an admin has removed goes, too', async () => {
    await accounts().setSshKey(xen01, key);
    rmSync(join(programs.root, 'users'));
    await deleted();
    expect(existsSync(home)).toBe(false);
  });

  it('tells that processes of its owner stay', async () => {
    await accounts().setSshKey(xen01, key);
    programs.add('pkill', 'exit 0');
    await expect(accounts().revoke(xen01)).rejects.toMatchObject({
      code: 'program_failed',
      message: expect.stringMatching(/xen01.*processes.*ps -u/),
    });
  });

  it('a Unix user who is not its console user is not touched', async () => {
    existing(`xen01:x:1000:1000::${home}:/bin/bash`);
    await deleted();
    expect(programs.calls()).toEqual([]);
  });
});

describe('iso files', () => {
  it('are plain files of plain names', async () => {
    expect(await accounts().isoFiles(xen01)).toEqual([]);
    mkdirSync(home, { recursive: true });
    for (const name of [
      'b.iso',
      'a-1.2_x+y.iso',
      '.c.iso',
      'd e.iso',
      'f.img',
      '-g.iso',
      "h'.iso",
      'i\n.iso',
    ]) {
      writeFileSync(join(home, name), '');
    }
    mkdirSync(join(home, 'folder.iso'));
    symlinkSync('/etc/shadow', join(home, 'link.iso'));
    expect(await accounts().isoFiles(xen01)).toEqual(['a-1.2_x+y.iso', 'b.iso']);
    for (const name of ['link.iso', 'folder.iso', '../xen02/b.iso', 'nosuch.iso', '']) {
      expect(await accounts().pinIso(xen01, name)).toBeUndefined();
    }
  });

  it('are not searched in a home of countless files', async () => {
    mkdirSync(home, { recursive: true });
    for (const name of ['a.iso', 'b', 'c']) writeFileSync(join(home, name), '');
    expect(await createIsos(join(home, '..'), async () => undefined, 3).isoFiles(xen01)).toEqual(['a.iso']);
    await expect(
      createIsos(join(home, '..'), async () => undefined, 2).isoFiles(xen01),
    ).rejects.toMatchObject({
      message: 'xen01: its home has more than 2 files, and was not searched for isos; remove some.',
    });
  });

  it('that a guest boots from stay what they were, whatever the customer does in the home', async () => {
    mkdirSync(home, { recursive: true });
    const theirs = join(home, 'b.iso');
    writeFileSync(theirs, 'first');
    const pinned = (await accounts().pinIso(xen01, 'b.iso')) ?? '';
    expect(pinned).toBe(join(programs.root, 'state', 'ttyssh_home', '.iso', 'xen01', 'b.iso'));
    expect(statSync(join(pinned, '..')).mode & 0o777).toBe(0o700);
    expect(await accounts().pinIso(xen01, 'b.iso')).toBe(pinned);
    rmSync(theirs);
    symlinkSync('/etc/shadow', theirs);
    expect(lstatSync(pinned).isFile()).toBe(true);
    expect(readFileSync(pinned, 'utf8')).toBe('first');

    rmSync(theirs);
    writeFileSync(theirs, 'second');
    writeFileSync(join(home, 'c.iso'), 'third');
    expect(await accounts().pinIso(xen01, 'b.iso')).toBe(pinned);
    expect(readFileSync(pinned, 'utf8')).toBe('second');
    const other = (await accounts().pinIso(xen01, 'c.iso')) ?? '';
    await accounts().unpinIsos(xen01, [other]);
    expect(readdirSync(join(pinned, '..'))).toEqual(['c.iso']);
    await accounts().unpinIsos(xen01, []);
    expect(existsSync(join(pinned, '..'))).toBe(false);
  });

  it('go into as many drives as there are, and each that cannot says why', async () => {
    mkdirSync(home, { recursive: true });
    chownSync(home, UID, GID);
    const long = `0${'n'.repeat(128)}.iso`;
    for (const name of ['a.iso', 'b.iso', 'c.iso', 'd.iso', long]) writeFileSync(join(home, name), name);
    chownSync(join(home, 'a.iso'), UID + 1, GID);
    const pinned = await accounts().pinOtherIsos(xen01, 'b.iso', 1);
    expect(pinned).toEqual({
      paths: [join(programs.root, 'state/ttyssh_home/.iso/xen01/c.iso')],
      left_out: [
        { file: long, why: 'its name is longer than 128 characters' },
        { file: 'a.iso', why: `it belongs to user id ${UID + 1}` },
        { file: 'd.iso', why: 'there is no drive for it' },
      ],
    });
    const crowded = createIsos(join(home, '..'), async () => undefined, 4);
    expect(await crowded.pinOtherIsos(xen01, 'b.iso', 2)).toEqual({
      paths: [],
      left_out: [{ file: '*.iso', why: 'its home has more than 4 files, and was not searched for isos' }],
    });
  });

  it("of somebody else's are not booted from", async () => {
    mkdirSync(home, { recursive: true });
    chownSync(home, UID, GID);
    const secret = join(programs.root, 'secret');
    writeFileSync(secret, 'of root');
    linkSync(secret, join(home, 'root.iso'));
    writeFileSync(join(home, 'other.iso'), '');
    chownSync(join(home, 'other.iso'), UID + 1, GID);
    writeFileSync(join(home, 'admins.iso'), 'put there by the admin');
    await expect(accounts().pinIso(xen01, 'root.iso')).rejects.toThrow(
      'xen01: root.iso cannot be booted from: it belongs to user id 0 and has another name elsewhere.',
    );
    await expect(accounts().pinIso(xen01, 'other.iso')).rejects.toThrow(`it belongs to user id ${UID + 1}.`);
    const pinned = (await accounts().pinIso(xen01, 'admins.iso')) ?? '';
    expect(readdirSync(join(pinned, '..'))).toEqual(['admins.iso']);
  });
});

it('sets the SOAP password of the user who is named after the VPS', async () => {
  await accounts().setSoapPassword(xen01, 'secret');
  expect(soapPasswords).toEqual([['xen01', 'secret']]);
});

describe('the root password', () => {
  it('is hashed by openssl, salted, from standard input', async () => {
    const [one, other] = [
      await accounts().hashRootPassword('pass "word'),
      await accounts().hashRootPassword('pass "word'),
    ];
    expect(one).toMatch(/^\$6\$/);
    expect(other).not.toBe(one);
    const salt = one.split('$')[2] ?? '';
    const again = await programs.runner.check({
      label: 'openssl',
      program: 'openssl',
      args: ['passwd', '-6', '-salt', salt, '-stdin'],
      input: 'pass "word\n',
      timeout_ms: 5_000,
    });
    expect(again.stdout.trim()).toBe(one);
  });

  it('is not taken where openssl answers something else', async () => {
    programs.add('openssl', 'echo plain');
    await expect(accounts().hashRootPassword('secret')).rejects.toMatchObject({ code: 'program_output' });
  });
});
