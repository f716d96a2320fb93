// What is wrong with one VPS's records stays with that VPS: the agent starts, and looks after the others.
import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Site, startSite } from '../site.ts';

const TEST_MS = 180_000;
const CREATED = '2026-11-20T10:00:00.000Z';

let site: Site;
let full: string | undefined;
beforeAll(async () => {
  site = await startSite();
}, TEST_MS);
afterAll(async () => {
  if (full !== undefined) execFileSync('umount', [full]);
  await site.stop();
}, TEST_MS);

const folderOf = (vpsname: string) => join(site.folder.path, 'state/states', vpsname);

/** The folder of a job whose process is dead. */
function deadJob(vpsname: string, id: string): string {
  const folder = join(folderOf(vpsname), id);
  mkdirSync(folder, { recursive: true });
  const status = { id, kind: 'fsck', vps: vpsname, state: 'running', created: CREATED, steps: [] };
  writeFileSync(join(folder, 'status.json'), JSON.stringify(status));
  writeFileSync(join(folder, 'request.json'), '{"kind":"fsck","request":{"image_type":"lvm"}}');
  return folder;
}

it(
  "one VPS's trouble stops all: damaged records, and a full file system, of some keep no other's dead job from being settled",
  async () => {
    await site.daemon().kill();
    // Names that sort before the healthy one's.
    mkdirSync(join(folderOf('xen01'), 'names.json'), { recursive: true });
    const odd = deadJob('xen02', '20261120T100000.000Z-0001');
    rmSync(join(odd, 'status.json'));
    mkdirSync(join(odd, 'status.json'));
    full = deadJob('xen03', '20261120T100000.000Z-0002');
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=16k', 'tmpfs', full]);
    deadJob('xen03', '20261120T100000.000Z-0002');
    try {
      writeFileSync(join(full, 'filled'), Buffer.alloc(64 * 1024));
    } catch (error) {
      expect((error as NodeJS.ErrnoException).code).toBe('ENOSPC');
    }
    deadJob('xen09', '20261120T100000.000Z-0003');

    await site.restart();
    expect(await site.modern('getVPSJob', { vpsname: 'xen09' })).toMatchObject({ state: 'failed' });
    const warned = site
      .daemon()
      .logs()
      .filter(({ level }) => level === 'warn');
    for (const vps of ['xen01', 'xen02', 'xen03'])
      expect(
        warned.filter((line) => line['vps'] === vps),
        vps,
      ).not.toEqual([]);
    for (const vpsname of ['xen01', 'xen02', 'xen03']) {
      const told = site.modern('fsckVPSpartition', { vpsname });
      await expect(told, vpsname).rejects.toMatchObject({ message: expect.stringMatching(/\w{3,} .*\.$/) });
    }
    const disks = { hddsize: 64, swapsize: 16, imagetype: 'lvm' };
    expect(await site.modern('setupLVMDisks', { vpsname: 'xen09', ...disks })).toMatchObject({
      result: 'Made the disks of xen09',
    });
  },
  TEST_MS,
);
