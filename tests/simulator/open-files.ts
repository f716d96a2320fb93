// flock(2): a lock belongs to an open file, which who opened it has, and every program that it was handed to.
import { errno } from './errno.ts';
import type { Inode } from './file-system.ts';
import { machine } from './machine.ts';

/** An open file, and who has it: it is closed when nobody does. */
export interface OpenFile {
  readonly path: string;
  readonly inode: Inode;
  readonly holders: Set<object>;
  lock: 'exclusive' | 'shared' | undefined;
}

let last_fd = 1000;

/** Opens a file for a process or a program; it is made where it is missing. */
export function openFile(path: string, holder: object): number {
  const place = machine.mounts.find(path, 'open');
  const inode = place.inode ?? place.fs.make('file', 0o600);
  if (!place.inode) place.fs.change({ folder: place.folder, name: place.name, to: inode });
  last_fd += 1;
  machine.open_files.set(last_fd, { path, inode, holders: new Set([holder]), lock: undefined });
  return last_fd;
}

/** @throws EBADF */
export function fileOf(fd: number): OpenFile {
  const file = machine.open_files.get(fd);
  if (!file) throw errno('EBADF', 'fstat', String(fd));
  return file;
}

/** One holder closes it. */
export function closeFile(fd: number, holder: object): void {
  const file = fileOf(fd);
  file.holders.delete(holder);
  if (file.holders.size === 0) machine.open_files.delete(fd);
}

/** Takes the lock; false where somebody else's is in the way. */
export function lockFile(fd: number, kind: 'exclusive' | 'shared'): boolean {
  const mine = fileOf(fd);
  for (const file of machine.open_files.values()) {
    if (file === mine || file.inode !== mine.inode || file.lock === undefined) continue;
    if (kind === 'exclusive' || file.lock === 'exclusive') return false;
  }
  mine.lock = kind;
  return true;
}

/** Whether a lock of this kind on the file of this path would be refused. */
export function isLocked(path: string, kind: 'exclusive' | 'shared'): boolean {
  const inode = machine.mounts.isThere(path) ? machine.mounts.find(path, 'open').inode : undefined;
  return [...machine.open_files.values()].some(
    (file) =>
      file.inode === inode && file.lock !== undefined && (kind === 'exclusive' || file.lock === 'exclusive'),
  );
}
