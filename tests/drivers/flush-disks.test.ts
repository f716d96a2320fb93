import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { disksBelow, flushDisks } from '../../src/drivers/flush-disks.ts';

let root: string;
let folders: { sys_block: string; dev: string };
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'dtc-xen-flush-'));
  folders = { sys_block: join(root, 'sys'), dev: join(root, 'dev') };
  // A thin volume: its pool, the pool's data and metadata on a RAID of two partitions, one behind a controller with a folder.
  const devices: Record<string, readonly string[]> = {
    'dm-4': ['dm-2'],
    'dm-2': ['dm-0', 'dm-1'],
    'dm-0': ['md0'],
    'dm-1': ['md0'],
    md0: ['sda1', 'cciss!c0d0'],
    sda1: [],
  };
  for (const [name, slaves] of Object.entries(devices)) {
    mkdirSync(join(folders.sys_block, name), { recursive: true });
    if (slaves.length > 0) mkdirSync(join(folders.sys_block, name, 'slaves'));
    for (const slave of slaves) symlinkSync(`../../${slave}`, join(folders.sys_block, name, 'slaves', slave));
  }
  mkdirSync(join(folders.dev, 'vg0'), { recursive: true });
  mkdirSync(join(folders.dev, 'cciss'));
  for (const name of ['dm-4', 'sda1', 'cciss/c0d0', 'loop0']) writeFileSync(join(folders.dev, name), '');
  symlinkSync('../dm-4', join(folders.dev, 'vg0/xen01'));
});
afterEach(() => rmSync(root, { recursive: true }));

describe('the disks below a volume', () => {
  it('are the lowest devices, each once', async () => {
    expect((await disksBelow(join(folders.dev, 'vg0/xen01'), folders)).sort()).toEqual([
      'cciss!c0d0',
      'sda1',
    ]);
  });

  it('are none of what is not mapped, and of what is not there', async () => {
    expect(await disksBelow(join(folders.dev, 'loop0'), folders)).toEqual([]);
    expect(await disksBelow(join(folders.dev, 'vg0/xen02'), folders)).toEqual([]);
  });

  it('are flushed by their device nodes; one that cannot be is told', async () => {
    await flushDisks('xen01: lvcreate', ['cciss!c0d0', 'sda1'], folders);
    await expect(flushDisks('xen01: lvcreate', ['sda1', 'sdz'], folders)).rejects.toMatchObject({
      code: 'program_failed',
      message: expect.stringMatching(/^xen01: lvcreate was done, but \S+\/sdz cannot be flushed \(ENOENT: /),
    });
  });
});
