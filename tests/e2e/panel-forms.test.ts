// Calls in the forms that panels send, where they say less than the WSDL has.
import { cpSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
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

describe("what is always in the panel's menu", () => {
  const order = (vps: string, ostype: string) =>
    site.legacy('reinstallVPSos', { ...good('reinstallVPSos', vps), ostype });

  it('centos installs the Rocky Linux of the node, and says so at the end', async () => {
    cpSync(at('os/tiny'), at('os/rocky'), { recursive: true });
    await site.modern('setupLVMDisks', good('setupLVMDisks', 'xen41'));
    expect(await order('xen41', 'centos')).toBe('OK, started mkos.');
    expect(await site.jobEnd('xen41')).toMatchObject({
      state: 'succeeded',
      message: expect.stringMatching(/^rocky \(.*CentOS.*\) is installed on xen41;/),
    });
  });

  it('debian-dtc and netbsd are refused where the node has nothing to install them from, before the panel shows them', async () => {
    await site.modern('setupLVMDisks', good('setupLVMDisks', 'xen42'));
    const before = await site.snapshot();
    expect(await order('xen42', 'debian-dtc')).toMatch(/^NOTOK - debian-dtc .* this node has no dtc;/);
    expect(await order('xen42', 'netbsd')).toMatch(/^NOTOK - netbsd cannot be installed on this node: /);
    expect(await site.snapshot()).toEqual(before);
    expect(await site.legacy('getVPSState', { vpsname: 'xen42' })).toBe('Not running');
  });

  it('manual leaves the disks as they are, and the VPS does not come up with the node', async () => {
    await site.modern('setupLVMDisks', good('setupLVMDisks', 'xen43'));
    writeFileSync(volume('xen43'), "the admin's system", { flag: 'r+' });
    const before = readFileSync(volume('xen43'));
    expect(await order('xen43', 'manual')).toBe('OK, started mkos.');
    expect(await site.jobEnd('xen43')).toMatchObject({
      state: 'succeeded',
      message: expect.stringContaining('its disks were not touched'),
    });
    expect(readFileSync(volume('xen43')).equals(before)).toBe(true);
    expect([existsSync(at('xen/xen43')), existsSync(at('xen/auto/xen43'))]).toEqual([true, false]);
    expect(await site.legacy('startVPS', { vpsname: 'xen43' })).toEqual(['OK', 'Started xen43']);
  });
});
