import { fsSize, mem } from 'systeminformation';

const MIB = 1024 * 1024;

/** The node's own memory and file system, in MiB. */
export interface HostFigures {
  readonly memory_total_mib: number;
  readonly memory_free_mib: number;
  readonly disk_size_mib: number;
  readonly disk_free_mib: number;
}

/** Reads dom0's own memory, and the room of the file system that holds `folder`. */
export async function hostFigures(folder: string): Promise<HostFigures> {
  const [memory, systems] = await Promise.all([mem(), fsSize()]);
  const holds = (mount: string) => mount === '/' || folder === mount || folder.startsWith(`${mount}/`);
  const [holder] = systems
    .filter(({ mount }) => holds(mount))
    .sort((one, other) => other.mount.length - one.mount.length);
  return {
    memory_total_mib: Math.floor(memory.total / MIB),
    memory_free_mib: Math.floor(memory.available / MIB),
    disk_size_mib: Math.floor((holder?.size ?? 0) / MIB),
    disk_free_mib: Math.floor((holder?.available ?? 0) / MIB),
  };
}

/** {@link HostFigures} as a line for a log. */
export function describeHost(figures: HostFigures): string {
  const { memory_free_mib, memory_total_mib, disk_free_mib, disk_size_mib } = figures;
  return `the node has ${memory_free_mib} of ${memory_total_mib} MiB memory and ${disk_free_mib} of ${disk_size_mib} MiB disk left`;
}
