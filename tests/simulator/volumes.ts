// The volume group. LVM notes each change past the kernel's cache but not past the disk's own: a power cut may take back the last
// ones, until something flushes the disk. What a name below /dev leads to is the device mapper's, which is told after the metadata.
import type { Chance } from './chance.ts';
import type { Disk } from './disk.ts';

const MIB = 1024 * 1024;
/** LVM's extent. */
export const EXTENT_BYTES = 4 * MIB;

/** A logical volume. */
export interface Volume {
  readonly uuid: string;
  readonly disk: Disk;
  readonly minor: number;
}

/** The one volume group, `vg0`, on the disk `sdb`. */
export class VolumeGroup {
  readonly name = 'vg0';
  readonly uuid: string;
  /** Whether its physical volume is there. */
  is_there = true;
  /** Whether another physical volume is missing, which none of the volumes here lies on: LVM then changes nothing. */
  lacks_disk = false;
  readonly capacity_bytes: number;
  names = new Map<string, Volume>();
  /** What /dev/vg0/NAME leads to. */
  mapped = new Map<string, Volume>();
  /** The metadata as it was after the last flush and each change since. */
  #history: Map<string, Volume>[] = [];
  #minor = 0;
  #number = 0;

  constructor(uuid: string, capacity_mib: number) {
    this.uuid = uuid;
    this.capacity_bytes = capacity_mib * MIB;
  }

  get free_bytes(): number {
    const taken = [...this.names.values()].reduce((sum, { disk }) => sum + disk.size_bytes, 0);
    return Math.max(0, this.capacity_bytes - taken);
  }

  make(disk: Disk): Volume {
    this.#minor += 1;
    this.#number += 1;
    return { disk, minor: this.#minor, uuid: `lv-${String(this.#number).padStart(4, '0')}` };
  }

  /** Writes the metadata anew. */
  commit(change: (names: Map<string, Volume>) => void): void {
    if (this.#history.length === 0) this.#history.push(new Map(this.names));
    change(this.names);
    this.#history.push(new Map(this.names));
  }

  flush(): void {
    this.#history = [];
  }

  /** The power fails, and the node boots. */
  crash(chance: Chance): void {
    if (this.#history.length > 0) this.names = new Map(chance.pick(this.#history));
    this.flush();
    this.mapped = new Map(this.names);
  }

  /** An orderly reboot. */
  reboot(): void {
    this.flush();
    this.mapped = new Map(this.names);
  }
}
