import { closeSync, fsyncSync, openSync, readSync, writeSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { DiskStore, RemovedDisks } from '../../../src/core/ports.ts';
import { parseVpsId, type VpsId } from '../../../src/core/vps.ts';
import { createLvm } from '../../../src/drivers/lvm.ts';
import { createLvmRemoved } from '../../../src/drivers/lvm-removed.ts';
import type { DriverNode } from './driver-node.ts';

const vps = parseVpsId('xen93') as VpsId;
const SIZES = { root_mb: 80, swap_mb: 8 };
const SECRET = 'what the last customer wrote';
const MIB = 1024 * 1024;
const PART_BYTES = 32 * MIB;
/** Behind what LVM itself wipes at a new volume's front; and in the last part that is wiped on its own. */
const PLACES = [32 * 1024, 2 * PART_BYTES + 32 * 1024];
const CLEAN = PLACES.map(() => '\0'.repeat(SECRET.length));

function write(path: string): void {
  const disk = openSync(path, 'r+');
  for (const place of PLACES) writeSync(disk, SECRET, place);
  fsyncSync(disk);
  closeSync(disk);
}

/** What is in each of the places. */
function read(path: string): string[] {
  const disk = openSync(path, 'r');
  const found = PLACES.map((place) => {
    const text = Buffer.alloc(SECRET.length);
    readSync(disk, text, 0, text.length, place);
    return text.toString();
  });
  closeSync(disk);
  return found;
}

/** What removed volumes of a node must do where they are to be wiped. */
export function describeRemovedDisks(name: string, open: () => Promise<DriverNode>): void {
  describe(`removed disks on ${name}`, () => {
    const never = new AbortController().signal;
    let node: DriverNode;
    let removed: RemovedDisks;
    let kept: DiskStore;
    let wiped: DiskStore;
    let told = 0;
    beforeAll(async () => {
      node = await open();
      const { runner, config } = node;
      const wiping = { ...config, wipe_removed_disks: 'yes' as const };
      kept = createLvm({ runner, config });
      wiped = createLvm({ runner, config: wiping, onRemoved: () => (told += 1) });
      removed = createLvmRemoved({ runner, config: wiping, rest: 0, part_bytes: PART_BYTES });
    });
    const wipeAll = async () => {
      for (const { name } of await removed.list()) await removed.wipe(name, never);
    };
    afterEach(async () => {
      await kept.remove(vps);
      await wipeAll();
    });
    afterAll(() => node.cleanup());

    const rootPath = async () => (await kept.find(vps)).root?.path ?? '';
    const made = async () => {
      await kept.create(vps, SIZES);
      return rootPath();
    };

    it('hand on what was written to them, where they are not wiped', async () => {
      write(await made());
      await kept.remove(vps);
      expect(await removed.list()).toEqual([]);
      expect(read(await made())).toContain(SECRET);
    });

    it('are nobody’s disks any more, and give their room back when they are overwritten', async () => {
      const before = await kept.free_mib();
      write(await made());
      told = 0;
      await wiped.remove(vps);
      expect(told).toBe(2);
      expect(await kept.find(vps)).toMatchObject({ root: undefined, swap: undefined });
      expect(await kept.roots(vps)).toEqual({});
      const waiting = await removed.list();
      expect(waiting.map(({ name }) => name.replace(/[^.]*$/, ''))).toEqual([
        'dtc-xen-removed.xen93.',
        'dtc-xen-removed.xen93swap.',
      ]);
      expect(before - (await kept.free_mib())).toBe(88);
      expect(await kept.waiting_mib()).toBe(88);
      await expect(kept.create(vps, { root_mb: before, swap_mb: 4 })).rejects.toMatchObject({
        code: 'no_space',
        message: expect.stringMatching(/ MB free, and 88 MB more when removed disks are overwritten\.$/),
      });
      await wipeAll();
      expect(await removed.list()).toEqual([]);
      expect(await kept.free_mib()).toBe(before);
      expect(read(await made())).toEqual(CLEAN);
    });

    it('have names of their own, though a VPS of the same name has gone before', async () => {
      await made();
      await wiped.remove(vps);
      await made();
      await wiped.remove(vps);
      expect(new Set((await removed.list()).map(({ name }) => name)).size).toBe(4);
    });

    it('that another program has open are not overwritten', async () => {
      await made();
      await wiped.remove(vps);
      const [disk] = await removed.list();
      const path = `${node.config.dev_dir}/${node.volume_group}/${disk?.name}`;
      const args = ['--find', '--show', '--', path];
      const call = (label: string, words: readonly string[]) =>
        node.runner.check({ label, program: 'losetup', args: words, timeout_ms: 30_000 });
      const loop = (await call('losetup', args)).stdout.trim();
      try {
        await expect(removed.wipe(disk?.name ?? '', never)).rejects.toMatchObject({ code: 'disks_in_use' });
      } finally {
        await call('losetup', ['--detach', loop]);
      }
      expect(await removed.list()).toHaveLength(2);
    });

    it('whose wiping was cut off are there still', async () => {
      await made();
      await wiped.remove(vps);
      const [disk] = await removed.list();
      await expect(removed.wipe(disk?.name ?? '', AbortSignal.abort())).rejects.toThrow(/abort/i);
      expect(await removed.list()).toHaveLength(2);
    });

    it('give back what is overwritten of them, though the rest is cut off; the next time goes on there', async () => {
      const before = await kept.free_mib();
      const path = await made();
      const args = ['-q', '-F', path];
      await node.runner.check({ label: 'mkfs', program: 'mkfs.ext4', args, timeout_ms: 60_000 });
      write(path);
      await wiped.remove(vps);
      const [root, swap] = await removed.list();
      const cut = new AbortController();
      const { runner } = node;
      const run: typeof runner.run = (command) => {
        if (command.program === 'lvreduce') cut.abort();
        return runner.run(command);
      };
      const config = { ...node.config, wipe_removed_disks: 'yes' as const };
      const options = { config, runner: { ...runner, run }, rest: 0, part_bytes: PART_BYTES };
      await expect(createLvmRemoved(options).wipe(root?.name ?? '', cut.signal)).rejects.toThrow(/abort/i);
      expect(await removed.list()).toEqual([{ ...root, size_bytes: 64 * MIB }, swap]);
      expect(before - (await kept.free_mib())).toBe(72);
      await wipeAll();
      expect(await kept.free_mib()).toBe(before);
      expect(read(await made())).toEqual(CLEAN);
    });

    it('are overwritten without rests where their room is wanted, and the refusal says when to come back', async () => {
      const before = await kept.free_mib();
      const create = () => wiped.create(vps, { root_mb: before - 16, swap_mb: 16 });
      await made();
      await wiped.remove(vps);
      expect(await removed.isWaiting()).toBe(true);
      told = 0;
      await expect(create()).rejects.toMatchObject({
        code: 'no_space',
        message: expect.stringMatching(
          / the room is there in .*: 88 MB .* full speed now\. Call again then\.$/,
        ),
      });
      expect(told).toBe(1);
      // With its rests, the first step alone would take days.
      const { runner, config } = node;
      const resting = createLvmRemoved({ runner, config, rest: 1e7, part_bytes: PART_BYTES });
      for (const { name } of await resting.list()) await resting.wipe(name, never);
      expect(await resting.list()).toEqual([]);
      expect([await removed.isWaiting(), await wiped.waiting_mib()]).toEqual([false, 0]);
      await create();
    });

    it('are no names of others: a disk of a VPS is refused', async () => {
      await made();
      await expect(removed.wipe('xen93', never)).rejects.toThrow(/not a volume that was removed/);
      expect((await kept.find(vps)).root).toBeDefined();
    });
  });
}
