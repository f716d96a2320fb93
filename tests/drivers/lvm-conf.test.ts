// An admin's own lvm.conf may have LVM prefix its lines, count where it has words, and log elsewhere; its archive may be too large
// for its taste. What the driver reads of it is the same.
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseVpsId, type VpsId } from '../../src/core/vps.ts';
import { createLvm } from '../../src/drivers/lvm.ts';
import { createLvmVolumes } from '../../src/drivers/lvm-volumes.ts';
import { openFakeNode } from '../contract/drivers/fake-driver-node.ts';

const vps = parseVpsId('01') as VpsId;
const ARCHIVES = 8200;
const NASTY: Readonly<Record<string, string>> = {
  'log/command_names': '1',
  'log/prefix': 'lvm: ',
  'log/verbose': '1',
  'log/report_command_log': '1',
  'report/binary_values_as_numeric': '1',
  'report/compact_output': '1',
};

const xl = (...args: string[]) => execFileSync(join(node.fake.bin, 'xl'), args, { stdio: 'pipe' });
/** Starts a guest, which has the root disk open. */
function start(): void {
  const config = join(node.config.xen_dir, 'xen01');
  writeFileSync(
    config,
    `name = "xen01"\nkernel = "${node.kernel}"\nmemory = 128\ndisk = [ "phy:${node.config.dev_dir}/vg0/xen01,xvda,w" ]\n`,
  );
  xl('create', config);
}

let node: Awaited<ReturnType<typeof openFakeNode>>;
beforeEach(async () => {
  node = await openFakeNode();
  await createLvm(node).create(vps, { root_mb: 64, swap_mb: 16 });
});
afterEach(() => node.cleanup());

describe.each([
  ...Object.entries(NASTY).map(([key, value]): [string, Record<string, string>] => [
    `${key} = ${value}`,
    { [key]: value },
  ]),
  ['all of these at once', NASTY],
])('lvm.conf has %s', (_what, settings) => {
  beforeEach(() => node.fake.setLvmConf({ settings, archives: ARCHIVES }));

  it('finds the disks, and sees which of them is open', async () => {
    const disks = createLvm(node);
    const path = join(node.config.dev_dir, 'vg0/xen01');
    expect(await disks.find(vps)).toMatchObject({ root: { path, in_use: false }, swap: { in_use: false } });
    start();
    expect(await disks.find(vps)).toMatchObject({ root: { in_use: true }, swap: { in_use: false } });
    await expect(disks.remove(vps)).rejects.toMatchObject({ code: 'disks_in_use' });
    xl('destroy', 'xen01');
    await disks.remove(vps);
    expect(await disks.find(vps)).toMatchObject({ root: undefined, swap: undefined });
  });

  it('tells from what LVM answers why it would not', async () => {
    const disks = createLvm(node);
    const volumes = createLvmVolumes(node);
    const made = volumes.allocate((view) => volumes.make(view, 'xen01', 4 * 1024 * 1024));
    await expect(made).rejects.toMatchObject({ code: 'disks_exist' });
    await node.fake.setVolumeGroup('vg0', { away: true });
    await expect(disks.find(vps)).rejects.toMatchObject({ code: 'store_away' });
  });
});
