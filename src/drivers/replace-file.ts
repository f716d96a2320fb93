import { open, realpath, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { syncFolder } from '../core/atomic-file.ts';

interface Place {
  /** Where the file really is: an admin may have linked it elsewhere. */
  readonly target: string;
  readonly mode: number;
  readonly owner: { readonly uid: number; readonly gid: number } | undefined;
}

async function placeOf(path: string): Promise<Place> {
  try {
    const target = await realpath(path);
    const { mode, uid, gid } = await stat(target);
    return { target, mode: mode & 0o7777, owner: { uid, gid } };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    return { target: path, mode: 0o600, owner: undefined };
  }
}

/**
 * Replaces an admin's file: whoever reads it sees the old content or the new one, after a crash too. Owner and mode stay; a
 * new file is 0600. Callers take turns (a lock): the temporary file has one fixed name, so that one which a crash left
 * behind is used up by the next call.
 */
export async function replaceFile(path: string, content: Uint8Array): Promise<void> {
  const { target, mode, owner } = await placeOf(path);
  const temporary = `${target}.new`;
  await rm(temporary, { force: true });
  try {
    const handle = await open(temporary, 'wx', 0o600);
    try {
      await handle.writeFile(content);
      if (owner) await handle.chown(owner.uid, owner.gid);
      await handle.chmod(mode);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, target);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await syncFolder(dirname(target));
}
