import { existsSync, lstatSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { createFakeNode, type FakeNode } from './fake-node.ts';
import { call } from './replay.ts';

let node: FakeNode;

const lvm = (...argv: string[]) => call(node, argv);
const volumes = async (fields: string) => {
  const answer = await lvm('lvs', '--noheadings', '-o', fields, 'vg0');
  return answer.stdout
    .split('\n')
    .map((line) => line.trim().replace(/ +/g, ' '))
    .filter(Boolean);
};
const link = (name: string) => join(node.dev_dir, 'vg0', name);
const mapper = (name: string, file: string) =>
  readFileSync(join(node.sys_dir, 'block', readlinkSync(link(name)).replace('../', ''), 'dm', file), 'utf8');
const isLinked = (name: string) => lstatSync(link(name), { throwIfNoEntry: false }) !== undefined;
const REFUSED = `  Cannot change VG vg0 while PVs are missing.
  See vgreduce --removemissing and vgextend --restoremissing.
  Cannot process volume group vg0
`;

vi.setConfig({ testTimeout: 120_000 });

beforeEach(async () => {
  node = await createFakeNode();
  for (const name of ['xen01', 'xen02']) await lvm('lvcreate', '-y', '-L', '64M', '-n', name, 'vg0');
});
afterEach(() => node.cleanup());

it('tells of a group and its volumes what the kernel tells of its devices', async () => {
  const [vg_uuid, lv_uuid] = (await volumes('vg_uuid,lv_uuid'))[0]?.split(' ') ?? [];
  expect((await lvm('vgs', '--noheadings', '-o', 'vg_uuid,vg_attr,vg_missing_pv_count')).stdout).toBe(
    `  ${vg_uuid} wz--n- 0\n`,
  );
  expect(mapper('xen01', 'uuid')).toBe(`LVM-${`${vg_uuid}${lv_uuid}`.replaceAll('-', '')}\n`);
  expect(mapper('xen01', 'name')).toBe('vg0-xen01\n');
});

it('lets a group that misses a disk be read, and little be changed', async () => {
  await node.setVolumeGroup('vg0', { missing_pv: ['xen01'] });
  const fields = 'lv_name,lv_attr,lv_health_status,vg_attr,vg_missing_pv_count';
  expect(await volumes(fields)).toEqual(['xen01 -wi-a---p- partial wz-pn- 1', 'xen02 -wi-a----- wz-pn- 1']);
  const report = await lvm(
    'vgs',
    '--reportformat',
    'json',
    '-o',
    'vg_name,pv_count,vg_missing_pv_count',
    'vg0',
  );
  const json = JSON.parse(report.stdout);
  expect([
    report.exit,
    json.report[0].vg,
    json.log.map((each: { log_type: string }) => each.log_type),
  ]).toEqual([0, [{ vg_name: 'vg0', pv_count: '2', vg_missing_pv_count: '1' }], ['warn', 'warn']]);
  for (const argv of [
    ['lvrename', 'vg0', 'xen02', 'xen03'],
    ['lvcreate', '-y', '-L', '64M', '-n', 'xen03', 'vg0'],
    ['lvextend', '-L', '96M', 'vg0/xen02'],
    ['lvreduce', '-A', 'n', '-y', '-L', '32M', 'vg0/xen02'],
  ]) {
    expect(await lvm(...argv), argv.join(' ')).toMatchObject({ exit: 5, stdout: '', stderr: REFUSED });
  }
  // lvremove is told that it may.
  expect(await lvm('lvremove', '-y', 'vg0/xen02')).toMatchObject({ exit: 0 });
  await lvm('lvchange', '-an', 'vg0/xen01');
  expect(await lvm('lvchange', '-ay', 'vg0/xen01')).toMatchObject({
    exit: 5,
    stderr: "  Refusing activation of partial LV vg0/xen01.  Use '--activationmode partial' to override.\n",
  });
  await node.setVolumeGroup('vg0', { whole: true });
  expect(await lvm('lvchange', '-ay', 'vg0/xen01')).toMatchObject({ exit: 0 });
  expect(await volumes('lv_name,lv_attr,vg_missing_pv_count')).toEqual(['xen01 -wi-a----- 0']);
});

it('leaves what lies on a missing disk inactive at a boot', async () => {
  await node.setVolumeGroup('vg0', { missing_pv: 'all' });
  await node.boot();
  expect(await volumes('lv_name,lv_attr')).toEqual(['xen01 -wi-----p-', 'xen02 -wi-----p-']);
  expect(isLinked('xen01')).toBe(false);
  await node.setVolumeGroup('vg0', { whole: true });
  await node.boot();
  expect(await volumes('lv_name,lv_attr')).toEqual(['xen01 -wi-a-----', 'xen02 -wi-a-----']);
});

it('has a group that is away for none, until it comes back as it was', async () => {
  const before = await volumes('lv_name,lv_uuid,vg_uuid');
  await node.setVolumeGroup('vg0', { away: true });
  expect(await lvm('vgs', '--noheadings', '-o', 'vg_name')).toEqual({ exit: 0, stdout: '', stderr: '' });
  for (const program of ['vgs', 'lvs']) {
    expect(await lvm(program, 'vg0')).toMatchObject({
      exit: 5,
      stderr: expect.stringContaining('Volume group "vg0" not found'),
    });
  }
  expect([isLinked('xen01'), existsSync(join(node.dev_dir, 'dm-0'))]).toEqual([false, false]);
  await node.setVolumeGroup('vg0', { whole: true });
  expect(await volumes('lv_name,lv_uuid,vg_uuid')).toEqual(before);
  expect(isLinked('xen01')).toBe(true);
});

it.each([
  ['refreshed', () => lvm('lvchange', '--refresh', 'vg0/xen09')],
  ['activated', () => lvm('lvchange', '-ay', 'vg0/xen09')],
  [
    'activated anew',
    () => lvm('lvchange', '-an', 'vg0/xen09').then(() => lvm('lvchange', '-ay', 'vg0/xen09')),
  ],
  ['booted with', () => node.boot().then(() => ({ exit: 0 }))],
])('tears an lvrename: LVM has the new name, the device the old one, until it is %s', async (_, mend) => {
  await node.setFault({ match: 'lvrename', mode: 'torn', times: 1 });
  expect(await lvm('lvrename', 'vg0', 'xen01', 'xen09')).toMatchObject({ exit: -1, stdout: '', stderr: '' });
  expect(await volumes('lv_name,lv_attr,lv_active')).toEqual([
    'xen02 -wi-a----- active',
    'xen09 -wi-s----- active',
  ]);
  expect([isLinked('xen01'), isLinked('xen09'), mapper('xen01', 'name')]).toEqual([
    true,
    false,
    'vg0-xen01\n',
  ]);
  expect(await mend()).toMatchObject({ exit: 0 });
  expect(await volumes('lv_name,lv_attr')).toEqual(['xen02 -wi-a-----', 'xen09 -wi-a-----']);
  expect([isLinked('xen01'), isLinked('xen09'), mapper('xen09', 'name')]).toEqual([
    false,
    true,
    'vg0-xen09\n',
  ]);
});

it('keeps the next volume from a name that a torn one’s device has: LVM has it, the device mapper has not', async () => {
  await node.setFault({ match: 'lvrename', mode: 'torn', times: 1 });
  await lvm('lvrename', 'vg0', 'xen01', 'xen01.old');
  const next = await lvm('lvrename', 'vg0', 'xen02', 'xen01');
  expect(next).toEqual({
    exit: 5,
    stdout: '',
    stderr: `  device-mapper: rename ioctl on vg0-xen02  failed: Device or resource busy
  Failed to rename vg0-xen02 (253:1) to vg0-xen01
  Problem reactivating logical volume vg0/xen01.
  Releasing activation in critical section.
  libdevmapper exiting with 1 device(s) still suspended.
`,
  });
  expect(await volumes('lv_name,lv_attr,lv_suspended,lv_kernel_minor')).toEqual([
    'xen01 -wi-s----- suspended 1',
    'xen01.old -wi-s----- suspended 0',
  ]);
  expect([readlinkSync(link('xen01')), mapper('xen02', 'name')]).toEqual(['../dm-0', 'vg0-xen02\n']);
  const refresh = (name: string) => lvm('lvchange', '--refresh', `vg0/${name}`);
  expect(await refresh('xen01')).toMatchObject({
    exit: 5,
    stderr: expect.stringContaining('Failed to reactivate'),
  });
  const below = '  Attempted to decrement suspended device counter below zero.\n';
  expect(await refresh('xen01.old')).toMatchObject({ exit: 0, stderr: below });
  expect(await refresh('xen01')).toMatchObject({ exit: 0 });
  expect([readlinkSync(link('xen01')), readlinkSync(link('xen01.old'))]).toEqual(['../dm-1', '../dm-0']);
  expect(await volumes('lv_name,lv_attr')).toEqual(['xen01 -wi-a-----', 'xen01.old -wi-a-----']);
});

it('tears lvrename alone', async () => {
  await node.setFault({ match: 'lvremove', mode: 'torn' });
  expect(await lvm('lvremove', '-y', 'vg0/xen01')).toMatchObject({ exit: 2 });
});
