import { setTimeout as sleep } from 'node:timers/promises';
import type { RemovedDisk, RemovedDisks } from '../core/ports.ts';
import { REMOVED } from './lvm-place.ts';
import { createLvmVolumes, type LvmOptions } from './lvm-volumes.ts';

/** What is overwritten at a time: seconds on a slow disk. */
const STEP_BYTES = 64 * 1024 * 1024;
const STEP_MS = 10 * 60_000;
/** It rests this many times as long as it wrote, so that guests keep most of what the disk can do. */
const REST = 3;

/** Makes {@link RemovedDisks} of the volumes that wipe_removed_disks has left in the volume group. */
export function createLvmRemoved(options: LvmOptions & { readonly rest?: number }): RemovedDisks {
  const { runner, config, rest = REST } = options;
  const lvm = createLvmVolumes(options);

  return {
    async list() {
      const there = await lvm.volumes(await lvm.groupName());
      return [...there.values()]
        .filter(({ name }) => name.startsWith(REMOVED))
        .map(({ name, size_bytes }): RemovedDisk => ({ name, size_bytes }));
    },

    async wipe({ name, size_bytes }, signal) {
      if (!name.startsWith(REMOVED)) throw new Error(`${name} is not a volume that was removed`);
      const group = await lvm.groupName();
      lvm.requireRemovable(group, await lvm.atRest(group, [name]), name);
      await lvm.change(['-ay'], `${group}/${name}`);
      for (let at = 0; at < size_bytes; at += STEP_BYTES) {
        signal.throwIfAborted();
        const length = Math.min(STEP_BYTES, size_bytes - at);
        const part = ['--offset', String(at), '--length', String(length)];
        const { ms } = await runner.check({
          label: `blkdiscard of ${name}`,
          program: 'blkdiscard',
          args: ['--zeroout', ...part, '--', `${config.dev_dir}/${group}/${name}`],
          timeout_ms: STEP_MS,
        });
        await sleep(ms * rest, undefined, { signal });
      }
      await lvm.removeAtOnce(group, name);
    },
  };
}
