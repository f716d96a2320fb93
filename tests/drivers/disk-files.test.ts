import { execFileSync } from 'node:child_process';
import {
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  statfsSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { STORE_MARK as MARK } from '../../src/core/store-mark.ts';
import { parseVpsId, type VpsId } from '../../src/core/vps.ts';
import { createDiskFiles } from '../../src/drivers/disk-files.ts';
import { createSmallPrograms, type SmallPrograms } from './small-programs.ts';

const xen01 = parseVpsId('01') as VpsId;
const MIB = 1024 * 1024;

let programs: SmallPrograms;
let mount: string;
beforeEach(() => {
  programs = createSmallPrograms();
  mount = join(programs.root, 'mnt');
});
afterEach(() => programs.cleanup());

/** What is in the folder, but its mark. */
const images = () => readdirSync(mount).filter((name) => name !== MARK);
const files = (provisioning_mount_point = mount) =>
  createDiskFiles({
    runner: programs.runner,
    config: {
      ...{ provisioning_mount_point, proc_dir: '/proc' },
      ...{ state_dir: join(programs.root, 'state'), xen_dir: join(programs.root, 'xen') },
    },
  });

describe('image files', () => {
  it('are made whole, for root alone, and found', async () => {
    await files().create(xen01, { root_mb: 5, swap_mb: 2 });
    expect(images().sort()).toEqual(['xen01.img', 'xen01.swap.img']);
    const image = statSync(join(mount, 'xen01.img'));
    expect([image.size, image.mode & 0o777]).toEqual([5 * MIB, 0o600]);
    expect(image.blocks * 512).toBeGreaterThanOrEqual(5 * MIB);
    expect(await files().find(xen01)).toEqual({
      type: 'vbd',
      root: { path: join(mount, 'xen01.img'), size_bytes: 5 * MIB, in_use: false },
      swap: { path: join(mount, 'xen01.swap.img'), size_bytes: 2 * MIB, in_use: false },
    });
    expect(await files().roundedSize_bytes(5)).toBe(5 * MIB);
    expect(await files().free_mib()).toBeGreaterThan(0);
  });

  it('that are there are left as they are; a half-made one of a crash is cleared away', async () => {
    mkdirSync(mount);
    writeFileSync(join(mount, 'xen01.img'), 'precious');
    writeFileSync(join(mount, '.xen01.swap.img.new'), 'half made');
    await files().create(xen01, { root_mb: 5, swap_mb: 2 });
    expect(readFileSync(join(mount, 'xen01.img'), 'utf8')).toBe('precious');
    expect(images().sort()).toEqual(['xen01.img', 'xen01.swap.img']);
  });

  it('make a folder known: an empty one, from which their file system went away in that moment, is not it', async () => {
    mkdirSync(mount);
    await expect(files().identify()).rejects.toMatchObject({
      code: 'store_away',
      message: expect.stringMatching(/not there any more.*findmnt -T/),
    });
    writeFileSync(join(mount, 'xen01.img'), 'precious');
    const known = await files().identify();
    expect(readFileSync(join(mount, MARK), 'utf8').trim()).toBe(known);
  });

  it('are not made in a folder that was never seen where guests have theirs in it, and none is there', async () => {
    for (const folder of [mount, join(programs.root, 'xen')]) mkdirSync(folder);
    const config = (vps: string) =>
      writeFileSync(join(programs.root, 'xen', vps), `disk = [ "phy:${mount}/${vps}.img,xvda,w" ]\n`);
    config('xen02');
    await expect(files().create(xen01, { root_mb: 1, swap_mb: 1 })).rejects.toMatchObject({
      code: 'store_away',
      message: expect.stringMatching(/xen02\.img, which .*xen\/xen02 names, .*findmnt -T/),
    });
    expect(images()).toEqual([]);
    writeFileSync(join(mount, 'xen03.img'), '');
    config('xen03');
    await files().create(xen01, { root_mb: 1, swap_mb: 1 });
    expect(images().sort()).toEqual(['xen01.img', 'xen01.swap.img', 'xen03.img']);
  });

  it('are removed, gone already too', async () => {
    await files().remove(xen01);
    await files().create(xen01, { root_mb: 1, swap_mb: 1 });
    await files().remove(xen01);
    await files().remove(xen01);
    expect(images()).toEqual([]);
  });

  it('are in use by a loop device, and by a process; neither is removed then', async () => {
    await files().create(xen01, { root_mb: 5, swap_mb: 2 });
    const swap = join(mount, 'xen01.swap.img');
    const device = execFileSync('losetup', ['-f', '--show', swap], { encoding: 'utf8' }).trim();
    try {
      expect(await files().find(xen01)).toMatchObject({ root: { in_use: false }, swap: { in_use: true } });
      await expect(files().remove(xen01)).rejects.toMatchObject({ code: 'disks_in_use' });
      expect(images()).toHaveLength(2);
    } finally {
      execFileSync('losetup', ['-d', device]);
    }
    const fd = openSync(join(mount, 'xen01.img'), 'r');
    try {
      expect(await files().find(xen01)).toMatchObject({ root: { in_use: true }, swap: { in_use: false } });
      await expect(files().remove(xen01)).rejects.toMatchObject({ code: 'disks_in_use' });
      expect(images()).toHaveLength(2);
    } finally {
      closeSync(fd);
    }
  });

  it('keep their room where a guest discards what is on them: nobody else is given it', async () => {
    mkdirSync(mount);
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=8m', 'tmpfs', mount]);
    try {
      await files().create(xen01, { root_mb: 5, swap_mb: 1 });
      const free_mib = await files().free_mib();
      execFileSync('fallocate', ['--punch-hole', '-o', '0', '-l', `${4 * MIB}`, join(mount, 'xen01.img')]);
      expect(statfsSync(mount).bavail * statfsSync(mount).bsize).toBeGreaterThan(4 * MIB);
      expect(await files().free_mib()).toBe(free_mib);
      const xen02 = parseVpsId('02') as VpsId;
      await expect(files().create(xen02, { root_mb: 3, swap_mb: 1 })).rejects.toMatchObject({
        code: 'no_space',
      });
    } finally {
      execFileSync('umount', [mount]);
    }
  });

  it('are refused where they do not fit, before anything is made', async () => {
    mkdirSync(mount);
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=8m', 'tmpfs', mount]);
    try {
      await expect(files().create(xen01, { root_mb: 7, swap_mb: 2 })).rejects.toMatchObject({
        code: 'no_space',
        message: expect.stringMatching(/^xen01: its disks need 9 MB, and .*\/mnt has [78] MB free\.$/),
      });
      expect(images()).toEqual([]);
    } finally {
      execFileSync('umount', [mount]);
    }
  });

  it('leave nothing half made when the disk fills up in the middle, or the program fails or hangs', async () => {
    const full = 'fallocate: fallocate failed: No space left on device';
    programs.add(
      'fallocate',
      `case "$*" in *swap*) echo "${full}" >&2; exit 1;; esac; exec /usr/bin/fallocate "$@"`,
    );
    await expect(files().create(xen01, { root_mb: 2, swap_mb: 2 })).rejects.toMatchObject({
      code: 'no_space',
      message: `xen01.swap.img: 2 MB cannot be reserved in ${mount}: ${full}`,
    });
    expect(images()).toEqual([]);
    programs.add('fallocate', 'echo "fallocate: fallocate failed: Operation not supported" >&2; exit 1');
    await expect(files().create(xen01, { root_mb: 2, swap_mb: 2 })).rejects.toMatchObject({
      code: 'program_failed',
    });
    expect(images()).toEqual([]);
  });

  it('never take the place of a file that came meanwhile', async () => {
    programs.add('fallocate', `/usr/bin/fallocate "$@"; echo mine > '${mount}/xen01.swap.img'`);
    await expect(files().create(xen01, { root_mb: 2, swap_mb: 2 })).rejects.toMatchObject({
      code: 'disks_exist',
    });
    expect(images()).toEqual(['xen01.swap.img']);
    expect(readFileSync(join(mount, 'xen01.swap.img'), 'utf8')).toBe('mine\n');
  });

  it('tells a folder in the place of an image, and a mount point that is not there', async () => {
    mkdirSync(join(mount, 'xen01.img'), { recursive: true });
    await expect(files().find(xen01)).rejects.toMatchObject({ code: 'program_failed' });
    await expect(files(join(mount, 'nosuch')).free_mib()).rejects.toMatchObject({ code: 'not_found' });
  });
});
