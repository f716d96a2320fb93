import { mkdir, open, realpath, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

/** What a file is made with. */
interface FileOptions {
  /** Permissions, whatever the umask; 0600 without. */
  readonly mode?: number;
  /** Whose it becomes; without, this process's user's. */
  readonly owner?: { readonly uid: number; readonly gid: number } | undefined;
}

/** Has the kernel write a folder's entries to disk: what was renamed into it is there after a power cut. */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Makes a folder that only its owner reads, on disk with those above it when this returns. */
export async function makeFolder(folder: string): Promise<void> {
  const made = (await mkdir(folder, { recursive: true, mode: 0o700 })) ?? folder;
  // One that is there may have been made a moment ago by somebody who died before this.
  for (let at = folder; at.length >= made.length; at = dirname(at)) await syncFolder(dirname(at));
}

/** Makes a file with this content, on disk when it returns; one that exists is an error. */
export async function writeNewFile(
  path: string,
  content: string | Uint8Array,
  { mode = 0o600, owner }: FileOptions = {},
): Promise<void> {
  const handle = await open(path, 'wx', 0o600);
  try {
    await handle.writeFile(content);
    if (owner) await handle.chown(owner.uid, owner.gid);
    await handle.chmod(mode);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** How far a file that is being replaced has come, each with all before it on disk. */
export type WriteStep = 'begun' | 'temporary file on disk' | 'renamed' | 'folder synced';

/** How a file is replaced. */
export interface AtomicWriteOptions extends FileOptions {
  /** Told of every step before the next one is begun; what it throws ends the write there. */
  readonly onStep?: (step: WriteStep) => Promise<void> | void;
}

/** The file that is written before it is renamed: one fixed name per file. */
export const temporaryName = (name: string) => `.${name}.new`;

/**
 * Writes a file whole: whoever reads it sees the old content or the new one, after a crash too. Writers of one file take
 * turns (a lock), so that what a crash left under the temporary name is used up by the next one.
 */
export async function writeFileAtomic(
  path: string,
  content: string | Uint8Array,
  { onStep = () => undefined, ...made_with }: AtomicWriteOptions = {},
): Promise<void> {
  const temporary = join(dirname(path), temporaryName(basename(path)));
  await onStep('begun');
  await rm(temporary, { force: true });
  try {
    await writeNewFile(temporary, content, made_with);
    await onStep('temporary file on disk');
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await onStep('renamed');
  await syncFolder(dirname(path));
  await onStep('folder synced');
}

/**
 * Replaces an admin's file as {@link writeFileAtomic} does. A link to it stays a link; owner and mode stay; a new file is
 * 0600.
 */
export async function replaceFile(path: string, content: Uint8Array): Promise<void> {
  let target = path;
  let like: FileOptions = {};
  try {
    target = await realpath(path);
    const { mode, uid, gid } = await stat(target);
    like = { mode: mode & 0o7777, owner: { uid, gid } };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  await writeFileAtomic(target, content, like);
}
