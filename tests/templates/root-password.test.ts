// guest-root-password: a new root password on the disk of a stopped guest, whose owner may have put anything there.
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { call, loopsOver, mountsBelow } from '../scripts/call.ts';

const HASH = '$6$salt$notARealHashButOfTheRightForm';
const SHADOW = 'daemon:*:19000:0:99999:7:::\nroot:!:19000:0:99999:7:::\nroot2:x:19000:0:99999:7:::\n';
let folder: string;
let tree: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'root-password-'));
  tree = join(folder, 'tree');
  mkdirSync(join(tree, 'etc'), { recursive: true });
});
afterEach(() => {
  expect([...mountsBelow(folder), ...loopsOver(folder)]).toEqual([]);
  rmSync(folder, { recursive: true });
});

const disk = () => join(folder, 'xen01.img');
function makeDisk(): void {
  rmSync(disk(), { force: true });
  execFileSync('truncate', ['-s', '8M', disk()]);
  execFileSync('mkfs.ext4', ['-q', '-F', '-d', tree, disk()]);
}
const setPassword = (hash = HASH) => call('guest-root-password', ['--disk', disk()], `${hash}\n`);
const debugfs = (request: string) =>
  spawnSync('debugfs', ['-R', request, disk()], { encoding: 'utf8' }).stdout;

it("replaces root's hash and the day of its change, and nothing else", () => {
  writeFileSync(join(tree, 'etc/shadow'), SHADOW, { mode: 0o640 });
  execFileSync('chown', ['0:42', join(tree, 'etc/shadow')]);
  makeDisk();
  expect(setPassword()).toEqual({
    exit_code: 0,
    stdout: 'guest-root-password: the root password is set\n',
    stderr: '',
  });
  const today = Math.floor(Date.now() / 86_400_000);
  expect(debugfs('cat /etc/shadow')).toMatch(
    new RegExp(
      `^daemon:\\*:19000:0:99999:7:::\nroot:${HASH.replaceAll('$', '\\$')}:(${today - 1}|${today}):0:99999:7:::\nroot2:x:19000:0:99999:7:::\n$`,
    ),
  );
  expect(debugfs('stat /etc/shadow')).toMatch(/Mode: {2}0640[\s\S]*User: +0 +Group: +42/);
  const names = debugfs('ls -p /etc')
    .split('\n')
    .map((line) => line.split('/')[5]);
  expect(names.filter(Boolean)).toEqual(['.', '..', 'shadow']);
  expect(spawnSync('e2fsck', ['-f', '-n', disk()]).status).toBe(0);
});

it.each([
  [
    '/etc/shadow is a link to a file of dom0',
    () => symlinkSync(join(folder, 'victim'), join(tree, 'etc/shadow')),
  ],
  [
    '/etc/shadow is a link upwards',
    () => symlinkSync('../../../../../../etc/shadow', join(tree, 'etc/shadow')),
  ],
  [
    '/etc is a link to a folder of dom0',
    () => {
      rmSync(join(tree, 'etc'), { recursive: true });
      symlinkSync(folder, join(tree, 'etc'));
    },
  ],
  ['/etc/shadow is a folder', () => mkdirSync(join(tree, 'etc/shadow'))],
  ['/etc/shadow is a pipe', () => execFileSync('mkfifo', [join(tree, 'etc/shadow')])],
  ['/etc/shadow is a device', () => execFileSync('mknod', [join(tree, 'etc/shadow'), 'b', '7', '0'])],
  ['/etc/shadow is huge', () => execFileSync('truncate', ['-s', '2M', join(tree, 'etc/shadow')])],
  ['/etc/shadow has no root', () => writeFileSync(join(tree, 'etc/shadow'), 'daemon:*:::::::\n')],
  ['there is nothing', () => rmSync(join(tree, 'etc'), { recursive: true })],
])('refuses, and writes nothing, where %s', (_what, make) => {
  for (const name of ['victim', 'shadow']) writeFileSync(join(folder, name), SHADOW);
  const host = [readFileSync('/etc/shadow', 'utf8'), statSync('/etc/shadow').ino];
  make();
  makeDisk();
  const { exit_code, stderr } = setPassword();
  expect(exit_code).toBe(1);
  expect(stderr).toMatch(/guest-root-password: the guest/);
  for (const name of ['victim', 'shadow']) expect(readFileSync(join(folder, name), 'utf8')).toBe(SHADOW);
  expect([readFileSync('/etc/shadow', 'utf8'), statSync('/etc/shadow').ino]).toEqual(host);
});

it('refuses a disk that is in use, one without a file system, and what is no hash', () => {
  execFileSync('truncate', ['-s', '8M', disk()]);
  expect(setPassword()).toMatchObject({
    exit_code: 1,
    stderr: expect.stringContaining('no ext4 file system'),
  });
  writeFileSync(join(tree, 'etc/shadow'), SHADOW);
  makeDisk();
  expect(setPassword('secret')).toMatchObject({
    exit_code: 1,
    stderr: expect.not.stringContaining('secret'),
  });
  const at = join(folder, 'at');
  mkdirSync(at);
  execFileSync('mount', ['-o', 'loop', disk(), at]);
  expect(setPassword()).toMatchObject({ exit_code: 1, stderr: expect.stringContaining('in use') });
  execFileSync('umount', [at]);
});
