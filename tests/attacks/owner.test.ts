// The owner of a VPS, with its password: wants more of the node than was sold, or what is another customer's. Each test is named
// after what the attacker has where it passes.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Site, startSite } from '../site.ts';

let site: Site;
beforeAll(async () => {
  site = await startSite();
});
afterAll(() => site.stop());

const OPERATIONS = {
  writeXenHVMconf: (vpsname: string, ramsize: number, address: string) => ({
    ...{ vpsname, ramsize, allipaddrs: address, vncpassword: 'no_vnc', howtoboot: 'hdd' },
  }),
  changeBSDkernel: (vpsname: string, ramsize: number, address: string) => ({
    ...{ vpsname, ramsize, kerneltype: 'normal', allipaddrs: address },
  }),
  reinstallVPSos: (vpsname: string, ramsize: number, address: string) => ({
    ...{ vpsname, ramsize, nics: address, ostype: 'tiny', password: 'secret', gateway: '', dns: '' },
  }),
};

/** A VPS that was sold with 128 MB and one address, unless it has no configuration yet. */
async function sell(vpsname: string, configured = true): Promise<void> {
  await site.modern('setupLVMDisks', { vpsname, hddsize: 64, swapsize: 16, imagetype: 'lvm' });
  await site.modern('changeVPSsoapPassword', { vpsname, password: 'of the owner' });
  if (configured)
    await site.modern('writeXenHVMconf', OPERATIONS.writeXenHVMconf(vpsname, 128, '192.0.2.10'));
}
const asOwner = (vpsname: string, operation: string, params: Readonly<Record<string, string | number>>) =>
  site.modern(operation, params, site.endpoint(vpsname, 'of the owner'));

describe.each(Object.entries(OPERATIONS))('%s by the owner', (operation, params) => {
  const index = Object.keys(OPERATIONS).indexOf(operation);
  it.each([
    ["more memory than was sold, of the node's", 1, 1024 * 1024, '192.0.2.10'],
    ["another customer's address", 2, 128, '192.0.2.11'],
    ['another address beside its own', 3, 128, '192.0.2.10 192.0.2.11'],
  ])('%s', async (_what, number, ramsize, address) => {
    const vps = `xen${20 + index * 5 + number}`;
    await sell(vps);
    const addresses = operation === 'reinstallVPSos' ? address.replace(' ', '+') : address;
    await expect(asOwner(vps, operation, params(vps, ramsize, addresses))).rejects.toMatchObject({
      code: 'not_allowed',
      message: expect.stringContaining('128 MB and 192.0.2.10'),
    });
  });

  it('a first installation with what it likes', async () => {
    const vps = `xen${20 + index * 5}`;
    await sell(vps, false);
    await expect(asOwner(vps, operation, params(vps, 128, '192.0.2.10'))).rejects.toMatchObject({
      code: 'not_allowed',
    });
    await site.modern(operation, params(vps, 128, '192.0.2.10'));
  });

  it('(is what an owner may do with what was sold)', async () => {
    const vps = `xen${20 + index * 5 + 4}`;
    await sell(vps);
    await asOwner(vps, operation, params(vps, 128, '192.0.2.10'));
  });
});

it('(the admin opens it: owners_set_resources=yes)', async () => {
  const open = await startSite({ config: { owners_set_resources: 'yes' } });
  try {
    const [vpsname, password] = ['xen40', 'of the owner'];
    await open.modern('setupLVMDisks', { vpsname, hddsize: 64, swapsize: 16, imagetype: 'lvm' });
    await open.modern('changeVPSsoapPassword', { vpsname, password });
    const values = OPERATIONS.writeXenHVMconf(vpsname, 256, '192.0.2.11');
    await open.modern('writeXenHVMconf', values, open.endpoint(vpsname, password));
  } finally {
    await open.stop();
  }
});
