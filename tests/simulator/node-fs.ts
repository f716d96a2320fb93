// node:fs of the model: the calls that the real code makes without waiting.
import { errno } from './errno.ts';
import { isKernels, listKernelFolder, readKernelFile } from './kernel-files.ts';
import { machine } from './machine.ts';
import { closeFile, fileOf, openFile } from './open-files.ts';

export { constants } from 'node:fs';

const nobody = {};
const me = () => machine.engine.running ?? nobody;

export function openSync(path: string): number {
  return openFile(path, me());
}

export function closeSync(fd: number): void {
  closeFile(fd, me());
}

const stats = (ino: number, size: number, bigint: boolean | undefined) =>
  bigint ? { ino: BigInt(ino), dev: 1n, size: BigInt(size) } : { ino, dev: 1, size };

export function fstatSync(fd: number, options?: { bigint?: boolean }) {
  const { inode } = fileOf(fd);
  return stats(inode.ino, inode.text.length, options?.bigint);
}

export function statSync(path: string, options?: { bigint?: boolean; throwIfNoEntry?: boolean }) {
  const inode = machine.mounts.isThere(path) ? machine.mounts.find(path, 'stat').inode : undefined;
  if (inode) return stats(inode.ino, inode.text.length, options?.bigint);
  if (options?.throwIfNoEntry === false) return undefined;
  throw errno('ENOENT', 'stat', path);
}

/** Logs are appended to so: a power cut may take any of it, and nobody minds. */
export function writeSync(fd: number, content: Uint8Array | string): number {
  const { inode } = fileOf(fd);
  inode.text += typeof content === 'string' ? content : Buffer.from(content).toString('latin1');
  return content.length;
}

export function readFileSync(path: string, options?: unknown): string | Buffer {
  const text = isKernels(path) ? readKernelFile(path) : machine.mounts.get(path, 'open').inode.text;
  return options === undefined ? Buffer.from(text, 'latin1') : text;
}

export function readdirSync(path: string): string[] {
  return isKernels(path)
    ? listKernelFolder(path)
    : [...machine.mounts.get(path, 'scandir').inode.entries.keys()];
}

export const realpathSync = (path: string): string => path;

export function existsSync(path: string): boolean {
  return machine.mounts.isThere(path);
}

export function accessSync(path: string): void {
  machine.mounts.get(path, 'access');
}

export function createReadStream(path: string): never {
  throw new Error(`the model does not know createReadStream of ${path}`);
}
