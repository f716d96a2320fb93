import { constants } from 'node:fs';
import { type FileHandle, lstat, mkdir, open, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { syncFolder, temporaryName } from '../core/atomic-file.ts';
import { AgentError } from '../core/errors.ts';
import { unlessMissing } from './missing.ts';

const { O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_RDONLY, O_WRONLY } = constants;

/** The Unix user that a folder belongs to. */
export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/**
 * The path of something below an open folder. Through the descriptor, so that nobody who may write there can exchange the
 * folder for a link between two steps (proc(5), /proc/self/fd).
 */
const below = (folder: FileHandle, name: string) => `/proc/self/fd/${folder.fd}/${name}`;

async function openFolder(path: string, told: string): Promise<FileHandle> {
  try {
    return await open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ELOOP' && code !== 'ENOTDIR') throw error;
    throw new AgentError('program_failed', `${told} is a link or a file, not a folder; nothing was written.`);
  }
}

async function requireOwner(folder: FileHandle, { uid }: Owner, told: string): Promise<void> {
  const there = await folder.stat();
  if (there.uid === uid || there.uid === 0) return;
  throw new AgentError('program_failed', `${told} belongs to user id ${there.uid}; nothing was written.`);
}

/** A step that a folder in the place of a file stops (rm of Node, rename(2)). */
async function notFolder(step: Promise<void>, told: string): Promise<void> {
  try {
    await step;
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException;
    if (!['ERR_FS_EISDIR', 'EISDIR'].includes(code)) throw error;
    throw new AgentError(
      'program_failed',
      `${told} is a folder, and must be a file; remove it, then try again.`,
    );
  }
}

/**
 * Deletes a home with all that is in it, following no link; none there is fine. Its owner's processes have ended. It is root's own
 * under another name before it is looked into: what is exchanged in it meanwhile would lead the deletion elsewhere.
 *
 * @param homes the folder of homes, which is root's
 */
export async function removeHome(homes: string, name: string): Promise<void> {
  const aside = join(homes, `.removed-${name}`);
  const removeAside = async () => {
    const there = await unlessMissing(lstat(aside), undefined);
    if (!there) return;
    if (there.isDirectory()) {
      const folder = await openFolder(aside, aside);
      try {
        await folder.chown(0, 0);
        await folder.chmod(0o700);
      } finally {
        await folder.close();
      }
    }
    await rm(aside, { recursive: true, force: true });
  };
  await removeAside();
  await unlessMissing(rename(join(homes, name), aside), undefined);
  await removeAside();
  await unlessMissing(syncFolder(homes), undefined);
}

/**
 * Writes `home/folder/name` (0600, in a folder 0700) for a user who controls all that is in the home, following no link:
 * made under another name, fsynced, renamed over what was there.
 *
 * @throws AgentError program_failed where a folder on the way is a link, a file or somebody else's
 */
export async function writeInOwnedFolder(
  home: string,
  folder: string,
  name: string,
  content: string,
  owner: Owner,
): Promise<void> {
  const outer = await openFolder(home, home);
  try {
    await requireOwner(outer, owner, home);
    try {
      await mkdir(below(outer, folder), 0o700);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
    const told = `${home}/${folder}`;
    const inner = await openFolder(below(outer, folder), told);
    try {
      await requireOwner(inner, owner, told);
      await inner.chown(owner.uid, owner.gid);
      await inner.chmod(0o700);
      // Never recursively: a folder that somebody exchanges for a link meanwhile would lead the deletion elsewhere.
      const fresh = below(inner, temporaryName(name));
      await notFolder(rm(fresh, { force: true }), `${told}/${temporaryName(name)}`);
      const file = await open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
      try {
        try {
          await file.writeFile(content);
          await file.chown(owner.uid, owner.gid);
          await file.sync();
        } finally {
          await file.close();
        }
        await notFolder(rename(fresh, below(inner, name)), `${told}/${name}`);
      } catch (error) {
        await notFolder(rm(fresh, { force: true }), `${told}/${temporaryName(name)}`);
        throw error;
      }
      await inner.sync();
    } finally {
      await inner.close();
    }
  } finally {
    await outer.close();
  }
}
