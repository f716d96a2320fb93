import type { VpsId } from './vps.ts';

/** Where a VPS's disks live: `lvm` volumes in the volume group, or `vbd` image files. */
export type ImageType = 'lvm' | 'vbd';

/** A disk that exists. */
export interface Disk {
  readonly path: string;
  readonly size_bytes: number;
  /** Something holds it open: a guest, a mount, a check. */
  readonly in_use: boolean;
}

/** What is there of a VPS's two disks. */
export interface VpsDisks {
  readonly type: ImageType;
  readonly root: Disk | undefined;
  readonly swap: Disk | undefined;
}

/**
 * What a VPS's root disk is called: `current` xenNN, `new` xenNN.new (a system that is being made), `old` xenNN.old (the
 * system before), `passing` xenNN.passing (on the way from one name to another).
 */
export type RootRole = 'current' | 'new' | 'old' | 'passing';

/**
 * A root disk with what it is known by whatever its name, and nothing else ever is: a volume's UUID, the birth of an image file's
 * inode. A copy is another disk. Undefined where the file system tells no birth.
 */
export interface RootDisk extends Disk {
  readonly identity: string | undefined;
  /** Whether its removal gives room for new disks: not where it has room of its own, and they are made in a thin pool. */
  readonly frees_room: boolean;
  /** Whether that room comes only when the disk was overwritten (wipe_removed_disks). */
  readonly is_wiped: boolean;
}

/** A whole system on a read-only thin volume that no guest has, for new root disks to be copies of. */
export interface BaseVolume {
  readonly name: string;
  readonly size_bytes: number;
}

/** The volumes of bases in the thin pool. A name is `KEY.CONTENT`. Errors: `no_space`, `no_volume_group`, `program_*`. */
export interface BaseVolumes {
  /** Those that are whole. */
  list(): Promise<readonly BaseVolume[]>;
  /** Names of those that are being made, or that nobody finished. */
  unfinished(): Promise<readonly string[]>;
  /**
   * Makes a volume, which is there when `fill` has put a file system onto the disk of that path. What an earlier attempt left
   * goes first; nothing stays where it fails. One caller at a time for a name. Error: `no_space`, too, where there is not
   * `spare_bytes` more room.
   */
  make(
    name: string,
    size: { size_bytes: number; spare_bytes: number },
    fill: (path: string) => Promise<unknown>,
  ): Promise<BaseVolume>;
  /** Deletes a whole volume; gone already is fine, and copies of it stay as they are. */
  remove(name: string): Promise<void>;
  /** Deletes what was left of the making of one; nothing left is fine. */
  removeUnfinished(name: string): Promise<void>;
}

/** A disk that was removed and still holds what was written to it. */
export interface RemovedDisk {
  readonly name: string;
  readonly size_bytes: number;
}

/** The removed disks that wait for being overwritten (wipe_removed_disks). Errors: `no_volume_group`, `program_*`. */
export interface RemovedDisks {
  list(): Promise<readonly RemovedDisk[]>;
  /** Whether a process said, since the last `list`, that one waits, or that its room is wanted. Asks nobody. */
  isWaiting(): Promise<boolean>;
  /** Overwrites one with zeroes and takes it away, bit by bit: after one that was cut off, the next call goes on with the rest. */
  wipe(name: string, signal: AbortSignal): Promise<void>;
}

/** The root disks that are there. */
export type RootDisks = Readonly<Partial<Record<RootRole, RootDisk>>>;

/** One kind of disk. Errors: `no_space`, `no_volume_group`, `store_away`, `disks_in_use`, `program_*`. */
export interface DiskStore {
  readonly type: ImageType;
  /**
   * What the place of these disks is known by, which is marked and noted where it is used for the first time.
   *
   * @throws AgentError store_away where it is not there, or not whole
   */
  identify(): Promise<string>;
  /** Where what a name leads to is not what it is the name of, after a rename that was cut off: puts that right. */
  mendNames(vps: VpsId): Promise<void>;
  find(vps: VpsId): Promise<VpsDisks>;
  /** The sizes that `create` would make of these requests: a volume group rounds up to whole extents. */
  roundedSize_bytes(size_mb: number): Promise<number>;
  /** Makes the disks that are missing; makes none where one cannot be made. */
  create(vps: VpsId, size: { root_mb: number; swap_mb: number }): Promise<void>;
  /** Deletes both disks, and root disks of every other role; those already gone are fine. `onRemoved` hears of each as it goes. */
  remove(vps: VpsId, onRemoved?: (path: string) => void): Promise<void>;
  /** Room for more disks, in MiB. */
  free_mib(): Promise<number>;
  /** Room that is on its way: that of removed disks which are being overwritten, in MiB. */
  waiting_mib(): Promise<number>;
  /** Has removed disks overwritten at full speed from now on. Returns when this much room is there, as in "in about 40 s". */
  hurry(needed_bytes: number): Promise<string>;
  /** The VPS's root disks in all roles. */
  roots(vps: VpsId): Promise<RootDisks>;
  /**
   * Makes the root disk `new`, as large as the current one: empty, or a copy of a base that is no larger. Errors:
   * `disks_missing`, `disks_exist`.
   */
  createNew(vps: VpsId, base?: BaseVolume): Promise<Disk>;
  /** Gives a root disk another role that none has. Before `flush`, a power cut may take that back. */
  renameRoot(vps: VpsId, from: RootRole, to: RootRole): Promise<void>;
  /**
   * Makes the old root disk that of a system to be made, with what is on it, and has that on the node's own disks: from then on it
   * may be written to. Error: `disks_in_use` where something has it open, or hangs on it.
   */
  reuseOld(vps: VpsId): Promise<void>;
  /** Has the names of the VPS's root disks on the node's own disks. */
  flush(vps: VpsId): Promise<void>;
  /** Deletes a root disk; gone already is fine. */
  removeRoot(vps: VpsId, role: RootRole): Promise<void>;
  /** The VPSes that have a root disk in this role. */
  withRoot(role: RootRole): Promise<readonly VpsId[]>;
  /** Whether there is anything on a disk that a program can name: a file system, swap space, a partition table. */
  hasContent(disk: Disk): Promise<boolean>;
}
