// From paths to inodes: what is mounted where, and links.
import { errno } from './errno.ts';
import type { FileSystem, Inode } from './file-system.ts';

/** A place in a folder, whether something is there or not. */
export interface Place {
  readonly fs: FileSystem;
  readonly folder: Inode;
  readonly name: string;
  readonly inode: Inode | undefined;
  /** The path with all links followed, but for a last one that was not to be. */
  readonly path: string;
}

const MAX_LINKS = 20;
const known_parts = new Map<string, readonly string[]>();

/** A path's names; they are asked for again and again. */
function partsOf(path: string): readonly string[] {
  let parts = known_parts.get(path);
  if (!parts) {
    parts = path.split('/').filter((part) => part !== '' && part !== '.');
    if (known_parts.size > 5000) known_parts.clear();
    known_parts.set(path, parts);
  }
  return parts;
}

/** The folders of the node. */
export class Mounts {
  readonly root: FileSystem;
  readonly #mounted = new Map<string, FileSystem>();
  constructor(root: FileSystem) {
    this.root = root;
  }

  mount(path: string, fs: FileSystem): void {
    this.#mounted.set(path, fs);
  }

  unmount(path: string): FileSystem | undefined {
    const fs = this.#mounted.get(path);
    this.#mounted.delete(path);
    return fs;
  }

  at(path: string): FileSystem | undefined {
    return this.#mounted.get(path);
  }

  all(): [string, FileSystem][] {
    return [['/', this.root], ...this.#mounted];
  }

  /**
   * Where a path leads. `follow`: whether a link in its last place is followed.
   *
   * @throws ENOENT, ENOTDIR, ELOOP of the folders above it
   */
  find(path: string, syscall: string, follow = true, links = 0): Place {
    const parts = partsOf(path);
    let fs = this.root;
    let folder = fs.root;
    let inode: Inode | undefined = folder;
    let at = '';
    let name = '';
    for (let i = 0; i < parts.length; i += 1) {
      const part = parts[i] as string;
      if (!inode) throw errno('ENOENT', syscall, path);
      if (inode.type !== 'folder') throw errno('ENOTDIR', syscall, path);
      if (part === '..') {
        const rest = parts.slice(i + 1).join('/');
        return this.find(`${at.slice(0, at.lastIndexOf('/'))}/${rest}`, syscall, follow, links);
      }
      folder = inode;
      name = part;
      inode = folder.entries.get(part);
      const here = `${at}/${part}`;
      const mounted = this.#mounted.get(here);
      if (mounted) {
        fs = mounted;
        inode = fs.root;
      } else if (inode?.type === 'link' && (follow || i < parts.length - 1)) {
        if (links >= MAX_LINKS) throw errno('ELOOP', syscall, path);
        const to = inode.text.startsWith('/') ? inode.text : `${at}/${inode.text}`;
        const rest = parts.slice(i + 1).join('/');
        return this.find(rest === '' ? to : `${to}/${rest}`, syscall, follow, links + 1);
      }
      at = here;
    }
    return { fs, folder, name, inode, path: at === '' ? '/' : at };
  }

  /** What is at a path; error: ENOENT, too. */
  get(path: string, syscall: string, follow = true): Place & { readonly inode: Inode } {
    const place = this.find(path, syscall, follow);
    if (!place.inode) throw errno('ENOENT', syscall, path);
    return place as Place & { readonly inode: Inode };
  }

  /** Makes a file or folder with all that is above it, at once on the disk: for what was there before the story. */
  put(path: string, type: Inode['type'], text = '', mode = 0o644): Inode {
    const above = path.slice(0, path.lastIndexOf('/'));
    if (above !== '' && !this.#isThere(above)) this.put(above, 'folder', '', 0o755);
    const { fs, folder, name, inode } = this.find(path, 'put', false);
    if (inode) return inode;
    const fresh = fs.make(type, mode, text);
    fs.change({ folder, name, to: fresh });
    fs.syncAll();
    return fresh;
  }

  #isThere(path: string): boolean {
    try {
      return this.find(path, 'stat').inode !== undefined;
    } catch {
      return false;
    }
  }

  /** Takes a file's name away, as a program that no story interrupts. */
  remove(path: string): void {
    if (!this.#isThere(path)) return;
    const { fs, folder, name } = this.find(path, 'remove', false);
    fs.change({ folder, name, to: undefined });
  }

  isThere(path: string): boolean {
    return this.#isThere(path);
  }

  read(path: string): string | undefined {
    return this.#isThere(path) ? this.find(path, 'read').inode?.text : undefined;
  }
}
