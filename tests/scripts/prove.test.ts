// What stands between a new system and its place: reinstall-prove, and the swap space that is not made twice.
import { execFileSync } from 'node:child_process';
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { call } from './call.ts';

let folder: string;
let disk: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'prove-'));
  disk = join(folder, 'xen01.new.img');
  writeFileSync(disk, '');
  truncateSync(disk, 16 * 1024 * 1024);
});
afterEach(() => rmSync(folder, { recursive: true }));

/** Makes an ext4 on the disk, with an init behind links as Debian has it, or without. */
function makeRoot(init: boolean): void {
  const root = join(folder, 'root');
  mkdirSync(join(root, 'etc'), { recursive: true });
  writeFileSync(join(root, 'etc/fstab'), '/dev/xvda / ext4 defaults 0 1\n');
  if (init) {
    mkdirSync(join(root, 'usr/sbin'), { recursive: true });
    symlinkSync('usr/sbin', join(root, 'sbin'));
    symlinkSync('../lib/systemd/systemd', join(root, 'usr/sbin/init'));
  }
  execFileSync('mkfs.ext4', ['-q', '-d', root, disk]);
}

describe('reinstall-prove', () => {
  it('passes a whole system that boots', () => {
    makeRoot(true);
    expect(call('reinstall-prove', ['--root', disk, '--boots'])).toMatchObject({ exit_code: 0, stderr: '' });
  });

  it('refuses one without an init, where it must boot', () => {
    makeRoot(false);
    expect(call('reinstall-prove', ['--root', disk]).exit_code).toBe(0);
    expect(call('reinstall-prove', ['--root', disk, '--boots'])).toMatchObject({
      exit_code: 1,
      stderr: `reinstall-prove: there is no /sbin/init on ${disk}\n`,
    });
  });

  it('refuses a damaged file system, and none at all', () => {
    makeRoot(true);
    const fd = openSync(disk, 'r+');
    writeSync(fd, Buffer.alloc(64 * 1024, 0xff), 0, 64 * 1024, 32 * 1024);
    closeSync(fd);
    expect(call('reinstall-prove', ['--root', disk])).toMatchObject({
      exit_code: 1,
      stderr: expect.stringContaining(`the file system on ${disk} is not whole`),
    });
    truncateSync(disk, 0);
    truncateSync(disk, 16 * 1024 * 1024);
    expect(call('reinstall-prove', ['--root', disk]).exit_code).toBe(1);
  });
});

describe('reinstall-swap-space', () => {
  const uuid = () =>
    execFileSync('blkid', ['--probe', '-o', 'value', '-s', 'UUID', disk], { encoding: 'utf8' });

  it('makes swap space once, and leaves it then', () => {
    expect(call('reinstall-swap-space', ['--swap', disk]).exit_code).toBe(0);
    const first = uuid();
    const again = call('reinstall-swap-space', ['--swap', disk]);
    expect(again.stdout).toContain('is swap space already');
    expect(uuid()).toBe(first);
  });

  it('makes it in the place of something else', () => {
    makeRoot(false);
    expect(call('reinstall-swap-space', ['--swap', disk])).toMatchObject({ exit_code: 0, stderr: '' });
    const type = execFileSync('blkid', ['--probe', '-o', 'value', '-s', 'TYPE', disk], { encoding: 'utf8' });
    expect(type.trim()).toBe('swap');
  });
});
