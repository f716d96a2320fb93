const SECTORS_READ_FIELD = 2;
const SECTORS_WRITTEN_FIELD = 6;

/** Reads a counter file of sysfs, `84570\n`; undefined where it holds anything but a whole number. */
function parseCounter(text: string): number | undefined {
  return /^[0-9]{1,20}\n?$/.test(text) ? Number(text) : undefined;
}

/** Adds up xen-blkback's `rd_sect` and `wr_sect` (512-byte sectors); undefined where either is not a number. */
export function parseVbdSectors(rd_sect: string, wr_sect: string): number | undefined {
  const read = parseCounter(rd_sect);
  const written = parseCounter(wr_sect);
  return read === undefined || written === undefined ? undefined : read + written;
}

/** Adds up the sectors read and written of a block device's `stat` (Documentation/block/stat). */
export function parseBlockStat(text: string): number | undefined {
  const fields = text.trim().split(/\s+/);
  return parseVbdSectors(fields[SECTORS_READ_FIELD] ?? '', fields[SECTORS_WRITTEN_FIELD] ?? '');
}

/** Reads xen-blkback's `physical_device`, `fe:1a` in hexadecimal, as /sys/dev/block has it: `254:26`; undefined where it is none. */
export function parsePhysicalDevice(text: string): string | undefined {
  const [, major, minor] = /^([0-9a-f]{1,8}):([0-9a-f]{1,8})\n?$/.exec(text) ?? [];
  if (major === undefined || minor === undefined) return undefined;
  return `${Number.parseInt(major, 16)}:${Number.parseInt(minor, 16)}`;
}

/**
 * Reads device mapper's name of a logical volume, `vg0-xen01`, in which hyphens of the names are doubled (lvm(8), "VALID NAMES").
 *
 * @returns the volume group and the volume, or undefined where the name is not of that form
 */
export function parseVolumeName(text: string): { volgroup: string; volume: string } | undefined {
  const [volgroup = '', volume = '', ...more] = text.replace(/\n$/, '').replaceAll('--', '\0').split('-');
  if (volgroup === '' || volume === '' || more.length > 0 || /\n./.test(text)) return undefined;
  const single = (name: string) => name.replaceAll('\0', '-');
  return { volgroup: single(volgroup), volume: single(volume) };
}
