// Root in a guest, which may write whatever it likes onto its disks: a physical volume of LVM, for one. Each test is named after what
// the attacker has where it passes.
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type Site, startSite } from '../site.ts';

let site: Site;
beforeAll(async () => {
  site = await startSite();
});
afterEach(() => site.node.setVolumeGroup('vg0', { whole: true }));
afterAll(() => site.stop());

const image = (name: string) => join(site.folder.path, 'mnt', name);
const sizes = { hddsize: 64, swapsize: 16 };
const makeDisks = (vpsname: string, imagetype = 'lvm') =>
  site.modern('setupLVMDisks', { vpsname, ...sizes, imagetype });
/** What this call of LVM did not look at. */
const hidden = (words: readonly string[]) =>
  [...(words[words.indexOf('--config') + 1] ?? '').matchAll(/"r\|([^|]*)\|"/g)].map(([, pattern]) => pattern);
const lastOf = (program: string) => site.node.calls().findLast(([name]) => name === program) ?? [];

describe("a volume group that is called as the node's is", () => {
  it('no VPS of the node can be made, reinstalled, listed or removed', async () => {
    const vpsname = 'xen21';
    await makeDisks('xen20', 'vbd');
    await makeDisks(vpsname);
    await site.node.setVolumeGroup('vg0', {
      twin: { device: 'loop97', backing_file: image('xen20.img'), links: ['disk/by-id/lvm-pv-uuid-abc'] },
    });
    expect(await site.modern('getFreeSpace')).toMatchObject({ disk_mb: expect.any(Number) });
    await makeDisks('xen22');
    await site.modern('reinstallVPSos', {
      ...{ vpsname, ramsize: 128, nics: '192.0.2.10', ostype: 'tiny', password: 'secret' },
    });
    expect(await site.jobEnd(vpsname)).toMatchObject({ state: 'succeeded' });
    await site.modern('rollbackVPSos', { vpsname }).catch(() => undefined);
    for (const name of [vpsname, 'xen22']) await site.modern('killVPS', { vpsname: name, imagetype: 'lvm' });
    await site.modern('killVPS', { vpsname: 'xen20', imagetype: 'vbd' });
  });

  it('the same, from an image that was deleted while it was in use', async () => {
    await site.node.setVolumeGroup('vg0', {
      twin: { device: 'loop97', backing_file: `${image('xen29.img')} (deleted)` },
    });
    await makeDisks('xen23');
  });

  it("a loop device of the node's own is not taken from it for that", async () => {
    await site.node.setVolumeGroup('vg0', {
      twin: { device: 'loop97', backing_file: '/srv/of-the-admin.img' },
    });
    await expect(makeDisks('xen24')).rejects.toMatchObject({
      code: 'store_away',
      message: expect.stringMatching(/LVM sees two volume groups that are called vg0.*Nothing was touched/),
    });
  });
});

it('a disk that an admin gave to a guest as a whole is read by LVM', async () => {
  const backend = join(site.node.sys_dir, 'bus/xen-backend/devices/vbd-7-51712');
  mkdirSync(backend, { recursive: true });
  writeFileSync(join(backend, 'physical_device'), '8:11\n');
  mkdirSync(join(site.node.sys_dir, 'block/sdb/sdb1'), { recursive: true });
  mkdirSync(join(site.node.sys_dir, 'dev/block'), { recursive: true });
  symlinkSync('../../block/sdb/sdb1', join(site.node.sys_dir, 'dev/block/8:17'));
  await makeDisks('xen25');
  for (const program of ['lvs', 'lvcreate']) expect(hidden(lastOf(program))).toContain('^/dev/sdb1$');
});

it("the guests' volumes are read for volume groups, where lvm.conf has scan_lvs", async () => {
  await makeDisks('xen26');
  expect(hidden(lastOf('lvcreate'))).not.toContain('^/dev/mapper/vg0-xen25$');
  await site.node.setLvmConf({ scan_lvs: 1 });
  await site.restart();
  await makeDisks('xen29');
  expect(hidden(lastOf('lvcreate'))).toEqual(
    expect.arrayContaining([expect.stringMatching(/^\^\/dev\/dm-[0-9]+\$$/), '^/dev/mapper/vg0-xen26$']),
  );
  await site.node.setLvmConf({ scan_lvs: 0 });
});

it("what the node's lvm.conf hides is seen again", async () => {
  const twin = { device: 'loop97', backing_file: '/srv/of-the-admin.img' };
  await site.node.setLvmConf({ filter: '["r|^/dev/loop9|","a|.*|"]' });
  await site.restart();
  await site.node.setVolumeGroup('vg0', { twin });
  await makeDisks('xen27');
  await site.node.setVolumeGroup('vg0', { twin: { ...twin, backing_file: image('xen30.img') } });
  await makeDisks('xen30');
  expect(lastOf('lvcreate').join(' ')).toMatch(
    /"r\|\^\/dev\/loop97\$\|",.*"r\|\^\/dev\/loop9\|","a\|\.\*\|"\]/,
  );
});

it('an lvm.conf that cannot be read lets LVM see all', async () => {
  await site.node.setFault({
    match: 'lvmconfig',
    mode: 'fail',
    exit: 5,
    stderr: '  Parse error at byte 7.\n',
  });
  await site.restart();
  await expect(makeDisks('xen28')).rejects.toMatchObject({
    code: 'program_failed',
    message: expect.stringMatching(/lvmconfig .* failed \(exit code 5\): Parse error at byte 7/),
  });
  await site.node.clearFaults();
});
