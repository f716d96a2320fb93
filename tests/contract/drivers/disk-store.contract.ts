import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { DiskStore, ImageType } from '../../../src/core/ports.ts';
import { parseVpsId, type VpsId } from '../../../src/core/vps.ts';
import { createDiskFiles } from '../../../src/drivers/disk-files.ts';
import { createLvm } from '../../../src/drivers/lvm.ts';
import type { DriverNode } from './driver-node.ts';

const MIB = 1024 * 1024;
const vps = parseVpsId('xen91') as VpsId;
const neighbour = parseVpsId('xen910') as VpsId;

/** What every {@link DiskStore} must do on a node; `lvm-thin` are volumes on a node whose configuration has a thin pool. */
export function describeDiskStore(
  name: string,
  kind: ImageType | 'lvm-thin',
  open: () => Promise<DriverNode>,
): void {
  const type = kind === 'vbd' ? 'vbd' : 'lvm';
  describe(`${kind} disks on ${name}`, () => {
    let node: DriverNode;
    let disks: DiskStore;
    beforeAll(async () => {
      node = await open();
      disks = type === 'lvm' ? createLvm(node) : createDiskFiles(node);
    });
    afterEach(async () => {
      await disks.remove(vps);
      await disks.remove(neighbour);
    });
    afterAll(() => node.cleanup());

    it('are not there at first, and removing what is not there is fine', async () => {
      await disks.remove(vps);
      expect(await disks.find(vps)).toEqual({ type, root: undefined, swap: undefined });
    });

    it('are made in the sizes told before, found, and removed without their neighbours', async () => {
      await disks.create(neighbour, { root_mb: 8, swap_mb: 8 });
      await disks.create(vps, { root_mb: 13, swap_mb: 5 });
      const { root, swap } = await disks.find(vps);
      expect(root).toEqual({
        path: expect.stringContaining('xen91'),
        size_bytes: await disks.roundedSize_bytes(13),
        in_use: false,
      });
      expect(swap?.size_bytes).toBe(await disks.roundedSize_bytes(5));
      expect(statSync(root?.path ?? '').isFile() || statSync(root?.path ?? '').isBlockDevice()).toBe(true);
      await disks.remove(vps);
      expect(await disks.find(vps)).toMatchObject({ root: undefined, swap: undefined });
      expect((await disks.find(neighbour)).root).toBeDefined();
    });

    it('take away room, and give it back', async () => {
      // A machine's file system is used by others, too; a volume group is not.
      const noise_mib = type === 'lvm' ? 0 : 64;
      const before = await disks.free_mib();
      await disks.create(vps, { root_mb: 256, swap_mb: 256 });
      expect(Math.abs(before - (await disks.free_mib()) - 512)).toBeLessThanOrEqual(noise_mib);
      await disks.remove(vps);
      expect(Math.abs(before - (await disks.free_mib()))).toBeLessThanOrEqual(noise_mib);
    });

    it('that are there are kept when the others are made', async () => {
      await disks.create(vps, { root_mb: 8, swap_mb: 8 });
      const before = await disks.find(vps);
      await disks.create(vps, { root_mb: 8, swap_mb: 8 });
      expect(await disks.find(vps)).toEqual(before);
    });

    it('are not made, neither of the two, where there is no room', async () => {
      const free_mb = await disks.free_mib();
      await expect(disks.create(vps, { root_mb: 8, swap_mb: free_mb + 1024 })).rejects.toMatchObject({
        code: 'no_space',
        message: expect.stringMatching(/^xen91: its disks need \d+ MB, and .* \d+ MB free\.$/),
      });
      await expect(disks.create(vps, { root_mb: 64 * MIB, swap_mb: 8 })).rejects.toMatchObject({
        code: 'no_space',
      });
      expect(await disks.find(vps)).toMatchObject({ root: undefined, swap: undefined });
    });

    it('are rounded up, never down', async () => {
      for (const size_mb of [1, 4, 5, 1000]) {
        const rounded = await disks.roundedSize_bytes(size_mb);
        expect(rounded).toBeGreaterThanOrEqual(size_mb * MIB);
        expect(rounded - size_mb * MIB).toBeLessThan(64 * MIB);
      }
    });

    it('are in a place that is known again', async () => {
      await disks.create(vps, { root_mb: 8, swap_mb: 8 });
      const known = await disks.identify();
      expect(known).toMatch(/^[A-Za-z0-9-]{36,40}$/);
      await disks.remove(vps);
      expect(await disks.identify()).toBe(known);
    });

    describe('and the root disks beside them', () => {
      const sizes = { root_mb: 13, swap_mb: 5 };

      it('are made as large as the root disk, and found by their roles', async () => {
        await disks.create(vps, sizes);
        const made = await disks.createNew(vps);
        const { current, new: fresh, ...others } = await disks.roots(vps);
        expect(others).toEqual({});
        expect(fresh).toMatchObject({ ...made, size_bytes: current?.size_bytes, in_use: false });
        expect(fresh?.identity).not.toBe(current?.identity);
        expect(made.path).toContain('xen91.new');
        expect((await disks.find(vps)).root?.path).toBe(current?.path);
        expect(await disks.withRoot('new')).toEqual([vps]);
        expect(await disks.withRoot('old')).toEqual([]);
        await expect(disks.createNew(vps)).rejects.toMatchObject({ code: 'disks_exist' });
        await disks.removeRoot(vps, 'new');
        await disks.removeRoot(vps, 'new');
        const { current: only, ...none } = await disks.roots(vps);
        expect(none).toEqual({});
        expect(only?.frees_room).toBe(true);
      });

      it('keep their identity and what is on them when their names change, and go with the VPS', async () => {
        await disks.create(vps, sizes);
        const { path } = await disks.createNew(vps);
        writeFileSync(path, 'the new one', { flag: 'r+' });
        const before = await disks.roots(vps);
        await disks.renameRoot(vps, 'current', 'old');
        expect((await disks.find(vps)).root).toBeUndefined();
        await disks.renameRoot(vps, 'new', 'current');
        await disks.flush(vps);
        const after = await disks.roots(vps);
        expect([after.current?.identity, after.old?.identity]).toEqual([
          before.new?.identity,
          before.current?.identity,
        ]);
        await disks.mendNames(vps);
        const start = readFileSync(after.current?.path ?? '').subarray(0, 11);
        expect(start.toString()).toBe('the new one');
        await disks.createNew(vps);
        const { new: newest } = await disks.roots(vps);
        expect([before.new?.identity, before.current?.identity, undefined]).not.toContain(newest?.identity);
        await expect(disks.renameRoot(vps, 'new', 'current')).rejects.toThrow(/was not renamed/);
        await disks.remove(vps);
        expect(await disks.roots(vps)).toEqual({});
      });

      it('serve a new system where the old one was, and not while something has that open', async () => {
        await disks.create(vps, sizes);
        const { path } = await disks.createNew(vps);
        writeFileSync(path, 'the old one', { flag: 'r+' });
        await disks.renameRoot(vps, 'new', 'old');
        const { old } = await disks.roots(vps);
        const losetup = (...args: string[]) =>
          node.runner.check({ label: 'losetup', program: 'losetup', args, timeout_ms: 30_000 });
        const loop = (await losetup('--find', '--show', '--', old?.path ?? '')).stdout.trim();
        try {
          await expect(disks.reuseOld(vps)).rejects.toMatchObject({ code: 'disks_in_use' });
        } finally {
          await losetup('--detach', loop);
        }
        expect((await disks.roots(vps)).old?.identity).toBe(old?.identity);
        await disks.reuseOld(vps);
        const { current, new: fresh, ...others } = await disks.roots(vps);
        expect([current === undefined, fresh?.identity, others]).toEqual([false, old?.identity, {}]);
        expect(
          readFileSync(fresh?.path ?? '')
            .subarray(0, 11)
            .toString(),
        ).toBe('the old one');
      });

      it('are blank or not', async () => {
        await disks.create(vps, sizes);
        const { root } = await disks.find(vps);
        if (!root) throw new Error('there is no root disk');
        expect(await disks.hasContent(root)).toBe(false);
        const args = ['-q', '-F', root.path];
        await node.runner.check({ label: 'mkfs', program: 'mkfs.ext4', args, timeout_ms: 60_000 });
        expect(await disks.hasContent(root)).toBe(true);
      });

      it('are not made where there is no root disk', async () => {
        await expect(disks.createNew(vps)).rejects.toMatchObject({ code: 'disks_missing' });
      });
    });
  });
}
