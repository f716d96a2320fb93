// Reinstalls on a node whose disks are in a thin pool: the base is a volume, and a new root disk begins as a copy of it.
import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { withState } from '../fakes/lib/store.mjs';
import { type Site, startSite } from '../site.ts';
import { configured, installMarked, leftOver, order, systemOn } from './marked-systems.ts';

const SIZES = { hddsize: 256, swapsize: 8, imagetype: 'lvm' };

let site: Site;
beforeAll(async () => {
  site = await startSite({ config: { provisioning_thinpool: 'pool' } });
  lvm('lvcreate', '-y', '--type', 'thin-pool', '-L', '2G', '-n', 'pool', 'vg0');
  installMarked(site);
  const folder = join(site.folder.path, 'os/marked');
  const install_os = join(folder, 'install_os');
  const counted = `echo "made" >> ${site.folder.path}/made\nwhile [ -e ${site.folder.path}/wait ]; do sleep 0.1; done\n`;
  writeFileSync(install_os, readFileSync(install_os, 'utf8') + counted);
  writeFileSync(join(folder, 'base_inputs'), `#!/bin/sh\necho 1000 "$(cat ${site.folder.path}/marker)"\n`);
  chmodSync(join(folder, 'base_inputs'), 0o755);
});
afterAll(() => site.stop());

function lvm(program: string, ...args: string[]): string {
  return execFileSync(join(site.node.bin, program), args, { encoding: 'utf8', stdio: 'pipe' });
}
const fields = (names: string, ...volumes: string[]) =>
  lvm('lvs', '--noheadings', '-o', names, ...volumes)
    .replace(/\n$/, '')
    .split('\n')
    .map((line) => line.trim().split(/\s+/).join(' '));
const baseVolumes = () => fields('lv_name', 'vg0').filter((name) => name.startsWith('dtc-xen-'));
const made = () => readFileSync(join(site.folder.path, 'made'), 'utf8').trim().split('\n').length;
const free_mb = async () => Number((await site.modern('getFreeSpace'))['disk_mb']);
const device = (name: string) => join(site.node.dev_dir, 'vg0', name);
const superblock = (name: string) => {
  const text = execFileSync('dumpe2fs', ['-h', device(name)], { encoding: 'utf8', stdio: 'pipe' });
  const value = (key: string) => new RegExp(`^${key}: +(.*)$`, 'm').exec(text)?.[1];
  return {
    uuid: value('Filesystem UUID'),
    bytes: Number(value('Block count')) * Number(value('Block size')),
  };
};
const log = (vpsname: string) => site.modern('getVPSInstallLog', { vpsname, numlines: 0 });

async function reinstall(vpsname: string, marker: number) {
  await site.modern('reinstallVPSos', order(site, vpsname, marker));
  return site.jobEnd(vpsname);
}

/** The VPS has this system, whole, with its own configuration, and nothing else is left. */
function has(vpsname: string, marker: number): void {
  expect(leftOver(site, vpsname)).toEqual([]);
  expect(systemOn(site, vpsname, 'lvm')).toEqual({ marker, complete: true });
  expect(configured(site, vpsname)).toBe(marker);
}

it('makes disks in the pool, and tells what may still be promised', async () => {
  expect(await free_mb()).toBe(2048);
  await site.modern('setupLVMDisks', { vpsname: 'xen01', ...SIZES });
  expect(fields('pool_lv', 'vg0/xen01', 'vg0/xen01swap')).toEqual(['pool', 'pool']);
  expect(await free_mb()).toBe(2048 - 264);
  await expect(site.modern('setupLVMDisks', { vpsname: 'xen09', ...SIZES, hddsize: 1800 })).rejects.toThrow(
    /its disks need 1808 MB, and thin pool vg0\/pool has 1784 MB free/,
  );
  expect(await reinstall('xen01', 101)).toMatchObject({ state: 'succeeded' });
  expect([made(), baseVolumes()]).toEqual([1, []]);
  has('xen01', 101);
});

it('makes the base once, and every other reinstall is a copy of it, grown, with a UUID of its own', async () => {
  await site.modern('setupLVMDisks', { vpsname: 'xen02', ...SIZES, hddsize: 300 });
  await reinstall('xen02', 101);
  expect(made()).toBe(2);
  expect(await reinstall('xen01', 102)).toMatchObject({ state: 'succeeded' });
  expect(made()).toBe(3);
  expect(await reinstall('xen02', 102)).toMatchObject({ state: 'succeeded' });
  expect(made()).toBe(3);
  const [name = '', ...others] = baseVolumes();
  expect(others).toEqual([]);
  expect(name).toMatch(/^dtc-xen-base\.marked-[0-9a-f]{16}\.[0-9a-f]{16}$/);
  expect(fields('lv_attr', `vg0/${name}`)).toEqual(['Vri---tz-k']);
  expect(existsSync(device(name))).toBe(false);
  for (const vpsname of ['xen01', 'xen02']) {
    has(vpsname, 102);
    expect(fields('origin', `vg0/${vpsname}`)).toEqual([name]);
  }
  const [one, two] = [superblock('xen01'), superblock('xen02')];
  expect([one.bytes, two.bytes]).toEqual([256 << 20, 300 << 20]);
  expect(one.uuid).not.toBe(two.uuid);
  expect((await log('xen01'))['log']).toMatch(/a volume of it is being made/);
  expect((await log('xen02'))['log']).not.toMatch(/being made/);
}, 300_000);

it('rolls back, and lets the base go while copies of it live', async () => {
  await site.modern('rollbackVPSos', { vpsname: 'xen01' });
  has('xen01', 101);
  await site.modern('rollbackVPSos', { vpsname: 'xen01' });
  const [name = ''] = baseVolumes();
  expect(await reinstall('xen02', 103)).toMatchObject({ state: 'succeeded' });
  expect(baseVolumes()).not.toContain(name);
  has('xen01', 102);
  has('xen02', 103);
  await site.modern('startVPS', { vpsname: 'xen01' });
  await site.modern('destroyVPS', { vpsname: 'xen01' });
}, 300_000);

it('reinstalls a VPS whose disks have room of their own into the pool, and back', async () => {
  for (const [name, size] of [
    ['xen03', '256M'],
    ['xen03swap', '8M'],
  ] as const)
    lvm('lvcreate', '-y', '-L', size, '-n', name, 'vg0');
  expect(await reinstall('xen03', 103)).toMatchObject({ state: 'succeeded' });
  expect(await reinstall('xen03', 104)).toMatchObject({ state: 'succeeded' });
  expect(fields('pool_lv', 'vg0/xen03', 'vg0/xen03.old')).toEqual(['pool', '']);
  await site.modern('rollbackVPSos', { vpsname: 'xen03' });
  has('xen03', 103);
  expect(fields('pool_lv', 'vg0/xen03', 'vg0/xen03.old')).toEqual(['', 'pool']);
  await site.modern('killVPS', { vpsname: 'xen03', imagetype: 'lvm' });
  expect(fields('lv_name', 'vg0').filter((name) => name.startsWith('xen03'))).toEqual([]);
}, 300_000);

it('unpacks onto an empty disk where the pool has no room for the base, or the disk is smaller', async () => {
  await site.modern('setupLVMDisks', { vpsname: 'xen04', ...SIZES, hddsize: 64 });
  await reinstall('xen04', 103);
  expect(await reinstall('xen04', 105)).toMatchObject({ state: 'succeeded' });
  expect((await log('xen04'))['log']).toMatch(/as a volume it is larger than the disk/);
  has('xen04', 105);
}, 300_000);

it('refuses where the pool is not fit, before anything is touched', async () => {
  const spoil = (how: object) =>
    withState(site.node.root, (state) => {
      const pool = state.vgs['vg0']?.lvs.find(({ name }) => name === 'pool');
      Object.assign(pool ?? {}, how);
    });
  await spoil({ metadata_percent: '95.10' });
  const setup = site.modern('setupLVMDisks', { vpsname: 'xen05', ...SIZES, hddsize: 8 });
  await expect(setup).rejects.toThrow(/95\.1 % of its metadata is used/);
  const { state, message } = await reinstall('xen01', 103);
  expect([state, message]).toEqual([
    'failed',
    expect.stringMatching(/95\.1 % .* The system that was there is as it was\.$/),
  ]);
  has('xen01', 102);
  await spoil({ metadata_percent: undefined, health: 'failed' });
  expect((await reinstall('xen01', 103)).message).toMatch(/its health as "failed"/);
  await spoil({ health: '' });
}, 300_000);

it('killed with -9 while it makes the base: the old system is as it was, and nothing is left', async () => {
  writeFileSync(join(site.folder.path, 'wait'), '');
  const before = made();
  await site.modern('reinstallVPSos', order(site, 'xen01', 106));
  for (let tries = 0; made() === before && tries < 300; tries += 1) await sleep(50);
  expect(baseVolumes().filter((name) => name.startsWith('dtc-xen-making.'))).toHaveLength(1);
  await site.daemon().kill();
  const job = `${site.folder.path}/state/states/xen01/`;
  const pids = execFileSync('pgrep', ['-f', job], { encoding: 'utf8' }).trim().split('\n');
  for (const pid of pids) process.kill(Number(pid), 'SIGKILL');
  await site.restart();
  expect(await site.jobEnd('xen01')).toMatchObject({ state: 'failed' });
  await expect
    .poll(() => baseVolumes().filter((name) => name.startsWith('dtc-xen-making.')), { timeout: 90_000 })
    .toEqual([]);
  has('xen01', 102);
  execFileSync('rm', [join(site.folder.path, 'wait')]);
  expect(await reinstall('xen01', 106)).toMatchObject({ state: 'succeeded' });
  has('xen01', 106);
}, 90_000);
