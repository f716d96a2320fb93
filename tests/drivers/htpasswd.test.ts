import { execFile } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  copyFileSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createFileLocks } from '../../src/drivers/flock.ts';
import { createPasswordFile } from '../../src/drivers/htpasswd.ts';
import { costOf, createPasswordHasher, isKnownHash } from '../../src/drivers/htpasswd-hash.ts';
import { createRunner } from '../../src/drivers/run.ts';

const SHA1_OF_SECRET = '{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=';
const FORMATS = fileURLToPath(new URL('./fixtures/htpasswd/formats', import.meta.url));
const CRYPT = fileURLToPath(new URL('../../scripts/dtc-xen-crypt', import.meta.url));
const PASSWORD = 'correct horse: grüße';
const runner = createRunner({ path: '/usr/bin:/bin' });
const run = promisify(execFile);
const bytes = (text: string) => Buffer.from(text);

let folder: string;
let path: string;
const open = () =>
  createPasswordFile({
    path,
    hasher: createPasswordHasher(runner, CRYPT),
    locks: createFileLocks(runner),
    lock_path: join(folder, 'lock'),
  });
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'dtc-xen-htpasswd-'));
  path = join(folder, 'htpasswd');
});
afterEach(() => rmSync(folder, { recursive: true }));

const lines = readFileSync(FORMATS, 'utf8').split('\n');
const users = lines.filter((line) => /^[a-z]/.test(line)).map((line) => line.slice(0, line.indexOf(':')));

describe('every kind of hash that htpasswd, openssl, crypt(3) and PHP make', () => {
  test.each(users)('%s', async (user) => {
    copyFileSync(FORMATS, path);
    const file = open();
    expect(await file.verify(user, bytes(PASSWORD))).toBe(true);
    for (const wrong of [
      '',
      'correct horse',
      'Correct horse: grüße',
      `${PASSWORD}\n`,
      `${PASSWORD}\0`,
      `\0`,
    ]) {
      const same_to_des =
        /^(htpasswd-d|perl-ab)$/.test(user) && wrong.startsWith('correct ') && !/[\0\n]/.test(wrong);
      expect([wrong, await file.verify(user, bytes(wrong))]).toEqual([wrong, same_to_des]);
    }
    expect(await file.verify(user, Buffer.from(PASSWORD, 'latin1'))).toBe(
      /^(htpasswd-d|perl-ab)$/.test(user),
    );
  });

  test('there are twenty of them', () => expect(users).toHaveLength(20));

  test("yescrypt ($y$), as Debian's /etc/shadow has it, costs what its own parameters say, and not what another's do", () => {
    const cost_of = (user: string) =>
      costOf(lines.find((line) => line.startsWith(`${user}:`))?.slice(user.length + 1) ?? '');
    expect(['perl-y', 'shadow-y', 'perl-gy', 'perl-7'].map(cost_of)).toEqual([
      '$y$j75$',
      '$y$j9T$',
      '$gy$j75$',
      '$7$7U..../....',
    ]);
  });

  test('anything else is no hash: nobody gets in by it', async () => {
    const odd = [
      '',
      'x',
      '*',
      '!',
      'secret',
      '$1$abc$abcdefghijklmnopqrstuv',
      '{SHA}',
      '{PLAIN}a',
      '$2y$99',
      '$6$',
      '$5$a b',
      '$y$',
      '$y$j9T$salt',
      '$y$j9T$salt$short',
      `$y$j9T$sa lt$${'a'.repeat(43)}`,
      `$7$CU..../....salt$${'a'.repeat(42)}`,
    ];
    expect(odd.filter(isKnownHash)).toEqual([]);
    writeFileSync(path, odd.map((hash, index) => `user${index}:${hash}\n`).join(''));
    const file = open();
    for (const [index, hash] of odd.entries()) {
      expect(await file.verify(`user${index}`, bytes(hash))).toBe(false);
    }
  });

  test('a password of more than 255 bytes matches nothing, not even by its beginning', async () => {
    const { stdout } = await run('openssl', ['passwd', '-apr1', 'a'.repeat(255)]);
    writeFileSync(path, `u:${stdout}`);
    expect(await open().verify('u', bytes('a'.repeat(255)))).toBe(true);
    expect(await open().verify('u', bytes('a'.repeat(256)))).toBe(false);
    expect(await open().verify('u', bytes('a'.repeat(5000)))).toBe(false);
  });
});

describe('reading the file', () => {
  test('names are compared exactly, the first line of a user counts, comments and line ends do not', async () => {
    const hash = SHA1_OF_SECRET;
    writeFileSync(
      path,
      `# bob:${hash}\n\n  \ncarol:${hash}\r\ncarol:x\r\nd\xc3\xb6rte:${hash}:extra\nlast:${hash}`,
      'latin1',
    );
    const file = open();
    const knows = (user: string) => file.verify(user, bytes('secret'));
    expect(await Promise.all(['carol', 'dörte', 'last'].map(knows))).toEqual([true, true, true]);
    const strangers = ['bob', '# bob', 'Carol', 'carol ', 'caro', 'carol:x', '', '__proto__', 'constructor'];
    expect(await Promise.all(strangers.map(knows))).toEqual(strangers.map(() => false));
  });

  test('no file: no users, and the work is done all the same', async () => {
    const file = open();
    const mark = await file.mark('dtc-xen');
    const started = performance.now();
    expect(await file.verify('dtc-xen', bytes('x'))).toBe(false);
    expect(performance.now() - started).toBeGreaterThan(20);
    writeFileSync(path, '');
    expect(await file.mark('dtc-xen')).toBe(mark);
    expect(await file.verify('dtc-xen', bytes('x'))).toBe(false);
  });

  test('whoever asks, one hash of each cost in the file is computed', async () => {
    const own = (start: string) => (start + 'a'.repeat(53)).slice(0, 60);
    const hashes = {
      five: own('$2y$05$'),
      ten: own('$2y$10$'),
      ten_of_php: own('$2a$10$'),
      sha512: '$6$salt$hash',
      more_rounds: '$6$rounds=9000$salt$hash',
      apr1: `$apr1$salt$${'a'.repeat(22)}`,
      sha1: SHA1_OF_SECRET,
      des: 'aaaaaaaaaaaaa',
    };
    writeFileSync(
      path,
      Object.entries(hashes)
        .map((line) => `${line.join(':')}\n`)
        .join(''),
    );
    let computed: string[] = [];
    const matches = async (_: Uint8Array, hash: string) => {
      computed.push(hash);
      return true;
    };
    const file = createPasswordFile({
      path,
      hasher: { matches, bcrypt: () => Promise.reject(new Error('not asked for')) },
      locks: createFileLocks(runner),
      lock_path: join(folder, 'lock'),
    });
    for (const [user, hash] of [...Object.entries(hashes), ['nobody', undefined] as const]) {
      computed = [];
      expect(await file.verify(user, bytes('x'))).toBe(hash !== undefined);
      expect([...new Set(computed.map(costOf))]).toHaveLength(computed.length);
      expect(computed).toHaveLength(7);
      if (hash !== undefined) expect(computed).toContain(hash);
    }
  });

  test("a program that is missing for others' kind of hash locks nobody out", async () => {
    writeFileSync(path, `a:${SHA1_OF_SECRET}\nb:$apr1$salt$${'a'.repeat(22)}\n`);
    const file = createPasswordFile({
      path,
      hasher: createPasswordHasher(createRunner({ path: folder }), CRYPT),
      locks: createFileLocks(runner),
      lock_path: join(folder, 'lock'),
    });
    expect(await file.verify('a', bytes('secret'))).toBe(true);
    expect(await file.verify('a', bytes('wrong'))).toBe(false);
    await expect(file.verify('b', bytes('x'))).rejects.toMatchObject({ code: 'program_missing' });
  });

  test("a mark is one user's line's, and changes with that alone", async () => {
    const file = open();
    const marks = () => Promise.all(['a', 'b', '', '__proto__'].map((user) => file.mark(user)));
    const [lines, other] = [`a:${SHA1_OF_SECRET}\n`, SHA1_OF_SECRET.replace('5', '6')];
    writeFileSync(path, lines);
    const first = await marks();
    expect(new Set(first).size).toBe(first.length);
    writeFileSync(path, `# more\n${lines}b:${other}\n`);
    const second = await marks();
    expect(second.map((mark, at) => mark === first[at])).toEqual([true, false, true, true]);
    writeFileSync(path, `a:${other}\n`);
    const third = await marks();
    expect(third.map((mark, at) => mark === first[at])).toEqual([false, true, true, true]);
    writeFileSync(path, lines);
    expect(await marks()).toEqual(first);
    expect(await open().mark('a')).not.toBe(first[0]);
  });

  test('a change is seen at once, whatever way it was made', async () => {
    const file = open();
    const password = (at: number) => `secret ${at}`;
    for (const at of [1, 2, 3]) {
      await run('htpasswd', ['-bcs', path, 'u', password(at)]);
      expect(await file.verify('u', bytes(password(at)))).toBe(true);
      expect(await file.verify('u', bytes(password(at - 1)))).toBe(false);
    }
  });

  test('a file that cannot be read is an error, not an empty one', async () => {
    mkdirSync(path);
    await expect(open().verify('u', bytes('x'))).rejects.toMatchObject({ code: 'internal' });
  });

  test('so is a program that is missing or broken', async () => {
    copyFileSync(FORMATS, path);
    const withProgram = (program: string) =>
      createPasswordFile({
        path,
        hasher: createPasswordHasher(runner, program),
        locks: createFileLocks(runner),
        lock_path: join(folder, 'lock'),
      });
    const missing = withProgram('/nonexistent/dtc-xen-crypt');
    await expect(missing.verify('htpasswd-B', bytes('x'))).rejects.toMatchObject({ code: 'program_missing' });
    const broken = withProgram('/bin/false');
    await expect(broken.verify('htpasswd-B', bytes('x'))).rejects.toMatchObject({ code: 'program_failed' });
    const silent = withProgram('/bin/true');
    expect(await silent.verify('htpasswd-B', bytes(PASSWORD))).toBe(false);
  });
});

describe('writing the file', () => {
  test("htpasswd reads what is written, and every other line stays byte for byte, with the file's mode and owner", async () => {
    const before = Buffer.concat([readFileSync(FORMATS), Buffer.from('caf\xe9:x\r\n\n#end', 'latin1')]);
    writeFileSync(path, before);
    chmodSync(path, 0o640);
    chownSync(path, 0, 33);
    await open().setPassword('xen01', 'pass wörd "$x\'');
    const after = readFileSync(path);
    expect(after.subarray(0, before.length)).toEqual(before);
    expect(after.subarray(before.length).toString()).toMatch(/^\nxen01:\$2y\$10\$[./0-9A-Za-z]{53}\n$/);
    expect(statSync(path)).toMatchObject({ uid: 0, gid: 33 });
    expect(statSync(path).mode & 0o7777).toBe(0o640);
    await run('htpasswd', ['-bv', path, 'xen01', 'pass wörd "$x\'']);
    expect(await open().verify('xen01', bytes('pass wörd "$x\''))).toBe(true);
    expect(readdirSync(folder).sort()).toEqual(['htpasswd', 'lock']);
  });

  test('a line is replaced in its place; its double, which never counted, goes', async () => {
    writeFileSync(path, 'a:1\r\nxen01:old\r\nxen011:other\nxen01:older\nb:2');
    await open().setPassword('xen01', 'new');
    expect(readFileSync(path, 'utf8')).toMatch(/^a:1\r\nxen01:\$2y\$10\$\S{53}\r\nxen011:other\nb:2\n$/);
  });

  test('a new file is for root alone; a link stays a link', async () => {
    await open().setPassword('u', 'p');
    expect(statSync(path).mode & 0o7777).toBe(0o600);
    const target = join(folder, 'real');
    copyFileSync(path, target);
    rmSync(path);
    symlinkSync(target, path);
    await open().setPassword('v', 'p');
    expect(lstatSync(path).isSymbolicLink()).toBe(true);
    expect(readFileSync(target, 'utf8')).toMatch(/^u:.*\nv:.*\n$/);
  });

  test('a user is taken out, and nobody else', async () => {
    await open().setPassword('xen01', 'p');
    await open().setPassword('xen012', 'p');
    await open().removeUser('xen01');
    await open().removeUser('xen01');
    expect(readFileSync(path, 'utf8')).toMatch(/^(?!.*xen01:)[\s\S]*^xen012:\S+\n$/m);
    expect(await open().verify('xen01', bytes('p'))).toBe(false);
  });

  test('what a crash left behind is used up', async () => {
    writeFileSync(join(folder, '.htpasswd.new'), 'half a li');
    await open().setPassword('u', 'p');
    expect(readdirSync(folder).sort()).toEqual(['htpasswd', 'lock']);
  });

  test('writers wait for each other; none is lost', async () => {
    const names = Array.from({ length: 12 }, (_, at) => `xen${at}`);
    const [one, other] = [open(), open()];
    await Promise.all(names.map((user, at) => (at % 2 ? one : other).setPassword(user, `password ${at}`)));
    const written = readFileSync(path, 'utf8').trim().split('\n');
    expect(written.map((line) => line.split(':')[0]).sort()).toEqual([...names].sort());
  });

  test('a writer waits for a program that holds the lock', async () => {
    const holder = run('flock', [join(folder, 'lock'), 'sleep', '1']);
    await expect.poll(() => readdirSync(folder)).toContain('lock');
    await new Promise((resolve) => setTimeout(resolve, 100));
    const started = performance.now();
    await open().setPassword('u', 'p');
    expect(performance.now() - started).toBeGreaterThan(500);
    await holder;
  });

  test('the last write wins', async () => {
    const file = open();
    for (const password of ['one', 'two', 'three']) await file.setPassword('u', password);
    expect(await file.verify('u', bytes('three'))).toBe(true);
    expect(readFileSync(path, 'utf8').match(/\n/g)).toHaveLength(1);
  });

  test.each([
    ['', 'p'],
    ['a:b', 'p'],
    ['a\nb', 'p'],
    ['#a', 'p'],
    [' a', 'p'],
    ['a'.repeat(256), 'p'],
    ['u', ''],
    ['u', 'a\nb'],
    ['u', 'a\0b'],
    ['u', 'a'.repeat(73)],
  ])('%j with %j is refused, and nothing is written', async (user, password) => {
    await expect(open().setPassword(user, password)).rejects.toMatchObject({ code: 'invalid_value' });
    expect(readdirSync(folder)).toEqual([]);
  });
});
