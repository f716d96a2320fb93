// A node whose configuration has values of DTC-Xen's years: what cannot be installed with them is refused before anything is touched.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Site, startSite } from '../site.ts';
import { good } from './bad-calls.ts';

const vpsname = 'xen01';

describe.each([
  [
    'a mirror that ended with ftp',
    { debian_repo: 'ftp://ftp.us.debian.org/debian' },
    'invalid_value',
    /^debian_repo in dtc-xen\.conf is ftp:.*http and https alone\. Set another one, or none/,
  ],
  [
    'a kernel that is no more',
    { KERNELPATH: '/boot/vmlinuz-2.6.32-5-xen-amd64' },
    'not_found',
    /^There is no kernel \/boot\/vmlinuz-2\.6\.32-5-xen-amd64 for guests; see KERNELPATH/,
  ],
] as const)('%s', (_, config, code, message) => {
  let site: Site;
  beforeAll(async () => {
    site = await startSite({ config });
    await site.modern('setupLVMDisks', good('setupLVMDisks', vpsname));
  });
  afterAll(() => site.stop());

  it('has reinstallVPSos refused, and told to the panel; no job is begun', async () => {
    const order = { ...good('reinstallVPSos', vpsname), ostype: 'debian' };
    await expect(site.modern('reinstallVPSos', order)).rejects.toMatchObject({
      code,
      message: expect.stringMatching(message),
    });
    const answer = await site.legacy('reinstallVPSos', order);
    expect(answer).toMatch(/^NOTOK - /);
    expect(await site.modern('getVPSState', { vpsname })).not.toHaveProperty('last_job');
  });
});
