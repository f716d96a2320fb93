// A VPS that the node does not have, and one whose disks cannot be seen: the first is said, the second is not taken for it.
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Site, startSite } from '../site.ts';
import { good } from './bad-calls.ts';

let site: Site;
beforeAll(async () => {
  site = await startSite();
});
afterAll(() => site.stop());

const at = (path: string) => join(site.folder.path, path);
const state = (vpsname: string) => site.modern('getVPSState', { vpsname });
const panel = (vpsname: string) => site.legacy('getVPSState', { vpsname });

/** Does the work while the node's volume groups are away. */
async function withoutGroups(work: () => Promise<void>): Promise<void> {
  const world = join(site.node.root, 'state/world.json');
  const there = JSON.parse(readFileSync(world, 'utf8')) as { vgs: object };
  writeFileSync(world, JSON.stringify({ ...there, vgs: {} }));
  try {
    await work();
  } finally {
    const now = JSON.parse(readFileSync(world, 'utf8')) as object;
    writeFileSync(world, JSON.stringify({ ...now, vgs: there.vgs }));
  }
}

it('getVPSState of a VPS that does not exist says so to a client of the WSDL; a panel reads that it does not run', async () => {
  await expect(state('xen99')).rejects.toMatchObject({
    code: 'not_found',
    message: expect.stringMatching(/^There is no xen99 on this node: /),
  });
  expect(await panel('xen99')).toBe('Not running');
});

it.each(['lvm', 'vbd'])('a VPS exists from its %s disks to its deletion', async (imagetype) => {
  const vpsname = imagetype === 'lvm' ? 'xen21' : 'xen22';
  await site.modern('setupLVMDisks', { ...good('setupLVMDisks', vpsname), imagetype });
  expect(await state(vpsname)).toMatchObject({ state: 'stopped' });
  await site.modern('killVPS', { vpsname });
  await expect(state(vpsname)).rejects.toMatchObject({ code: 'not_found' });
});

it('a VPS whose volume group is away is not one that does not exist', async () => {
  await site.modern('setupLVMDisks', good('setupLVMDisks', 'xen23'));
  await withoutGroups(async () => {
    await expect(state('xen23')).rejects.toMatchObject({
      code: 'store_away',
      message: expect.stringMatching(/^Whether xen23 exists cannot be told.*The volume group vg0 /),
    });
    expect(await panel('xen23')).toBe('Not running');
  });
  expect(await state('xen23')).toMatchObject({ state: 'stopped' });
});

it('nor is one whose image files are on a file system that is not mounted', async () => {
  await site.modern('setupLVMDisks', { ...good('setupLVMDisks', 'xen24'), imagetype: 'vbd' });
  renameSync(at('mnt'), at('mnt.away'));
  mkdirSync(at('mnt'));
  await expect(state('xen24')).rejects.toMatchObject({ code: 'store_away' });
  expect(await state('xen23')).toMatchObject({ state: 'stopped' });
  renameSync(at('mnt.away'), at('mnt'));
  expect(await state('xen24')).toMatchObject({ state: 'stopped' });
});

it('one that has a configuration exists, whatever is away', async () => {
  await site.modern('reinstallVPSos', good('reinstallVPSos', 'xen23'));
  expect(await site.jobEnd('xen23')).toMatchObject({ state: 'succeeded' });
  expect(existsSync(at('xen/xen23'))).toBe(true);
  await withoutGroups(async () => expect(await state('xen23')).toMatchObject({ state: 'stopped' }));
});

it('killVPS says which kind of disks it deleted, or that it found none of either', async () => {
  await site.modern('setupLVMDisks', good('setupLVMDisks', 'xen25'));
  expect(await site.modern('killVPS', { vpsname: 'xen25' })).toEqual({
    result: 'Deleted xen25 with its lvm disks',
  });
  expect(await site.modern('killVPS', { vpsname: 'xen25', imagetype: 'vbd' })).toEqual({
    result: 'Deleted xen25; it had no vbd disks',
  });
  expect(await site.modern('killVPS', { vpsname: 'xen25' })).toEqual({
    result: 'Deleted xen25; it had no lvm and no vbd disks',
  });
});
