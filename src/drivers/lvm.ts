import type { Config } from '../config/schema.ts';
import { AgentError } from '../core/errors.ts';
import type { Disk, DiskStore, RootDisk, RootRole } from '../core/ports.ts';
import type { Finished, Runner } from '../core/runner.ts';
import type { VpsId } from '../core/vps.ts';
import { whenSettled } from '../core/when-settled.ts';
import { createLvmReports, type Volume, type VolumeGroup } from './lvm-group.ts';
import { hasSignature, ROOT_ROLES, rootName, vpsOfRoot } from './root-names.ts';
import { lastWords } from './run.ts';

const MIB = 1024 * 1024;
/** What the LVM driver needs; the times are for tests. */
export interface LvmOptions {
  readonly runner: Runner;
  readonly config: Pick<Config, 'provisioning_volgroup' | 'dev_dir'>;
  readonly ask_timeout_ms?: number;
  readonly change_timeout_ms?: number;
}

/** Makes the {@link DiskStore} of LVM volumes: VG/xenNN and VG/xenNNswap. */
export function createLvm({
  runner,
  config,
  ask_timeout_ms = 30_000,
  change_timeout_ms = 90_000,
}: LvmOptions): DiskStore {
  const { volumeGroup, groupName, volumes } = createLvmReports({
    runner,
    config,
    timeout_ms: ask_timeout_ms,
  });
  const diskOf = (group: string, { name, size_bytes, open }: Volume): Disk => ({
    path: `${config.dev_dir}/${group}/${name}`,
    size_bytes,
    in_use: open,
  });
  const names = (vps: VpsId) => ({ root: vps.name, swap: `${vps.name}swap` });
  const change = (program: string, args: readonly string[]): Promise<Finished> =>
    runner.run({ label: program, program, args, timeout_ms: change_timeout_ms });
  const roundUp = (size_mb: number, { extent_bytes }: VolumeGroup) =>
    Math.ceil((size_mb * MIB) / extent_bytes) * extent_bytes;

  /** `-y -W y`: signatures that the extents' last owner left are wiped, without a question (transcripts 241, 242). */
  async function makeVolume(group: VolumeGroup, name: string, size: readonly string[]): Promise<void> {
    const made = await change('lvcreate', ['-y', '-W', 'y', ...size, '-n', name, group.name]);
    if (made.exit_code === 0) return;
    const why = lastWords(made);
    const kind = /insufficient free space/.test(why)
      ? 'no_space'
      : /already exists/.test(why)
        ? 'disks_exist'
        : 'program_failed';
    throw new AgentError(kind, `${name}: lvcreate failed (exit code ${made.exit_code}): ${why}`, {
      log: { ...made },
    });
  }

  const inUse = (group: string, name: string, what: string) =>
    new AgentError('disks_in_use', `${group}/${name} was not removed: ${what}.`);

  const volumesAtRest = (group: string, names: readonly string[]) =>
    whenSettled(
      () => volumes(group),
      (there) => names.some((name) => there.get(name)?.open),
    );

  /** Refuses where something holds the volume open, or a snapshot hangs on it, which LVM would delete along with it. */
  function requireRemovable(group: string, there: Map<string, Volume>, name: string): void {
    if (there.get(name)?.open)
      throw inUse(group, name, 'it is open on the node; see lsof or findmnt for what holds it');
    const snapshot = [...there.values()].find(({ origin }) => origin === name);
    if (snapshot) {
      throw inUse(
        group,
        name,
        `it has the snapshot ${snapshot.name}, which would go with it; remove that first`,
      );
    }
  }

  async function removeVolume(group: string, name: string): Promise<void> {
    const there = await volumesAtRest(group, [name]);
    if (!there.has(name)) return;
    requireRemovable(group, there, name);
    const removed = await change('lvremove', ['-y', `${group}/${name}`]);
    const why = lastWords(removed);
    if (removed.exit_code === 0 || /Failed to find logical volume/.test(why)) return;
    if (/in use\.?$/.test(why))
      throw inUse(group, name, 'something on the node holds it open; see lsof or findmnt');
    throw new AgentError(
      'program_failed',
      `${name}: lvremove failed (exit code ${removed.exit_code}): ${why}`,
      { log: { ...removed } },
    );
  }

  /** Takes back what this call has itself made; where that fails, the error says what is left. */
  async function takeBack(group: string, made: readonly string[], failure: AgentError): Promise<AgentError> {
    for (const name of made) {
      try {
        await removeVolume(group, name);
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

    async find(vps) {
      const group = await groupName();
      const there = await volumes(group);
      const disk = (name: string): Disk | undefined => {
        const volume = there.get(name);
        return volume && diskOf(group, volume);
      };
      const { root, swap } = names(vps);
      return { type: 'lvm', root: disk(root), swap: disk(swap) };
    },

    async roundedSize_bytes(size_mb) {
      return roundUp(size_mb, await volumeGroup());
    },

    async create(vps, { root_mb, swap_mb }) {
      const group = await volumeGroup();
      const there = await volumes(group.name);
      const { root, swap } = names(vps);
      const missing = [
        { name: root, size_mb: root_mb },
        { name: swap, size_mb: swap_mb },
      ].filter(({ name }) => !there.has(name));
      const needed_bytes = missing.reduce((sum, { size_mb }) => sum + roundUp(size_mb, group), 0);
      if (needed_bytes > group.free_bytes) {
        throw new AgentError(
          'no_space',
          `${vps.name}: its disks need ${Math.ceil(needed_bytes / MIB)} MB, and volume group ${group.name} has ${Math.floor(group.free_bytes / MIB)} MB free.`,
        );
      }
      const made: string[] = [];
      for (const { name, size_mb } of missing) {
        try {
          await makeVolume(group, name, ['-L', `${size_mb}M`]);
          made.push(name);
        } catch (error) {
          if (!(error instanceof AgentError)) throw error;
          // A failed or killed lvcreate may have made the volume, which was not there a moment ago, under the VPS's lock.
          const mine = error.code === 'disks_exist' ? made : [...made, name];
          throw await takeBack(group.name, mine, error);
        }
      }
    },

    async remove(vps) {
      const group = await groupName();
      const all = [names(vps).swap, ...ROOT_ROLES.map((role) => rootName(vps, role))];
      const there = await volumesAtRest(group, all);
      for (const name of all) requireRemovable(group, there, name);
      for (const name of all) if (there.has(name)) await removeVolume(group, name);
    },

    async free_mib() {
      return Math.floor((await volumeGroup()).free_bytes / MIB);
    },

    async roots(vps) {
      const group = await groupName();
      const there = await volumes(group);
      const found: Partial<Record<RootRole, RootDisk>> = {};
      for (const role of ROOT_ROLES) {
        const volume = there.get(rootName(vps, role));
        if (volume) found[role] = { ...diskOf(group, volume), identity: volume.uuid };
      }
      return found;
    },

    async createNew(vps) {
      const group = await volumeGroup();
      const root = (await volumes(group.name)).get(vps.name);
      if (!root)
        throw new AgentError('disks_missing', `${vps.name} has no root volume ${group.name}/${vps.name}.`);
      const name = rootName(vps, 'new');
      const extents = Math.ceil(root.size_bytes / group.extent_bytes);
      await makeVolume(group, name, ['-l', `${extents}`]);
      return { path: `${config.dev_dir}/${group.name}/${name}`, size_bytes: root.size_bytes, in_use: false };
    },

    async renameRoot(vps, from, to) {
      const operands = [await groupName(), rootName(vps, from), rootName(vps, to)];
      const renamed = await change('lvrename', operands);
      if (renamed.exit_code === 0) return;
      throw new AgentError(
        'program_failed',
        `${operands[1]} was not renamed to ${operands[2]}: lvrename failed (exit code ${renamed.exit_code}): ${lastWords(renamed)}`,
        { log: { ...renamed } },
      );
    },

    async removeRoot(vps, role) {
      await removeVolume(await groupName(), rootName(vps, role));
    },

    async withRoot(role) {
      const names = [...(await volumes(await groupName())).keys()];
      return names.map((name) => vpsOfRoot(name, role)).filter((vps) => vps !== undefined);
    },

    hasContent: ({ path }) => hasSignature(runner, path),
  };
}
