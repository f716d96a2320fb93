// Calls in the forms that panels send, where they say less than the WSDL has.
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Site, startSite } from '../site.ts';
import { good } from './bad-calls.ts';

let site: Site;
beforeAll(async () => {
  site = await startSite();
});
afterAll(() => site.stop());

const at = (path: string) => join(site.folder.path, path);
const volume = (name: string) => join(site.node.dev_dir, 'vg0', name);

describe('killVPS with the number alone', () => {
  it('deletes a VPS on image files, and its autostart link: it does not come up with the node', async () => {
    await site.modern('setupLVMDisks', { ...good('setupLVMDisks', 'xen12'), imagetype: 'vbd' });
    await site.modern('reinstallVPSos', { ...good('reinstallVPSos', 'xen12'), imagetype: 'vbd' });
    expect(await site.jobEnd('xen12')).toMatchObject({ state: 'succeeded' });
    expect([existsSync(at('xen/auto/xen12')), existsSync(at('mnt/xen12.img'))]).toEqual([true, true]);
    expect(await site.legacy('killVPS', { v1: '12' })).toBe('OK');
    for (const path of ['xen/auto/xen12', 'xen/xen12', 'mnt/xen12.img', 'mnt/xen12.swap.img'])
      expect(existsSync(at(path)), path).toBe(false);
  });

  it('deletes one on volumes', async () => {
    await site.modern('setupLVMDisks', good('setupLVMDisks', 'xen13'));
    expect(await site.legacy('killVPS', { vpsname: '13' })).toBe('OK');
    expect(existsSync(volume('xen13'))).toBe(false);
  });

  it('is refused where both kinds are there: nobody can tell which is meant', async () => {
    await site.modern('setupLVMDisks', good('setupLVMDisks', 'xen14'));
    writeFileSync(at('mnt/xen14.img'), Buffer.alloc(1 << 20));
    expect(await site.legacy('killVPS', { v1: '14' })).toBe(
      'NOTOK - xen14 has both lvm and vbd disks; say which with imagetype. Nothing was touched.',
    );
    expect([existsSync(volume('xen14')), existsSync(at('mnt/xen14.img'))]).toEqual([true, true]);
  });

  it('is fine where it has no disks', async () => {
    expect(await site.legacy('killVPS', { v1: '15' })).toBe('OK');
  });
});

describe('setupLVMDisks without imagetype', () => {
  it.each([
    ['by position', { v1: '16', v2: '64', v3: '16' }],
    ['by name', { vpsname: '17', hddsize: '64', swapsize: '16' }],
  ])('makes volumes: %s', async (_, params) => {
    expect(await site.legacy('setupLVMDisks', params)).toBe('OK');
    const [number = ''] = Object.values(params);
    expect(existsSync(volume(`xen${number}`))).toBe(true);
  });
});

it.each([
  ['by position', { v1: '16', v2: 'tiny', v3: '64', v4: '128', v5: '192.0.2.16', v6: 'geheim' }],
  [
    'by name',
    {
      vpsname: '17',
      ostype: 'tiny',
      hddsize: '64',
      ramsize: '128',
      ipaddr: '192.0.2.17',
      password: 'geheim',
    },
  ],
])('the older sign-up without imagetype installs: %s', async (_, params) => {
  expect(await site.legacy('reinstallVPSos', params)).toBe('OK, started mkos.');
  const [number = ''] = Object.values(params);
  expect(await site.jobEnd(`xen${number}`)).toMatchObject({ state: 'succeeded' });
});
