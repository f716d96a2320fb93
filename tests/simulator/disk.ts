// Guests' disks, and what is on them, whatever they are called.

/** An installed system: what a customer's data is part of. */
export interface System {
  /** The job that made it; `first-xen01`: it was there before the story. */
  readonly made_by: string;
  /** What its configuration gives it in MB: how a configuration is known to be this system's. */
  readonly memory_mb: number;
  /** When it was begun. */
  readonly made_ms: number;
  whole: boolean;
  /** A guest has run on it, or it was told as installed: from then on it may only go by an order. */
  precious: boolean;
}

/** Something that has a disk open. */
export interface DiskUser {
  readonly what: 'guest' | 'mount' | 'program';
  /** `domain 3`, `script fsck-disk`. */
  readonly name: string;
  /** Since when it was under way, which may be before it opened the disk. */
  readonly since_ms: number;
  /** A guest that an admin has started beside work that was under way, which nothing of ours is asked about. */
  is_admins_own?: boolean;
}

/** A disk of a guest: a volume or an image file. */
export class Disk {
  readonly kind: 'root' | 'swap';
  readonly vps: string;
  size_bytes: number;
  readonly made_ms: number;
  system: System | undefined;
  /** Counts every change: saved memory that knows an older one must not meet this disk. */
  version = 0;
  changed_by = '';
  /** When it got the name that it has as an old system. */
  old_since_ms: number | undefined;
  readonly users = new Set<DiskUser>();
  constructor(kind: 'root' | 'swap', vps: string, size_bytes: number, made_ms: number) {
    this.kind = kind;
    this.vps = vps;
    this.size_bytes = size_bytes;
    this.made_ms = made_ms;
  }

  changedBy(whom: string): void {
    this.version += 1;
    this.changed_by = whom;
  }

  get told(): string {
    return `${this.kind} disk of ${this.vps} (${this.system ? `system ${this.system.made_by}` : 'empty'})`;
  }
}
