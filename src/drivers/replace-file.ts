import { randomBytes } from 'node:crypto';
import { open, realpath, rename, stat, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Where the file really is (an admin may have linked it elsewhere), with its owner and mode; a new one is root's, 0600. */
async function describe(path: string): Promise<{ target: string; mode: number; uid?: number; gid?: number }> {
  try {
    const target = await realpath(path);
    const { mode, uid, gid } = await stat(target);
    return { target, mode: mode & 0o7777, uid, gid };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    return { target: path, mode: 0o600 };
  }
}

/**
 * Replaces a file's content at once: temporary file in the same folder, fsync, rename, fsync of the folder. Owner and mode
 * stay; whoever reads sees the old content or the new one, never less.
 */
export async function replaceFile(path: string, content: Uint8Array): Promise<void> {
  const { target, mode, uid, gid } = await describe(path);
  const temporary = `${target}.${randomBytes(6).toString('hex')}.tmp`;
  try {
    const handle = await open(temporary, 'wx', 0o600);
    try {
      await handle.writeFile(content);
      if (uid !== undefined && gid !== undefined) await handle.chown(uid, gid);
      await handle.chmod(mode);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, target);
  } catch (error) {
    await unlink(temporary).catch((gone: NodeJS.ErrnoException) => {
      if (gone.code !== 'ENOENT') throw gone;
    });
    throw error;
  }
  await syncFolder(dirname(target));
}
