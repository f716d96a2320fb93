import type { BaseVolume, BaseVolumes } from '../core/ports.ts';
import { createLvmVolumes, type LvmOptions } from './lvm-volumes.ts';

/** No VPS's disk is ever called so. */
const WHOLE = 'dtc-xen-base.';
const UNFINISHED = 'dtc-xen-making.';

/** What the volume of a whole base is called in the volume group. */
export const baseVolumeName = (name: string): string => `${WHOLE}${name}`;

/**
 * Makes {@link BaseVolumes} in the thin pool of the configuration: VG/dtc-xen-base.NAME, read-only, and active only where an
 * admin says so (`lvchange -ay -K`). While one is made it is VG/dtc-xen-making.NAME.
 */
export function createLvmBases(options: LvmOptions): BaseVolumes {
  const { config } = options;
  const lvm = createLvmVolumes(options);

  async function named(beginning: string): Promise<BaseVolume[]> {
    const there = [...(await lvm.volumes(await lvm.groupName())).values()];
    return there
      .filter(({ name, pool }) => name.startsWith(beginning) && pool === config.provisioning_thinpool)
      .map(({ name, size_bytes }) => ({ name: name.slice(beginning.length), size_bytes }));
  }

  return {
    list: () => named(WHOLE),
    unfinished: async () => (await named(UNFINISHED)).map(({ name }) => name),

    async make(name, { size_bytes, spare_bytes }, fill) {
      const making = `${UNFINISHED}${name}`;
      await lvm.remove(await lvm.groupName(), making);
      const { group, size } = await lvm.allocate(async (view) => {
        const { extent_bytes } = view.group;
        const rounded = Math.ceil(size_bytes / extent_bytes) * extent_bytes;
        await lvm.requireRoom(view.place, rounded + spare_bytes, 'a volume beside the new disk needs');
        await lvm.make(view, making, rounded);
        return { group: view.group.name, size: rounded };
      });
      try {
        await fill(`${config.dev_dir}/${group}/${making}`);
        await lvm.atRest(group, [making]);
        await lvm.change(['-an'], `${group}/${making}`);
        await lvm.change(['-y', '-pr', '-ky'], `${group}/${making}`);
        await lvm.rename(group, making, baseVolumeName(name));
      } catch (error) {
        await lvm.remove(group, making);
        throw error;
      }
      return { name, size_bytes: size };
    },

    async remove(name) {
      await lvm.remove(await lvm.groupName(), baseVolumeName(name));
    },

    async removeUnfinished(name) {
      await lvm.remove(await lvm.groupName(), `${UNFINISHED}${name}`);
    },
  };
}
