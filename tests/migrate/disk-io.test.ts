import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createRunner } from '../../src/drivers/run.ts';
import { readDisk, sumOfDisk, writeDisk } from '../../src/migrate/disk-io.ts';

const MIB = 1024 * 1024;
const runner = createRunner({ path: '/usr/bin:/bin' });
const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');

let folder: string;
let disk: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'dtc-xen-disk-'));
  disk = join(folder, 'disk');
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const write = () =>
  writeDisk(disk, async ({ data, zeros }) => {
    await data(Buffer.from('beginning'));
    await zeros(2 * MIB);
    await data(Buffer.from('end'));
    await zeros(3 * MIB - 2 * MIB - 12);
  });
const WRITTEN = Buffer.concat([
  Buffer.from('beginning'),
  Buffer.alloc(2 * MIB),
  Buffer.from('end'),
  Buffer.alloc(MIB - 12),
]);
const sum = (sum_bytes: number) =>
  sumOfDisk(runner, disk, { sum_bytes, disk_bytes: 3 * MIB }, () => undefined);

describe('a disk', () => {
  it('that was somebody else’s is written over, with zeros too', async () => {
    writeFileSync(disk, Buffer.alloc(3 * MIB, 'another customer'));
    await write();
    expect(readFileSync(disk).equals(WRITTEN)).toBe(true);
  });

  it('that takes no room goes on taking none where zeros come', async () => {
    writeFileSync(disk, '');
    truncateSync(disk, 3 * MIB);
    await write();
    expect(readFileSync(disk).equals(WRITTEN)).toBe(true);
    expect(statSync(disk).blocks * 512).toBeLessThan(MIB);
  });

  it('is read back and summed up; what is behind the sum must be zeros', async () => {
    expect(await sum(3 * MIB)).toBe(sha256(WRITTEN));
    expect(await sum(2 * MIB + 12)).toBe(sha256(WRITTEN.subarray(0, 2 * MIB + 12)));
    await expect(sum(2 * MIB + 11)).rejects.toThrow(`is not empty behind byte ${2 * MIB + 11}`);
  });

  it('that ends too early, or is not there, is told by its name', async () => {
    await expect(readDisk(disk, 4 * MIB, () => undefined)).rejects.toThrow(
      `${disk} ended at byte ${3 * MIB} of ${4 * MIB}.`,
    );
    await expect(readDisk(`${disk}2`, 1, () => undefined)).rejects.toMatchObject({
      code: 'program_failed',
      message: expect.stringContaining(`${disk}2 cannot be used: ENOENT`),
    });
  });

  it('is read while the block before is on its way, and tells what became of that', async () => {
    const seen: number[] = [];
    await readDisk(disk, 600_000, async (block, at) => void seen.push(at, block.length));
    expect(seen).toEqual([0, 262_144, 262_144, 262_144, 524_288, 75_712]);
    const lost = readDisk(disk, MIB, () => Promise.reject(new Error('the line is gone')));
    await expect(lost).rejects.toThrow('the line is gone');
  });
});
