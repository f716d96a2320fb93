// node:fs/promises of the model: what the real code calls instead of Node's.
import { constants } from 'node:fs';
import type { CallKind } from './engine.ts';
import { errno } from './errno.ts';
import type { Inode } from './file-system.ts';
import {
  flushDevice,
  isKernels,
  listKernelFolder,
  readKernelFile,
  readKernelLink,
  realKernelPath,
} from './kernel-files.ts';
import { machine } from './machine.ts';
import type { Place } from './paths.ts';

export { constants };

type Content = string | Uint8Array;
const textOf = (content: Content) =>
  typeof content === 'string' ? content : Buffer.from(content).toString('latin1');
const CALL_MS = 0.02;
const SYNC_MS = 4;

function call<T>(kind: CallKind, syscall: string, path: string, effect: () => T, ms = CALL_MS): Promise<T> {
  return machine.engine.call({ kind, what: `${syscall} ${path}` }, ms, effect);
}

const look = <T>(syscall: string, path: string, effect: () => T) => call('look', syscall, path, effect);
const write = <T>(syscall: string, path: string, effect: () => T) => call('write', syscall, path, effect);

const find = (path: string, syscall: string, follow = true) => machine.mounts.find(path, syscall, follow);
const get = (path: string, syscall: string, follow = true) => machine.mounts.get(path, syscall, follow);

function statsOf(inode: Inode) {
  const size = inode.disk || inode.size_bytes > 0 ? inode.size_bytes : inode.text.length;
  return {
    ...{ ino: inode.ino, mode: inode.mode, size, uid: 0, gid: 0, nlink: inode.links, dev: 1 },
    blocks: Math.ceil(size / 512),
    ...{ mtimeMs: inode.mtime_ms, birthtimeMs: inode.birth_ms, mtime: new Date(inode.mtime_ms) },
    isFile: () => inode.type === 'file',
    isDirectory: () => inode.type === 'folder',
    isSymbolicLink: () => inode.type === 'link',
  };
}

function bigStatsOf(inode: Inode) {
  const { ino, size, mode, blocks, ...rest } = statsOf(inode);
  const ns = (ms: number) => BigInt(Math.round(ms * 1e6));
  return {
    ...rest,
    ...{ ino: BigInt(ino), size: BigInt(size), blocks: BigInt(blocks), mode: BigInt(mode), dev: 1n },
    nlink: BigInt(inode.links),
    ...{ mtimeNs: ns(inode.mtime_ms), ctimeNs: ns(inode.mtime_ms), birthtimeNs: ns(inode.birth_ms) },
  };
}

function makeFile(place: Place, mode: number): Inode {
  const inode = place.fs.make('file', mode);
  place.fs.change({ folder: place.folder, name: place.name, to: inode });
  return inode;
}

let last_fd = 20;

/** An open file. */
class Handle {
  readonly fd = ++last_fd;
  readonly #path: string;
  readonly #place: Place;
  readonly #inode: Inode;
  #at = 0;
  constructor(path: string, place: Place, inode: Inode) {
    this.#path = path;
    this.#place = place;
    this.#inode = inode;
    inode.opened += 1;
  }
  sync() {
    return call('write', 'fsync', this.#path, () => this.#place.fs.sync(this.#inode), SYNC_MS);
  }
  datasync() {
    return this.sync();
  }
  async close() {
    this.#inode.opened -= 1;
    this.#place.fs.release(this.#inode);
  }
  writeFile(content: Content) {
    return write('write', this.#path, () => this.#place.fs.write(this.#inode, textOf(content)));
  }
  appendFile(content: Content) {
    return write('write', this.#path, () =>
      this.#place.fs.write(this.#inode, this.#inode.text + textOf(content)),
    );
  }
  async readFile(encoding?: unknown) {
    return encoding === undefined ? Buffer.from(this.#inode.text, 'latin1') : this.#inode.text;
  }
  async read(into: Buffer, offset: number, length: number, position: number | null) {
    const from = position ?? this.#at;
    const bytes = Buffer.from(this.#inode.text.slice(from, from + length), 'latin1');
    bytes.copy(into, offset);
    this.#at = from + bytes.length;
    return { bytesRead: bytes.length, buffer: into };
  }
  async stat(options?: { bigint?: boolean }) {
    return options?.bigint ? bigStatsOf(this.#inode) : statsOf(this.#inode);
  }
  async chmod(mode: number) {
    this.#inode.mode = mode;
  }
  async chown() {}
  async utimes() {}
  truncate(length = 0) {
    return write('truncate', this.#path, () =>
      this.#place.fs.write(this.#inode, this.#inode.text.slice(0, length)),
    );
  }
}

/** A block device that is open. */
class DeviceHandle {
  readonly #path: string;
  constructor(path: string) {
    this.#path = path;
  }
  sync() {
    return call('write', 'fsync', this.#path, () => flushDevice(this.#path), SYNC_MS);
  }
  async close() {}
}

export function open(path: string, flags: string | number = 'r', mode = 0o666): Promise<Handle> {
  const creates = typeof flags === 'number' ? (flags & constants.O_CREAT) !== 0 : /[wa]/.test(flags);
  return call(creates ? 'write' : 'look', 'open', path, () => {
    if (isKernels(path)) {
      if (path !== '/dev/sdb' || !machine.volumes.is_there) throw errno('ENOENT', 'open', path);
      return new DeviceHandle(path) as unknown as Handle;
    }
    const exclusive = typeof flags === 'number' ? (flags & constants.O_EXCL) !== 0 : flags.includes('x');
    const nofollow = typeof flags === 'number' && (flags & constants.O_NOFOLLOW) !== 0;
    const place = find(path, 'open', !nofollow);
    if (place.inode && exclusive) throw errno('EEXIST', 'open', path);
    if (place.inode?.type === 'link') throw errno('ELOOP', 'open', path);
    if (!place.inode && !creates) throw errno('ENOENT', 'open', path);
    const inode = place.inode ?? makeFile(place, mode);
    if (typeof flags === 'string' && flags.startsWith('w') && !exclusive) place.fs.write(inode, '');
    return new Handle(path, place, inode);
  });
}

export function readFile(path: string, options?: unknown): Promise<string | Buffer> {
  return look('read', path, () => {
    if (isKernels(path)) return readKernelFile(path);
    const { inode } = get(path, 'open');
    if (inode.type === 'folder') throw errno('EISDIR', 'read', path);
    return options === undefined ? Buffer.from(inode.text, 'latin1') : inode.text;
  });
}

export function writeFile(path: string, content: Content, options?: { mode?: number; flag?: string }) {
  return write('write', path, () => {
    const place = find(path, 'open');
    if (place.inode && options?.flag === 'wx') throw errno('EEXIST', 'open', path);
    place.fs.write(place.inode ?? makeFile(place, options?.mode ?? 0o666), textOf(content));
  });
}

export function rename(from: string, to: string): Promise<void> {
  return write('rename', `${from} -> ${to}`, () => {
    const source = get(from, 'rename', false);
    const target = find(to, 'rename', false);
    if (source.fs !== target.fs) throw errno('EXDEV', 'rename', from);
    if (target.inode?.type === 'folder' && target.inode.entries.size > 0)
      throw errno('ENOTEMPTY', 'rename', to);
    if (source.inode === target.inode) return;
    if (source.inode.disk) machine.watch.renamed(source.inode.disk, from, to);
    if (to.endsWith('.left-behind')) machine.watch.putAside(source.inode, to);
    source.fs.change(
      { folder: target.folder, name: target.name, to: source.inode },
      { folder: source.folder, name: source.name, to: undefined },
    );
    machine.watch.fileNamed(to, source.inode.text);
  });
}

function removeTree(place: Place & { inode: Inode }): void {
  for (const [name, inode] of [...place.inode.entries]) {
    removeTree({ fs: place.fs, folder: place.inode, name, inode, path: `${place.path}/${name}` });
  }
  place.fs.change({ folder: place.folder, name: place.name, to: undefined });
}

export function rm(path: string, options: { force?: boolean; recursive?: boolean } = {}): Promise<void> {
  return write('rm', path, () => {
    let place: Place;
    try {
      place = find(path, 'rm', false);
    } catch (error) {
      if (options.force && (error as NodeJS.ErrnoException).code === 'ENOENT') return;
      throw error;
    }
    if (!place.inode) {
      if (options.force) return;
      throw errno('ENOENT', 'rm', path);
    }
    if (place.inode.type === 'folder' && !options.recursive) throw errno('EISDIR', 'rm', path);
    removeTree(place as Place & { inode: Inode });
  });
}

export function unlink(path: string): Promise<void> {
  return write('unlink', path, () => {
    const place = get(path, 'unlink', false);
    if (place.inode.type === 'folder') throw errno('EISDIR', 'unlink', path);
    machine.watch.fileDeleted(path, place.inode.text);
    place.fs.change({ folder: place.folder, name: place.name, to: undefined });
  });
}

export function rmdir(path: string): Promise<void> {
  return write('rmdir', path, () => {
    const place = get(path, 'rmdir', false);
    if (place.inode.entries.size > 0) throw errno('ENOTEMPTY', 'rmdir', path);
    place.fs.change({ folder: place.folder, name: place.name, to: undefined });
  });
}

export function mkdir(
  path: string,
  options: { recursive?: boolean; mode?: number } = {},
): Promise<string | undefined> {
  return call(machine.mounts.isThere(path) ? 'look' : 'write', 'mkdir', path, () => {
    let first: string | undefined;
    const make = (at: string): void => {
      let place: Place;
      try {
        place = find(at, 'mkdir');
      } catch (error) {
        if (!options.recursive || (error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
        make(at.slice(0, at.lastIndexOf('/')));
        place = find(at, 'mkdir');
      }
      if (place.inode) {
        if (options.recursive && place.inode.type === 'folder') return;
        throw errno('EEXIST', 'mkdir', at);
      }
      const to = place.fs.make('folder', options.mode ?? 0o777);
      first ??= at;
      place.fs.change({ folder: place.folder, name: place.name, to });
    };
    make(path);
    return options.recursive ? first : undefined;
  });
}

export function readdir(path: string): Promise<string[]> {
  return look('readdir', path, () => {
    if (isKernels(path)) return listKernelFolder(path);
    const { inode } = get(path, 'scandir');
    if (inode.type !== 'folder') throw errno('ENOTDIR', 'scandir', path);
    return [...inode.entries.keys()];
  });
}

function statOf(path: string, follow: boolean, options?: { bigint?: boolean }) {
  return look('stat', path, () => {
    if (isKernels(path)) {
      readKernelFile(path);
      return undefined as never;
    }
    const { inode } = get(path, follow ? 'stat' : 'lstat', follow);
    return options?.bigint ? bigStatsOf(inode) : statsOf(inode);
  });
}

export const stat = (path: string, options?: { bigint?: boolean }) => statOf(path, true, options);
export const lstat = (path: string, options?: { bigint?: boolean }) => statOf(path, false, options);

export function statfs(path: string) {
  return look('statfs', path, () => {
    const { fs } = get(path, 'statfs');
    return { bavail: Math.floor(fs.free_bytes / 4096), bfree: fs.free_bytes / 4096, bsize: 4096, type: 1 };
  });
}

export function link(from: string, to: string): Promise<void> {
  return write('link', `${from} -> ${to}`, () => {
    const source = get(from, 'link', false);
    const target = find(to, 'link', false);
    if (target.inode) throw errno('EEXIST', 'link', to);
    if (source.fs !== target.fs) throw errno('EXDEV', 'link', from);
    source.fs.change({ folder: target.folder, name: target.name, to: source.inode });
  });
}

export function symlink(to: string, path: string): Promise<void> {
  return write('symlink', path, () => {
    const place = find(path, 'symlink', false);
    if (place.inode) throw errno('EEXIST', 'symlink', path);
    const inode = place.fs.make('link', 0o777, to);
    place.fs.change({ folder: place.folder, name: place.name, to: inode });
  });
}

export function readlink(path: string): Promise<string> {
  return look('readlink', path, () => {
    if (isKernels(path)) return readKernelLink(path);
    const { inode } = get(path, 'readlink', false);
    if (inode.type !== 'link') throw errno('EINVAL', 'readlink', path);
    return inode.text;
  });
}

export function realpath(path: string): Promise<string> {
  return look('realpath', path, () => (isKernels(path) ? realKernelPath(path) : get(path, 'realpath').path));
}

export function access(path: string): Promise<void> {
  return look('access', path, () => void get(path, 'access'));
}

export function chmod(path: string, mode: number): Promise<void> {
  return write('chmod', path, () => {
    get(path, 'chmod').inode.mode = mode;
  });
}

export const chown = async (): Promise<void> => undefined;

export function utimes(path: string, _accessed: Date, modified: Date): Promise<void> {
  return write('utimes', path, () => {
    get(path, 'utime').inode.mtime_ms = modified.getTime();
  });
}
