// wipe_removed_disks, by the daemon: what killVPS leaves is overwritten, also by the next daemon where this one is killed.
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { parseConfig } from '../../src/config/load.ts';
import { BUNDLE } from '../daemon.ts';
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

it('is done as delivered', () => {
  expect(parseConfig('').wipe_removed_disks).toBe('yes');
});

it('overwrites what killVPS leaves, and gives its room back', async () => {
  await removeOne();
  await isClean();
  const told = site
    .daemon()
    .logs()
    .map(({ msg }) => msg ?? '');
  expect(told.join('\n')).toMatch(/dtc-xen-removed\.xen01\.\S+ was overwritten and removed: 64 MB in/);
});

it('overwrites at full speed where the room is wanted, and says when to call again', async () => {
  const { disk_mb } = await site.modern('getFreeSpace');
  const all_but_one = Number(disk_mb) - 2 * 16 - 64;
  await site.modern('setupLVMDisks', { ...VOLUMES, vpsname: 'xen03', hddsize: all_but_one });
  const next = { ...VOLUMES, vpsname: 'xen02' };
  await site.node.setFault({ match: 'blkdiscard', mode: 'slow', delay_ms: 3_000 });
  await removeOne();
  await expect.poll(waiting).toHaveLength(2);
  expect(await site.modern('getFreeSpace')).toMatchObject({ disk_mb: 0, waiting_mb: 80 });
  await expect(site.modern('setupLVMDisks', next)).rejects.toMatchObject({
    message: expect.stringMatching(
      /xen02: its disks need .* the room is there in (about \d+ (s|min)|some minutes): 80 MB of removed disks are overwritten at full speed now\. Call again then\./,
    ),
  });
  await site.node.clearFaults();
  await expect.poll(waiting, { timeout: 90_000 }).toEqual([]);
  expect(await site.modern('getFreeSpace')).toMatchObject({ disk_mb: 80, waiting_mb: 0 });
  await site.modern('setupLVMDisks', next);
  await site.modern('killVPS', { vpsname: 'xen02', imagetype: 'lvm' });
  await expect.poll(waiting, { timeout: 90_000 }).toEqual([]);
});

it('overwrites what a job leaves, within half a minute', async () => {
  // As a job does: it is another process, which the daemon hears nothing of but by the file.
  await site.modern('setupLVMDisks', VOLUMES);
  const { config_file } = site.daemon();
  const killed = spawnSync(
    process.execPath,
    [BUNDLE, '--config', config_file, 'call', 'killVPS', 'xen01', 'lvm'],
    { encoding: 'utf8' },
  );
  expect([killed.status, killed.stderr]).toEqual([0, '']);
  await expect.poll(waiting, { timeout: 60_000 }).toEqual([]);
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
