// A file system, and what a power cut leaves of it: what was not synced is there or not, in any order that a file system may choose.
import type { Chance } from './chance.ts';
import type { Disk } from './disk.ts';

/** A file, a folder or a link. */
export interface Inode {
  readonly ino: number;
  readonly type: 'file' | 'folder' | 'link';
  mode: number;
  readonly birth_ms: number;
  mtime_ms: number;
  links: number;
  /** Descriptors that are open; a file without a name lives as long as there are some. */
  opened: number;
  /** A file's content, or where a link leads. */
  text: string;
  /** What of the content is on the disk; undefined: nothing. */
  synced: string | undefined;
  size_bytes: number;
  readonly entries: Map<string, Inode>;
  /** The image of a guest's disk. */
  disk: Disk | undefined;
}

interface Change {
  readonly folder: Inode;
  readonly name: string;
  readonly before: Inode | undefined;
  readonly after: Inode | undefined;
}

/** What one call did to names; it is on the disk as a whole, or not at all, and never before what it builds on. */
interface NameChange {
  readonly changes: readonly Change[];
  readonly builds_on: readonly NameChange[];
  synced: boolean;
}

const MIB = 1024 * 1024;
const NO_ENTRIES = new Map<string, Inode>();

/** What the node's time and its watchers are told of. */
export interface FileSystemHooks {
  readonly now: () => number;
  /** A disk's image lost its last name, and nobody has it open. */
  readonly onGone: (disk: Disk) => void;
}

/** One file system. */
export class FileSystem {
  readonly label: string;
  readonly uuid: string;
  readonly capacity_bytes: number;
  readonly root: Inode;
  readonly #hooks: FileSystemHooks;
  readonly #free: number[] = [];
  #last_ino = 1;
  #used_bytes = 0;
  #log: NameChange[] = [];
  readonly #freed_by = new Map<number, NameChange>();
  readonly #unsynced = new Set<Inode>();

  constructor(label: string, capacity_mib: number, hooks: FileSystemHooks) {
    this.label = label;
    this.uuid = `fs-${label}`;
    this.capacity_bytes = capacity_mib * MIB;
    this.#hooks = hooks;
    this.root = this.make('folder', 0o755);
    this.root.links = 1;
  }

  get free_bytes(): number {
    return Math.max(0, this.capacity_bytes - this.#used_bytes);
  }

  /** An inode without a name, its number the lowest that is free. */
  make(type: Inode['type'], mode: number, text = ''): Inode {
    const ino = this.#free.length > 0 ? (this.#free.sort((a, b) => b - a).pop() as number) : ++this.#last_ino;
    const now = this.#hooks.now();
    const inode: Inode = {
      ino,
      type,
      mode,
      birth_ms: now,
      mtime_ms: now,
      links: 0,
      opened: 0,
      text,
      synced: undefined,
      size_bytes: 0,
      entries: type === 'folder' ? new Map<string, Inode>() : NO_ENTRIES,
      disk: undefined,
    };
    if (type === 'file') this.#unsynced.add(inode);
    if (type === 'link') inode.synced = text;
    return inode;
  }

  write(inode: Inode, text: string): void {
    inode.text = text;
    inode.mtime_ms = this.#hooks.now();
    this.#unsynced.add(inode);
  }

  resize(inode: Inode, size_bytes: number): void {
    this.#used_bytes += size_bytes - inode.size_bytes;
    inode.size_bytes = size_bytes;
  }

  /** Gives names to inodes, or takes them away, in one step. */
  change(...wanted: readonly { folder: Inode; name: string; to: Inode | undefined }[]): void {
    const changes = wanted.map(({ folder, name, to }) => ({
      ...{ folder, name, before: folder.entries.get(name), after: to },
    }));
    const builds_on: NameChange[] = [];
    for (const done of this.#log) {
      const same = done.changes.some((a) => changes.some((b) => a.folder === b.folder && a.name === b.name));
      if (same) builds_on.push(done);
    }
    const change: NameChange = { changes, builds_on, synced: false };
    for (const { folder, name, after } of changes) {
      folder.mtime_ms = this.#hooks.now();
      if (after) {
        const freed = this.#freed_by.get(after.ino);
        if (freed && after.links === 0) builds_on.push(freed);
        after.links += 1;
        folder.entries.set(name, after);
      } else folder.entries.delete(name);
    }
    this.#log.push(change);
    for (const { before } of changes) {
      if (!before) continue;
      before.links -= 1;
      this.release(before, change);
    }
  }

  /** Lets go of what has no name and is not open. */
  release(inode: Inode, by?: NameChange): void {
    if (inode.links > 0 || inode.opened > 0) return;
    this.resize(inode, 0);
    this.#free.push(inode.ino);
    if (by) this.#freed_by.set(inode.ino, by);
    if (inode.disk) this.#hooks.onGone(inode.disk);
  }

  /** fsync(2): of a file its content, of a folder its names. */
  sync(inode: Inode): void {
    if (inode.type !== 'folder') {
      inode.synced = inode.text;
      this.#unsynced.delete(inode);
      return;
    }
    const settle = (change: NameChange) => {
      if (change.synced) return;
      change.synced = true;
      change.builds_on.forEach(settle);
    };
    for (const change of this.#log) {
      if (change.changes.some(({ folder }) => folder === inode)) settle(change);
    }
    this.#log = this.#log.filter(({ synced }) => !synced);
  }

  /** All of it, as an orderly shutdown does. */
  syncAll(): void {
    for (const inode of this.#unsynced) inode.synced = inode.text;
    this.#unsynced.clear();
    this.#log = [];
    this.#freed_by.clear();
  }

  /** The power fails: what was not synced is there afterwards or not. */
  crash(chance: Chance): void {
    const likely = chance.pick([0, 0.2, 0.5, 0.8, 1]);
    const kept = new Set<NameChange>();
    const first = new Map<Inode, Map<string, Inode | undefined>>();
    for (const change of this.#log) {
      if (change.builds_on.every((other) => other.synced || kept.has(other)) && chance.is(likely))
        kept.add(change);
      for (const { folder, name, before, after } of change.changes) {
        const names = first.get(folder) ?? new Map<string, Inode | undefined>();
        first.set(folder, names);
        if (!names.has(name)) names.set(name, before);
        if (kept.has(change)) names.set(name, after);
      }
    }
    for (const [folder, names] of first) {
      for (const [name, inode] of names) {
        if (inode) folder.entries.set(name, inode);
        else folder.entries.delete(name);
      }
    }
    for (const inode of this.#unsynced) {
      const whole = chance.is(likely);
      const torn = chance.is(0.3) ? inode.text.slice(0, chance.below(inode.text.length + 1)) : '';
      inode.text = whole ? inode.text : (inode.synced ?? torn);
    }
    this.#recount();
    this.syncAll();
  }

  /** Names, numbers and room anew, from what can be reached. */
  #recount(): void {
    const seen = new Set<Inode>();
    const visit = (inode: Inode) => {
      if (seen.has(inode)) {
        inode.links += 1;
        return;
      }
      seen.add(inode);
      inode.links = 1;
      inode.opened = 0;
      for (const below of inode.entries.values()) visit(below);
    };
    visit(this.root);
    const taken = new Set([...seen].map(({ ino }) => ino));
    this.#free.length = 0;
    for (let ino = 2; ino <= this.#last_ino; ino += 1) if (!taken.has(ino)) this.#free.push(ino);
    this.#used_bytes = 0;
    for (const inode of seen) {
      // What was unlinked and is back has the size of its disk again.
      if (inode.disk) inode.size_bytes = inode.disk.size_bytes;
      this.#used_bytes += inode.size_bytes;
    }
  }

  /** A copy of everything on another device (`cp -a`): other inodes, numbered in another order, with the same content. */
  copyTo(other: FileSystem, chance: Chance): void {
    const copy = (from: Inode, to: Inode) => {
      for (const name of chance.shuffled([...from.entries.keys()])) {
        const inode = from.entries.get(name) as Inode;
        const fresh = other.make(inode.type, inode.mode, inode.text);
        fresh.mtime_ms = inode.mtime_ms;
        fresh.disk = inode.disk;
        other.resize(fresh, inode.size_bytes);
        other.change({ folder: to, name, to: fresh });
        copy(inode, fresh);
      }
    };
    copy(this.root, other.root);
    other.syncAll();
  }

  /** Its disks by their paths below the root. */
  disks(): { name: string; inode: Inode; disk: Disk }[] {
    return [...this.root.entries].flatMap(([name, inode]) =>
      inode.disk ? [{ name, inode, disk: inode.disk }] : [],
    );
  }
}
