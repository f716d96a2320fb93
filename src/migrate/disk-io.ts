import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, open, readFile, stat } from 'node:fs/promises';
import { AgentError } from '../core/errors.ts';
import type { Runner } from '../core/runner.ts';
import { BLOCK_BYTES } from './wire.ts';

const { O_RDONLY, O_RDWR, O_EXCL } = constants;
/** Written data is brought to the disk whenever it has come to this: dom0 has little memory. */
const SYNC_BYTES = 64 * 1024 * 1024;
const DROP_TIMEOUT_MS = 120_000;
const ZEROS = Buffer.alloc(BLOCK_BYTES);

/** Whether a piece of at most {@link BLOCK_BYTES} is nothing but zeros. */
export const isZero = (block: Buffer): boolean => block.equals(ZEROS.subarray(0, block.length));

/** Does something with a disk; what the kernel refuses is told with its words. Errors: `disks_in_use`, `program_failed`. */
async function withDisk<T>(path: string, flags: number, work: (disk: FileHandle) => Promise<T>): Promise<T> {
  let disk: FileHandle | undefined;
  try {
    // Of a volume, the kernel lets nobody mount it meanwhile (open(2), O_EXCL).
    disk = await open(path, flags | O_EXCL);
    return await work(disk);
  } catch (error) {
    const { code, syscall, message } = error as NodeJS.ErrnoException;
    if (error instanceof AgentError || syscall === undefined) throw error;
    const kind = code === 'EBUSY' ? 'disks_in_use' : 'program_failed';
    throw new AgentError(kind, `${path} cannot be used: ${message}.`, { cause: error });
  } finally {
    await disk?.close();
  }
}

/** The sectors that were written to a block device since it was made: a field of its statistics in sysfs (kernel, block/stat). */
const SECTORS_WRITTEN = 6;

/** A word that is another one after anything was written to a disk: a count for a volume, a time for an image file. */
export async function writeMark(path: string): Promise<string> {
  const there = await stat(path, { bigint: true });
  if (!there.isBlockDevice()) return `changed at ${there.mtimeNs}`;
  const [major, minor] = [
    (there.rdev >> 8n) & 0xfffn,
    (there.rdev & 0xffn) | ((there.rdev >> 12n) & 0xfff00n),
  ];
  const counters = await readFile(`/sys/dev/block/${major}:${minor}/stat`, 'utf8');
  return `${counters.trim().split(/\s+/)[SECTORS_WRITTEN]} sectors written`;
}

/** Reads exactly so many bytes; fewer where the disk ends. */
async function readAt(disk: FileHandle, into: Buffer, at: number): Promise<Buffer> {
  let length = 0;
  while (length < into.length) {
    const { bytesRead } = await disk.read(into, length, into.length - length, at + length);
    if (bytesRead === 0) break;
    length += bytesRead;
  }
  return into.subarray(0, length);
}

/**
 * Reads a disk of this size block by block. A block stays what it is until `onBlock` has ended for the next one: what it
 * returns is waited for only when that has been read.
 */
export function readDisk(
  path: string,
  size_bytes: number,
  onBlock: (block: Buffer, at: number) => Promise<unknown> | undefined,
): Promise<void> {
  return withDisk(path, O_RDONLY, async (disk) => {
    const buffers = [Buffer.alloc(BLOCK_BYTES), Buffer.alloc(BLOCK_BYTES)] as const;
    let before: Promise<unknown> | undefined;
    for (let at = 0, i = 0; at < size_bytes; at += BLOCK_BYTES, i = 1 - i) {
      const want = Math.min(BLOCK_BYTES, size_bytes - at);
      const block = await readAt(disk, buffers[i as 0 | 1].subarray(0, want), at);
      await before;
      if (block.length < want) {
        throw new AgentError(
          'program_failed',
          `${path} ended at byte ${at + block.length} of ${size_bytes}.`,
        );
      }
      before = onBlock(block, at);
      // It is told when it is waited for.
      before?.catch(() => undefined);
    }
    await before;
  });
}

/** Puts bytes onto a disk, one piece behind the other. */
export interface DiskWriter {
  data(bytes: Buffer): Promise<void>;
  /** Zeros are written where something else is, and nowhere else: what takes no room goes on taking none. */
  zeros(count: number): Promise<void>;
}

/** Writes a disk; everything is on it when this returns. */
export function writeDisk(path: string, fill: (writer: DiskWriter) => Promise<void>): Promise<void> {
  return withDisk(path, O_RDWR, async (disk) => {
    const there = Buffer.alloc(BLOCK_BYTES);
    let at = 0;
    let unsynced = 0;
    async function put(bytes: Buffer, to: number): Promise<void> {
      for (let done = 0; done < bytes.length; ) {
        done += (await disk.write(bytes, done, bytes.length - done, to + done)).bytesWritten;
      }
      unsynced += bytes.length;
      if (unsynced < SYNC_BYTES) return;
      await disk.datasync();
      unsynced = 0;
    }
    await fill({
      async data(bytes) {
        await put(bytes, at);
        at += bytes.length;
      },
      async zeros(count) {
        for (const end = at + count; at < end; ) {
          const want = Math.min(BLOCK_BYTES, end - at);
          const found = await readAt(disk, there.subarray(0, want), at);
          if (found.length < want || !isZero(found)) await put(ZEROS.subarray(0, want), at);
          at += want;
        }
      },
    });
    await disk.sync();
  });
}

/**
 * Reads a disk back, from the disk and not from memory (dd, "nocache"), and gives the SHA-256 of its first bytes.
 *
 * @param size `sum_bytes` are summed up; what is behind them, up to `disk_bytes`, must be zeros
 * @throws AgentError program_failed
 */
export async function sumOfDisk(
  runner: Runner,
  path: string,
  { sum_bytes, disk_bytes }: { readonly sum_bytes: number; readonly disk_bytes: number },
  onBytes: (bytes: number) => void,
): Promise<string> {
  const args = [`if=${path}`, 'iflag=nocache', 'count=0', 'status=none'];
  await runner.check({ label: 'dd iflag=nocache', program: 'dd', args, timeout_ms: DROP_TIMEOUT_MS });
  const hash = createHash('sha256');
  await readDisk(path, disk_bytes, (block, at) => {
    const summed = block.subarray(0, Math.max(0, sum_bytes - at));
    hash.update(summed);
    if (!isZero(block.subarray(summed.length))) {
      throw new AgentError('program_failed', `${path} is not empty behind byte ${sum_bytes}.`);
    }
    onBytes(at + block.length);
    return undefined;
  });
  return hash.digest('hex');
}
