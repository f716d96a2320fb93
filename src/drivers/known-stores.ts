/**
 * Which places of data this node has had: the volume group by its UUID, folders by a mark that lies in them. What is not there is
 * not gone: a file system that is not mounted leaves an empty folder, a disk that did not come up a node without its volume group.
 *
 * `state_dir/stores/KIND.json` says which; a folder's mark is the file `.dtc-xen-store` in it, a random UUID.
 */
import { randomUUID } from 'node:crypto';
import { link, mkdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import type { Config } from '../config/schema.ts';
import { makeFolder, syncFolder, writeNewFile } from '../core/atomic-file.ts';
import { AgentError } from '../core/errors.ts';
import { STORE_MARK as MARK } from '../core/store-mark.ts';
import { unlessMissing } from './missing.ts';

/** What is in a place. */
export type StoreKind = 'lvm' | 'vbd' | 'samples' | 'homes';

const FOLDERS: Readonly<Record<Exclude<StoreKind, 'lvm'>, string>> = {
  vbd: 'disk images',
  samples: 'samples',
  homes: "the console users' homes",
};

const schema = z.object({ id: z.string().min(1), at: z.string() });

/** The places that this node has had. Errors: `store_away`, `record_damaged`. */
export interface KnownStores {
  /**
   * Makes sure that a folder is the one that it was. One that was never used passes.
   *
   * @throws AgentError store_away
   */
  requireFolder(kind: Exclude<StoreKind, 'lvm'>, folder: string): Promise<void>;
  /**
   * The same; one that was never used is marked and noted now, and made where it is missing. Returns what it is known by. `requireLikely`
   * looks once more whether it is the right one, between the mark and the note: it throws where that is in doubt.
   */
  claimFolder(
    kind: Exclude<StoreKind, 'lvm'>,
    folder: string,
    requireLikely?: () => Promise<void>,
  ): Promise<string>;
  /** Whether a folder of this kind was ever used. */
  isKnown(kind: Exclude<StoreKind, 'lvm'>): Promise<boolean>;
  /** What the volume group is that this node has had, if any: a UUID and its name then. */
  knownGroup(): Promise<{ readonly id: string; readonly at: string } | undefined>;
  /** Notes the volume group. */
  noteGroup(id: string, name: string): Promise<void>;
}

/** Makes {@link KnownStores} of a node's state_dir. */
export function createKnownStores({ state_dir }: Pick<Config, 'state_dir'>): KnownStores {
  const notes = join(state_dir, 'stores');
  const fileOf = (kind: StoreKind) => join(notes, `${kind}.json`);

  async function read(kind: StoreKind): Promise<z.output<typeof schema> | undefined> {
    const text = await unlessMissing(readFile(fileOf(kind), 'utf8'), undefined);
    if (text === undefined) return undefined;
    try {
      return schema.parse(JSON.parse(text));
    } catch (error) {
      throw new AgentError(
        'record_damaged',
        `${fileOf(kind)} is damaged: it says where this node's data lies. See that all of it is there and mounted, and remove the file.`,
        { cause: error },
      );
    }
  }

  /** Makes a file whole, under a name of its own first: processes that claim a place at the same time note the same. */
  async function write(path: string, text: string): Promise<string> {
    const fresh = `${path}.${randomUUID()}.new`;
    await writeNewFile(fresh, text, { mode: 0o644 });
    return fresh;
  }

  async function note(kind: StoreKind, id: string, at: string): Promise<void> {
    const known = await read(kind);
    if (known?.id === id && known.at === at) return;
    await makeFolder(notes);
    const fresh = await write(fileOf(kind), `${JSON.stringify({ id, at })}\n`);
    await rename(fresh, fileOf(kind));
    await syncFolder(notes);
  }

  /** Marks a folder, unless somebody has marked it in this moment. */
  async function putMark(folder: string): Promise<void> {
    await mkdir(folder, { recursive: true, mode: 0o711 });
    const path = join(folder, MARK);
    const fresh = await write(path, `${randomUUID()}\n`);
    try {
      await link(fresh, path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    } finally {
      await rm(fresh, { force: true });
    }
    await syncFolder(folder);
  }

  const markOf = async (folder: string) =>
    (await unlessMissing(readFile(join(folder, MARK), 'utf8'), '')).trim();

  /** The mark of a folder, which is the one that was noted, if one was; another folder by the configuration's word begins anew. */
  async function check(
    kind: Exclude<StoreKind, 'lvm'>,
    folder: string,
  ): Promise<{ mark: string; noted: boolean }> {
    const known = await read(kind);
    const mark = await markOf(folder);
    const noted = known?.id === mark;
    if (!known || noted || (known.at !== folder && mark === ''))
      return { mark, noted: noted && known?.at === folder };
    const what = mark === '' ? `its mark ${MARK} is missing` : `its mark ${MARK} is another one`;
    throw new AgentError(
      'store_away',
      `The folder of ${FOLDERS[kind]}, ${folder}, is not the one that it was (${what}): is its file system mounted? See findmnt -T ${folder}. Nothing was touched. Where all of it was moved here on purpose: echo ${known.id} >${folder}/${MARK}`,
    );
  }

  return {
    async requireFolder(kind, folder) {
      await check(kind, folder);
    },

    async claimFolder(kind, folder, requireLikely) {
      const found = await check(kind, folder);
      if (found.noted) return found.mark;
      if (found.mark === '') await putMark(folder);
      await requireLikely?.();
      const id = found.mark || (await markOf(folder));
      await note(kind, id, folder);
      return id;
    },

    isKnown: async (kind) => (await read(kind)) !== undefined,

    knownGroup: () => read('lvm'),

    noteGroup: (id, name) => note('lvm', id, name),
  };
}
