import { closeSync, fsyncSync, openSync, readFileSync, writeSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { BaseVolumes, DiskStore } from '../../../src/core/ports.ts';
import { parseVpsId, type VpsId } from '../../../src/core/vps.ts';
import { createLvm } from '../../../src/drivers/lvm.ts';
import { createLvmBases } from '../../../src/drivers/lvm-bases.ts';
import type { DriverNode } from './driver-node.ts';

const MIB = 1024 * 1024;
const NAME = 'contract-0123456789abcdef.fedcba9876543210';
const vps = parseVpsId('xen92') as VpsId;

/** Writes a text to the front of a disk, and has it there when this returns. */
async function mark(path: string, text: string): Promise<void> {
  const disk = openSync(path, 'r+');
  writeSync(disk, text);
  fsyncSync(disk);
  closeSync(disk);
}
const front = (path: string) => readFileSync(path).subarray(0, 4).toString();

/** What bases in the thin pool of a node must do, and root disks that are copies of them. */
export function describeBaseVolumes(name: string, open: () => Promise<DriverNode>): void {
  describe(`bases in a thin pool on ${name}`, () => {
    let node: DriverNode;
    let bases: BaseVolumes;
    let disks: DiskStore;
    beforeAll(async () => {
      node = await open();
      bases = createLvmBases(node);
      disks = createLvm(node);
    });
    afterEach(async () => {
      await disks.remove(vps);
      await bases.remove(NAME);
      await bases.removeUnfinished(NAME);
    });
    afterAll(() => node.cleanup());

    it('are there when they are whole, take room away, and go', async () => {
      const before = await disks.free_mib();
      const during: unknown[] = [];
      const made = await bases.make(NAME, { size_bytes: 61 * MIB, spare_bytes: 0 }, async () => {
        during.push(await bases.list(), await bases.unfinished());
      });
      expect(during).toEqual([[], [NAME]]);
      expect(made).toEqual({ name: NAME, size_bytes: 64 * MIB });
      expect([await bases.list(), await bases.unfinished()]).toEqual([[made], []]);
      expect(before - (await disks.free_mib())).toBe(64);
      await bases.remove(NAME);
      await bases.remove(NAME);
      expect(await bases.list()).toEqual([]);
      expect(await disks.free_mib()).toBe(before);
    });

    it('are not there where their making fails, or there is no room', async () => {
      const broken = bases.make(NAME, { size_bytes: 64 * MIB, spare_bytes: 0 }, () =>
        Promise.reject(new Error('the mirror is down')),
      );
      await expect(broken).rejects.toThrow('the mirror is down');
      const free_bytes = (await disks.free_mib()) * MIB;
      const beside = { size_bytes: 64 * MIB, spare_bytes: free_bytes };
      await expect(bases.make(NAME, beside, async () => undefined)).rejects.toMatchObject({
        code: 'no_space',
      });
      const large = bases.make(
        NAME,
        { size_bytes: 64 * 1024 * 1024 * MIB, spare_bytes: 0 },
        async () => undefined,
      );
      await expect(large).rejects.toMatchObject({ code: 'no_space' });
      expect([await bases.list(), await bases.unfinished()]).toEqual([[], []]);
    });

    it('are what a root disk begins as; each is independent of the other', async () => {
      const base = await bases.make(NAME, { size_bytes: 64 * MIB, spare_bytes: 0 }, (path) =>
        mark(path, 'base'),
      );
      await disks.create(vps, { root_mb: 100, swap_mb: 8 });
      const fresh = await disks.createNew(vps, base);
      expect(fresh.size_bytes).toBe(100 * MIB);
      expect(front(fresh.path)).toBe('base');
      await mark(fresh.path, 'mine');
      await bases.remove(NAME);
      expect(front(fresh.path)).toBe('mine');
      const { new: found } = await disks.roots(vps);
      expect(found).toMatchObject({ ...fresh, frees_room: true });
      await disks.removeRoot(vps, 'current');
      await disks.renameRoot(vps, 'new', 'current');
      const renamed = await disks.find(vps);
      expect(front(renamed.root?.path ?? '')).toBe('mine');
    });

    it('let a root disk be a copy that is no larger than they are', async () => {
      const base = await bases.make(NAME, { size_bytes: 100 * MIB, spare_bytes: 0 }, (path) =>
        mark(path, 'base'),
      );
      await disks.create(vps, { root_mb: 100, swap_mb: 8 });
      expect(front((await disks.createNew(vps, base)).path)).toBe('base');
      await expect(disks.createNew(vps, base)).rejects.toMatchObject({ code: 'disks_exist' });
      await bases.remove(NAME);
      await disks.removeRoot(vps, 'new');
      await expect(disks.createNew(vps, base)).rejects.toMatchObject({ code: 'program_failed' });
      const left = await disks.roots(vps);
      expect(left.new).toBeUndefined();
    });
  });
}
