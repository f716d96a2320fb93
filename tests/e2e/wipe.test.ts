// wipe_removed_disks, by the daemon: what killVPS leaves is overwritten, also by the next daemon where this one is killed.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Site, startSite } from '../site.ts';

let site: Site;
beforeAll(async () => {
  site = await startSite({ config: { wipe_removed_disks: 'yes' } });
});
afterAll(() => site.stop());

const VOLUMES = { vpsname: 'xen01', hddsize: 64, swapsize: 16, imagetype: 'lvm' };
const volume = (name: string) => join(site.node.dev_dir, 'vg0', name);
const waiting = () =>
  readdirSync(join(site.node.dev_dir, 'vg0')).filter((name) => name.startsWith('dtc-xen-removed.'));
const SECRET = 'of the last customer';

async function removeOne(): Promise<void> {
  await site.modern('setupLVMDisks', VOLUMES);
  const content = readFileSync(volume('xen01'));
  content.write(SECRET, 32 * 1024);
  writeFileSync(volume('xen01'), content);
  await site.modern('killVPS', { vpsname: 'xen01', imagetype: 'lvm' });
}

async function isClean(): Promise<void> {
  await expect.poll(waiting, { timeout: 90_000 }).toEqual([]);
  const { disk_mb } = await site.modern('getFreeSpace');
  await site.modern('setupLVMDisks', VOLUMES);
  expect(readFileSync(volume('xen01')).includes(SECRET)).toBe(false);
  await site.modern('killVPS', { vpsname: 'xen01', imagetype: 'lvm' });
  await expect.poll(waiting, { timeout: 90_000 }).toEqual([]);
  expect(await site.modern('getFreeSpace')).toMatchObject({ disk_mb });
}

it('overwrites what killVPS leaves, and gives its room back', async () => {
  await removeOne();
  await isClean();
  const told = site
    .daemon()
    .logs()
    .map(({ msg }) => msg ?? '');
  expect(told.join('\n')).toMatch(/dtc-xen-removed\.xen01\.\S+ was overwritten and removed: 64 MB in/);
});

it('a daemon that is killed in the middle leaves that to the next one', async () => {
  await site.node.setFault({ match: 'blkdiscard', mode: 'slow', delay_ms: 5_000 });
  await removeOne();
  await expect.poll(() => waiting().length).toBe(2);
  await site.daemon().kill();
  await site.node.clearFaults();
  expect(waiting()).toHaveLength(2);
  await site.restart();
  await isClean();
});
