import { readFile, rm, rmdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import * as z from 'zod';
import { makeFolder, syncFolder, writeFileAtomic } from '../../core/atomic-file.ts';
import { AgentError } from '../../core/errors.ts';
import type { VpsId } from '../../core/vps.ts';

const imageType = z.enum(['lvm', 'vbd']);
/** What the place of the disks is known by ({@link DiskStore.identify}): where that is not there, whoever reads the record waits. */
const store = z.string();
const guestFile = z.object({ text: z.string(), mode: z.number(), autostart: z.boolean() });

/**
 * `state_dir/states/xenNN/names.json`: what was begun with a VPS's systems and is not finished. It is written before the
 * first thing that it speaks of is done, and removed after the last one.
 *
 *   (none) ---> building ---> naming ---> (none)      a reinstall: xenNN.new is made; it is whole and takes its place
 *      |           |             ^
 *      |           +-> (none)    |                    the reinstall failed or was cut off: xenNN.new goes
 *      +-------------------------+                    a rollback
 *
 * From each of them killVPS comes to `deleting`, and there to its end; where nothing has gone yet, what was there `before` returns.
 */
const building = z.object({ phase: z.literal('building'), type: imageType, store });
const naming = z.object({
  phase: z.literal('naming'),
  type: imageType,
  store,
  /** The job that made the new system; a rollback has none. */
  job: z.string().optional(),
  /** Identities: the disk that is to be the root, the one that is to be kept as the old one, and those that go. */
  current: z.string(),
  old: z.string().optional(),
  remove: z.array(z.string()),
  /** The configuration that goes with the root, and the one that goes with the old one; null: none. */
  config: guestFile.nullable(),
  old_config: guestFile.nullable(),
});
const deleting = z.object({
  phase: z.literal('deleting'),
  before: z.discriminatedUnion('phase', [building, naming]).nullable(),
});
const names = z.discriminatedUnion('phase', [building, naming, deleting]);

/** `old.json`: the old system that is there, or what became of the last one. It speaks of one disk, and says nothing of another. */
const old = z.discriminatedUnion('state', [
  z.object({
    state: z.literal('kept'),
    disk: z.string(),
    /** For people; what counts is the steady clock's time. */
    since: z.iso.datetime(),
    since_s: z.number().nonnegative(),
    config: guestFile.nullable(),
  }),
  z.object({ state: z.literal('gone'), at: z.iso.datetime(), why: z.string() }),
]);

/** What was begun with a VPS's disks and their names. */
export type NamesRecord = z.output<typeof names>;
/** A reinstall that has not approved its system. */
export type BuildingRecord = Extract<NamesRecord, { phase: 'building' }>;
/** An exchange: from here on there is no way but forward. */
export type NamingRecord = Extract<NamesRecord, { phase: 'naming' }>;
/** What is known of a VPS's old system. */
export type OldRecord = z.output<typeof old>;
/** Of one that is there. */
export type KeptRecord = Extract<OldRecord, { state: 'kept' }>;

/** What is there of a VPS whose killVPS was cut off, as a sentence that says what to do. */
export const halfDeleted = (vps: VpsId): string =>
  `${vps.name} is half deleted: a killVPS of it did not come to its end. Call killVPS again: before that, nothing else is done with the name.`;

/** A JSON file of one VPS, replaced as a whole. */
interface RecordFile<T> {
  /** The content; undefined where there is no file. Error: `record_damaged` where it cannot be understood. */
  read(vps: VpsId): Promise<T | undefined>;
  write(vps: VpsId, content: T): Promise<void>;
  /**
   * Has it on the node's disk, whoever wrote it: one that died between the rename and the folder's sync leaves a file that can be read,
   * and that a power cut takes back. Who acts on what another wrote calls this first.
   */
  sync(vps: VpsId): Promise<void>;
  /** Gone already is fine. */
  remove(vps: VpsId): Promise<void>;
}

function recordFile<S extends z.ZodType>(
  states_dir: string,
  name: string,
  schema: S,
): RecordFile<z.output<S>> {
  const path = (vps: VpsId) => join(states_dir, vps.name, name);
  return {
    async read(vps) {
      let text: string;
      try {
        text = await readFile(path(vps), 'utf8');
      } catch (error) {
        if (['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return undefined;
        throw error;
      }
      try {
        return schema.parse(JSON.parse(text));
      } catch (error) {
        throw new AgentError(
          'record_damaged',
          `${vps.name}: ${path(vps)} is damaged; look which of its root disks is the right one, name it ${vps.name}, and remove the file.`,
          { cause: error },
        );
      }
    },
    async write(vps, content) {
      await makeFolder(dirname(path(vps)));
      await writeFileAtomic(path(vps), `${JSON.stringify(content, undefined, 2)}\n`);
    },
    async sync(vps) {
      await syncFolder(dirname(path(vps)));
      await syncFolder(states_dir);
    },
    async remove(vps) {
      await rm(path(vps), { force: true });
      const removed = await syncFolder(dirname(path(vps))).catch((error: NodeJS.ErrnoException) => error);
      if (removed instanceof Error && !['ENOENT', 'ENOTDIR'].includes(removed.code ?? '')) throw removed;
    },
  };
}

/** Both files, below `state_dir/states`. */
export interface SystemRecords {
  readonly names: RecordFile<NamesRecord>;
  readonly old: RecordFile<OldRecord>;
  /** Removes the VPS's folder where nothing is in it any more. */
  removeFolder(vps: VpsId): Promise<void>;
}

/** Makes {@link SystemRecords}. */
export function createSystemRecords(states_dir: string): SystemRecords {
  return {
    names: recordFile(states_dir, 'names.json', names),
    old: recordFile(states_dir, 'old.json', old),
    async removeFolder(vps) {
      try {
        await rmdir(join(states_dir, vps.name));
      } catch (error) {
        if (!['ENOENT', 'ENOTDIR', 'ENOTEMPTY'].includes((error as NodeJS.ErrnoException).code ?? ''))
          throw error;
      }
    },
  };
}
