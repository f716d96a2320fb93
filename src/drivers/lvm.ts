import { AgentError } from '../core/errors.ts';
import type { Disk, DiskStore, RootDisk, RootRole } from '../core/ports.ts';
import type { VpsId } from '../core/vps.ts';
import { baseVolumeName } from './lvm-bases.ts';
import type { Volume, VolumeGroup } from './lvm-group.ts';
import { createLvmVolumes, type LvmOptions } from './lvm-volumes.ts';
import { hasSignature, ROOT_ROLES, rootName, vpsOfRoot } from './root-names.ts';

const MIB = 1024 * 1024;

/**
 * Makes the {@link DiskStore} of LVM volumes: VG/xenNN and VG/xenNNswap. New ones are thin where provisioning_thinpool is
 * set; those that are there are dealt with as what they are.
 */
export function createLvm(options: LvmOptions): DiskStore {
  const { runner, config } = options;
  const lvm = createLvmVolumes(options);
  /** Error: `program_failed` where its name leads to another device: who works on that works on another disk. */
  async function diskOf(group: string, volume: Volume): Promise<Disk> {
    const { name, size_bytes, open } = volume;
    const path = `${config.dev_dir}/${group}/${name}`;
    if (await lvm.isNamedRightly(group, volume)) return { path, size_bytes, in_use: open };
    throw new AgentError(
      'program_failed',
      `${path} does not lead to the volume that LVM calls ${group}/${name}, as after a rename that was cut off; nothing was touched. Put it right: lvchange --refresh ${group}/${name}`,
    );
  }
  const names = (vps: VpsId) => ({ root: vps.name, swap: `${vps.name}swap` });
  const roundUp = (bytes: number, { extent_bytes }: VolumeGroup) =>
    Math.ceil(bytes / extent_bytes) * extent_bytes;

  /** Takes back what this call has itself made; where that fails, the error says what is left. */
  async function takeBack(group: string, made: readonly string[], failure: AgentError): Promise<AgentError> {
    for (const name of made) {
      try {
        await lvm.removeAtOnce(group, name);
      } catch (error) {
        if (!(error instanceof AgentError)) throw error;
        const message = `${failure.message.replace(/\.$/, '')}; and ${group}/${name} is left over: ${error.message}`;
        return new AgentError(failure.code, message, { cause: failure });
      }
    }
    return failure;
  }

  return {
    type: 'lvm',

    async identify() {
      const { name, uuid, missing_disks } = await lvm.volumeGroup();
      if (missing_disks === 0) return uuid;
      throw new AgentError(
        'store_away',
        `The volume group ${name} lacks ${missing_disks} of its physical volumes: see pvs, and dmesg for the disks. Nothing was touched.`,
      );
    },

    async mendNames(vps) {
      const group = await lvm.groupName();
      const wrong = async () => {
        const there = await lvm.volumes(group);
        const volumes = ROOT_ROLES.map((role) => there.get(rootName(vps, role))).filter(
          (one) => one !== undefined,
        );
        const right = await Promise.all(volumes.map((volume) => lvm.isNamedRightly(group, volume)));
        return volumes.filter((_, at) => !right[at]);
      };
      // One whose name another's device still has is put right after that one.
      for (let pass = 0; pass < 2; pass += 1) {
        for (const { name } of await wrong()) {
          try {
            await lvm.change(['--refresh'], `${group}/${name}`);
          } catch (error) {
            if (pass > 0 || !(error instanceof AgentError && error.code === 'program_failed')) throw error;
          }
        }
      }
    },

    async find(vps) {
      const group = await lvm.groupName();
      const there = await lvm.volumes(group);
      const disk = async (name: string): Promise<Disk | undefined> => {
        const volume = there.get(name);
        return volume && diskOf(group, volume);
      };
      const { root, swap } = names(vps);
      return { type: 'lvm', root: await disk(root), swap: await disk(swap) };
    },

    async roundedSize_bytes(size_mb) {
      return roundUp(size_mb * MIB, await lvm.volumeGroup());
    },

    create: (vps, { root_mb, swap_mb }) =>
      lvm.allocate(async (view) => {
        const { group, volumes, place } = view;
        const { root, swap } = names(vps);
        const missing = [
          { name: root, size_bytes: roundUp(root_mb * MIB, group) },
          { name: swap, size_bytes: roundUp(swap_mb * MIB, group) },
        ].filter(({ name }) => !volumes.has(name));
        const needed_bytes = missing.reduce((sum, { size_bytes }) => sum + size_bytes, 0);
        await lvm.requireRoom(place, needed_bytes, `${vps.name}: its disks need`);
        const made: string[] = [];
        for (const { name, size_bytes } of missing) {
          try {
            await lvm.make(view, name, size_bytes);
            made.push(name);
          } catch (error) {
            if (!(error instanceof AgentError)) throw error;
            // A failed or killed lvcreate may have made the volume, which was not there a moment ago, under the VPS's lock.
            const mine = error.code === 'disks_exist' ? made : [...made, name];
            throw await takeBack(group.name, mine, error);
          }
        }
      }),

    async remove(vps, onRemoved) {
      const group = await lvm.groupName();
      const all = [names(vps).swap, ...ROOT_ROLES.map((role) => rootName(vps, role))];
      const there = await lvm.atRest(group, all);
      for (const name of all) lvm.requireRemovable(group, there, name);
      for (const name of all) {
        if (!there.has(name)) continue;
        await lvm.remove(group, name);
        onRemoved?.(`${config.dev_dir}/${group}/${name}`);
      }
    },

    async free_mib() {
      if (config.provisioning_thinpool === '') return Math.floor((await lvm.volumeGroup()).free_bytes / MIB);
      return Math.floor((await lvm.look()).place.free_bytes / MIB);
    },

    async waiting_mib() {
      return Math.floor((await lvm.look()).place.waiting_bytes / MIB);
    },

    hurry: lvm.hurry,

    async roots(vps) {
      const group = await lvm.groupName();
      const there = await lvm.volumes(group);
      const found: Partial<Record<RootRole, RootDisk>> = {};
      for (const role of ROOT_ROLES) {
        const volume = there.get(rootName(vps, role));
        if (!volume) continue;
        found[role] = {
          ...{ ...(await diskOf(group, volume)), identity: volume.uuid },
          ...{ frees_room: volume.pool === config.provisioning_thinpool, is_wiped: lvm.isWiped(volume) },
        };
      }
      return found;
    },

    createNew: (vps, base) =>
      lvm.allocate(async (view) => {
        const { group, volumes, place } = view;
        const root = volumes.get(vps.name);
        if (!root)
          throw new AgentError('disks_missing', `${vps.name} has no root volume ${group.name}/${vps.name}.`);
        const name = rootName(vps, 'new');
        const size_bytes = roundUp(root.size_bytes, group);
        if (!volumes.has(name)) {
          await lvm.requireRoom(place, size_bytes, `${vps.name}: a second root disk needs`);
        }
        if (base) await lvm.copy(view, baseVolumeName(base.name), name, size_bytes);
        else await lvm.make(view, name, size_bytes);
        return { path: `${config.dev_dir}/${group.name}/${name}`, size_bytes, in_use: false };
      }),

    async renameRoot(vps, from, to) {
      await lvm.rename(await lvm.groupName(), rootName(vps, from), rootName(vps, to));
    },

    async reuseOld(vps) {
      const group = await lvm.groupName();
      const [old, fresh] = [rootName(vps, 'old'), rootName(vps, 'new')];
      lvm.requireRemovable(group, await lvm.atRest(group, [old]), old);
      await lvm.rename(group, old, fresh);
      // A power cut would give half a system the name of a whole one.
      await lvm.flush(group, [fresh]);
    },

    async flush(vps) {
      const group = await lvm.groupName();
      await lvm.flush(
        group,
        ROOT_ROLES.map((role) => rootName(vps, role)),
      );
    },

    async removeRoot(vps, role) {
      await lvm.remove(await lvm.groupName(), rootName(vps, role));
    },

    async withRoot(role) {
      const there = [...(await lvm.volumes(await lvm.groupName())).keys()];
      return there.map((name) => vpsOfRoot(name, role)).filter((vps) => vps !== undefined);
    },

    hasContent: ({ path }) => hasSignature(runner, path),
  };
}
