import { setTimeout as sleep } from 'node:timers/promises';
import { AgentError } from '../core/errors.ts';
import type { RemovedDisk, RemovedDisks } from '../core/ports.ts';
import { REMOVED } from './lvm-place.ts';
import { createLvmVolumes, type LvmOptions } from './lvm-volumes.ts';
import { createWiping } from './wiping.ts';

const MIB = 1024 * 1024;
/** What is overwritten at a time: seconds on a slow disk. */
const STEP_BYTES = 64 * MIB;
const STEP_MS = 10 * 60_000;
/** What is given back at a time: LVM writes all of its metadata for each. */
const PART_BYTES = 1024 * MIB;
/** It rests this many times as long as it wrote, so that guests keep most of what the disk can do. */
const REST = 3;

/** Makes {@link RemovedDisks} of the volumes that wipe_removed_disks has left in the volume group; `rest` and `part_bytes` are for tests. */
export function createLvmRemoved(
  options: LvmOptions & { readonly rest?: number; readonly part_bytes?: number },
): RemovedDisks {
  const { runner, config, rest = REST, part_bytes = PART_BYTES } = options;
  const lvm = createLvmVolumes(options);
  const wiping = createWiping(config);

  /** Returns how long the writing alone took. */
  async function overwrite(path: string, from: number, to: number, signal: AbortSignal): Promise<number> {
    let taken_ms = 0;
    for (let at = from; at < to; at += STEP_BYTES) {
      signal.throwIfAborted();
      const range = ['--offset', String(at), '--length', String(Math.min(STEP_BYTES, to - at))];
      const { ms } = await runner.check({
        label: `blkdiscard of ${path}`,
        program: 'blkdiscard',
        args: ['--zeroout', ...range, '--', path],
        timeout_ms: STEP_MS,
      });
      taken_ms += ms;
      if (!(await wiping.isHurried())) await sleep(ms * rest, undefined, { signal });
    }
    return taken_ms;
  }

  return {
    async list() {
      await wiping.seen();
      const there = await lvm.volumes(await lvm.groupName());
      const waiting = [...there.values()].filter(({ name }) => name.startsWith(REMOVED));
      if (waiting.length === 0) await wiping.ended();
      return waiting.map(({ name, size_bytes }): RemovedDisk => ({ name, size_bytes }));
    },

    isWaiting: wiping.isWaiting,

    // From its end to its beginning: what is overwritten is given back at once, and what is left to do is what is left of it.
    async wipe(name, signal) {
      if (!name.startsWith(REMOVED)) throw new Error(`${name} is not a volume that was removed`);
      const { name: group, extent_bytes } = await lvm.volumeGroup();
      await lvm.change(['-ay'], `${group}/${name}`);
      const there = await lvm.atRest(group, [name]);
      lvm.requireRemovable(group, there, name);
      const volume = there.get(name);
      if (volume && !(await lvm.isNamedRightly(group, volume)))
        throw new AgentError(
          'program_failed',
          `${config.dev_dir}/${group}/${name} does not lead to the volume that LVM calls ${group}/${name}, as after a rename that was cut off; nothing was overwritten. Put it right: lvchange --refresh ${group}/${name}`,
        );
      const size_bytes = volume?.size_bytes ?? 0;
      const path = `${config.dev_dir}/${group}/${name}`;
      const part = Math.ceil(part_bytes / extent_bytes) * extent_bytes;
      // lvreduce refuses to cut off what a signature says is a file system's.
      if (size_bytes > part) await overwrite(path, 0, Math.min(STEP_BYTES, part), signal);
      for (let end = size_bytes; end > 0; ) {
        const begin = Math.floor((end - 1) / part) * part;
        await wiping.measured(end - begin, await overwrite(path, begin, end, signal));
        // Nobody gets the room before the zeros are on the disk, whatever the power does.
        await lvm.flush(group, [name]);
        if (begin > 0) await lvm.reduce(`${group}/${name}`, begin);
        end = begin;
      }
      await lvm.removeAtOnce(group, name);
    },
  };
}
