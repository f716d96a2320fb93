import type { Config } from '../config/schema.ts';
import { AgentError } from '../core/errors.ts';
import type { Disk, DiskStore } from '../core/ports.ts';
import type { Finished, Runner } from '../core/runner.ts';
import type { VpsId } from '../core/vps.ts';
import { bytesOf, type LvmReport, parseLvmReport } from './parse/lvm-report.ts';
import { lastWords } from './run.ts';

const MIB = 1024 * 1024;
/** What LVM lets a volume group be called (lvm(8), VALID NAMES). */
const VOLUME_GROUP = /^[A-Za-z0-9_+.][A-Za-z0-9_+.-]{0,126}$/;

interface VolumeGroup {
  readonly name: string;
  readonly free_bytes: number;
  readonly extent_bytes: number;
}

/** Volumes of {@link VolumeGroup}, as `lvs` tells them. */
interface Volume {
  readonly name: string;
  readonly size_bytes: number;
  readonly open: boolean;
  /** Of a snapshot: the volume that it was made of. */
  readonly origin: string;
}

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
  const configured = config.provisioning_volgroup;

  async function report(kind: 'lv' | 'vg', fields: string, operands: readonly string[]): Promise<LvmReport> {
    const program = `${kind}s`;
    const args = ['--reportformat', 'json', '--units', 'b', '--nosuffix', '-o', fields, ...operands];
    const answer = await runner.run({ label: program, program, args, timeout_ms: ask_timeout_ms });
    if (answer.exit_code === 0) return parseLvmReport(answer.stdout, kind);
    const errors = /^\s*\{/.test(answer.stdout) ? parseLvmReport(answer.stdout, kind).errors : [];
    const why = errors[0] ?? lastWords(answer);
    const log = { log: { ...answer } };
    if (/Volume group "[^"]*" not found/.test(why)) throw noSuchGroup(log);
    throw new AgentError(
      'program_failed',
      `${program} failed (exit code ${answer.exit_code}): ${why.slice(0, 200)}`,
      log,
    );
  }

  function noSuchGroup(more: { log?: Record<string, unknown> } = {}): AgentError {
    const message = `There is no volume group ${configured}; see provisioning_volgroup in dtc-xen.conf, and vgs.`;
    return new AgentError('no_volume_group', message, more);
  }

  async function volumeGroup(): Promise<VolumeGroup> {
    if (configured !== '' && !VOLUME_GROUP.test(configured)) throw noSuchGroup();
    const { rows } = await report(
      'vg',
      'vg_name,vg_free,vg_extent_size',
      configured === '' ? [] : [configured],
    );
    const [row, ...others] = rows;
    if (!row) {
      throw configured === ''
        ? new AgentError(
            'no_volume_group',
            'The node has no volume group; make one with vgcreate, or use vbd disks.',
          )
        : noSuchGroup();
    }
    if (others.length > 0) {
      const names = rows.map((fields) => fields['vg_name']).join(', ');
      throw new AgentError(
        'no_volume_group',
        `The node has several volume groups (${names}); name one in provisioning_volgroup in dtc-xen.conf.`,
      );
    }
    return {
      name: row['vg_name'] ?? '',
      free_bytes: bytesOf(row, 'vg_free'),
      extent_bytes: bytesOf(row, 'vg_extent_size'),
    };
  }

  async function volumes(group: string): Promise<Map<string, Volume>> {
    const { rows } = await report('lv', 'lv_name,lv_size,lv_device_open,origin', [group]);
    const found = rows.map((fields): Volume => {
      const { lv_name: name = '', lv_device_open, origin = '' } = fields;
      return { name, size_bytes: bytesOf(fields, 'lv_size'), open: lv_device_open === 'open', origin };
    });
    return new Map(found.map((volume) => [volume.name, volume]));
  }

  const names = (vps: VpsId) => ({ root: vps.name, swap: `${vps.name}swap` });
  const change = (program: string, args: readonly string[]): Promise<Finished> =>
    runner.run({ label: program, program, args, timeout_ms: change_timeout_ms });
  const roundUp = (size_mb: number, { extent_bytes }: VolumeGroup) =>
    Math.ceil((size_mb * MIB) / extent_bytes) * extent_bytes;

  /** `-y -W y`: signatures that the extents' last owner left are wiped, without a question (transcripts 241, 242). */
  async function makeVolume(group: VolumeGroup, name: string, size_mb: number): Promise<void> {
    const made = await change('lvcreate', ['-y', '-W', 'y', '-L', `${size_mb}M`, '-n', name, group.name]);
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
    const there = await volumes(group);
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
      const group = configured === '' ? (await volumeGroup()).name : configured;
      if (!VOLUME_GROUP.test(group)) throw noSuchGroup();
      const there = await volumes(group);
      const disk = (name: string): Disk | undefined => {
        const volume = there.get(name);
        if (!volume) return undefined;
        const { size_bytes, open: in_use } = volume;
        return { path: `${config.dev_dir}/${group}/${name}`, size_bytes, in_use };
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
          await makeVolume(group, name, size_mb);
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
      const group = await volumeGroup();
      const { root, swap } = names(vps);
      const there = await volumes(group.name);
      for (const name of [root, swap]) requireRemovable(group.name, there, name);
      await removeVolume(group.name, swap);
      await removeVolume(group.name, root);
    },

    async free_mib() {
      return Math.floor((await volumeGroup()).free_bytes / MIB);
    },
  };
}
