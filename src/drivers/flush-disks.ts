// LVM writes its metadata past the kernel's cache, but never flushes the disk's own (io_submit with O_DIRECT, no fsync): where
// the power fails, a volume that was renamed a minute ago may have its old name again.
import { open, readdir, realpath } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { AgentError } from '../core/errors.ts';
import { unlessMissing } from './missing.ts';

/** Where the kernel tells what it knows of devices; for tests, another place. */
export interface DeviceFolders {
  /** [/sys/class/block] */
  readonly sys_block: string;
  /** [/dev] */
  readonly dev: string;
}

const KERNELS: DeviceFolders = { sys_block: '/sys/class/block', dev: '/dev' };

/** The disks or partitions that a mapped device lies on; none where it is not mapped, or not there. */
export async function disksBelow(path: string, { sys_block }: DeviceFolders = KERNELS): Promise<string[]> {
  const slaves = (name: string) => unlessMissing(readdir(join(sys_block, name, 'slaves')), []);
  async function lowest(name: string): Promise<string[]> {
    const below = await slaves(name);
    return below.length === 0 ? [name] : (await Promise.all(below.map(lowest))).flat();
  }
  const device = await unlessMissing(realpath(path), undefined);
  const below = device === undefined ? [] : await slaves(basename(device));
  return [...new Set((await Promise.all(below.map(lowest))).flat())];
}

/**
 * Brings what is in the disks' own caches onto them (fsync(2) of a block device), after LVM's `change` of a volume.
 *
 * @throws AgentError program_failed
 */
export async function flushDisks(
  change: string,
  disks: readonly string[],
  { dev }: DeviceFolders = KERNELS,
): Promise<void> {
  await Promise.all(
    disks.map(async (name) => {
      const path = join(dev, name.replaceAll('!', '/'));
      try {
        const disk = await open(path);
        await disk.sync().finally(() => disk.close());
      } catch (error) {
        const message = `${change} was done, but ${path} cannot be flushed (${(error as Error).message}): see dmesg for what is wrong with it, and try again.`;
        throw new AgentError('program_failed', message, { cause: error });
      }
    }),
  );
}
