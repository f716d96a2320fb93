import type { Config } from '../config/schema.ts';
import { AgentError } from '../core/errors.ts';
import type { Finished } from '../core/runner.ts';
import { createKnownStores } from './known-stores.ts';
import type { LvmProgram } from './lvm-program.ts';
import { bytesOf, type LvmRow, parseLvmReport } from './parse/lvm-report.ts';
import { lastWords } from './run.ts';

/** What LVM lets a volume group or a volume be called (lvm(8), VALID NAMES). */
export const LVM_NAME = /^[A-Za-z0-9_+.][A-Za-z0-9_+.-]{0,126}$/;

const GROUP_FIELDS = 'vg_name,vg_uuid,vg_missing_pv_count,vg_free,vg_extent_size';
const VOLUME_FIELDS =
  'vg_uuid,lv_name,lv_uuid,lv_size,lv_device_open,origin,pool_lv,lv_attr,metadata_percent,lv_health_status';

/** The volume group of the VPS disks, as `vgs` tells it. */
export interface VolumeGroup {
  readonly name: string;
  readonly uuid: string;
  /** Physical volumes of it that the node does not see: LVM refuses every change then. */
  readonly missing_disks: number;
  readonly free_bytes: number;
  readonly extent_bytes: number;
}

/** A volume of it, as `lvs` tells it. */
export interface Volume {
  readonly name: string;
  readonly uuid: string;
  readonly size_bytes: number;
  readonly open: boolean;
  /** Of a snapshot: the volume that it was made of. */
  readonly origin: string;
  /** Of a thin volume: its pool; else empty. */
  readonly pool: string;
  /** Ten letters (lvs(8), lv_attr). */
  readonly attr: string;
  /** Of a thin pool that is active, else undefined. */
  readonly metadata_percent: number | undefined;
  /** What LVM finds wrong with it; empty: nothing. */
  readonly health: string;
}

/** Why LVM would not tell: the first thing that it says, which further ones follow from. */
function firstError(answer: Finished): string {
  const lines = answer.stderr.split('\n').filter((line) => line.trim() !== '' && !/^\s*WARNING:/.test(line));
  return lastWords(lines[0] === undefined ? answer : { stdout: '', stderr: lines[0] });
}

/**
 * What LVM says of the one volume group. Errors: `no_volume_group`; `store_away` where the group that this node has had is not
 * there, or another one has its name; `program_*`.
 */
export interface LvmReports {
  volumeGroup(): Promise<VolumeGroup>;
  /** Its name alone: not asked for where it is configured. */
  groupName(): Promise<string>;
  /** All volumes of a group by their names. */
  volumes(group: string): Promise<Map<string, Volume>>;
  /** The volume group with all its volumes, as they were at one moment. */
  everything(): Promise<{ group: VolumeGroup; volumes: Map<string, Volume> }>;
}

/** What asking LVM needs. */
export interface LvmReportOptions {
  readonly lvm: LvmProgram;
  readonly config: Pick<Config, 'provisioning_volgroup' | 'state_dir'>;
  readonly timeout_ms: number;
}

/** Makes {@link LvmReports} by vgs(8) and lvs(8), asked anew at every call. */
export function createLvmReports({ lvm, config, timeout_ms }: LvmReportOptions): LvmReports {
  const configured = config.provisioning_volgroup;
  const stores = createKnownStores(config);
  let noted = '';

  async function report(
    kind: 'lv' | 'vg',
    fields: string,
    operands: readonly string[],
  ): Promise<readonly LvmRow[]> {
    const program = `${kind}s`;
    const args = ['--reportformat', 'json', '--units', 'b', '--nosuffix', '-o', fields, ...operands];
    const answer = await lvm(program, args, timeout_ms);
    if (answer.exit_code === 0) return parseLvmReport(answer.stdout, kind);
    const why = firstError(answer);
    const log = { log: { ...answer } };
    if (/Volume group "[^"]*" not found/.test(why)) throw await noSuchGroup(log);
    if (/Multiple VGs found/.test(why)) throw twins(operands.join(' '), log);
    throw new AgentError(
      'program_failed',
      `${program} failed (exit code ${answer.exit_code}): ${why.slice(0, 200)}`,
      log,
    );
  }

  /** That a group is not there is no proof that there never was one: its disks may have failed to come up. */
  async function absent(message: string, more: { log?: Record<string, unknown> } = {}): Promise<AgentError> {
    const known = await stores.knownGroup();
    if (!known || (configured !== '' && configured !== known.at))
      return new AgentError('no_volume_group', message, more);
    const told = `The volume group ${known.at} (${known.id}), which this node's VPSes have disks in, is not there: see vgs, pvs and dmesg for its disks. Nothing was touched.`;
    return new AgentError(
      'store_away',
      `${told} Where it is gone for good, remove ${config.state_dir}/stores/lvm.json.`,
      more,
    );
  }

  const twins = (name: string, more: { log?: Record<string, unknown> } = {}) =>
    new AgentError(
      'store_away',
      `LVM sees two volume groups that are called ${name}, and reads neither. Nothing was touched. See pvs -o pv_name,vg_name,vg_uuid, and hide the device that is not the node's: devices/global_filter in /etc/lvm/lvm.conf.`,
      more,
    );

  const noSuchGroup = (more: { log?: Record<string, unknown> } = {}) =>
    absent(
      `There is no volume group ${configured}; see provisioning_volgroup in dtc-xen.conf, and vgs.`,
      more,
    );

  /** Makes sure that a group is the one that this node has had, and notes the first one. */
  async function requireSame(name: string, uuid: string): Promise<void> {
    if (uuid === '' || noted === uuid) return;
    const known = await stores.knownGroup();
    if (known && known.at === name && known.id !== uuid) {
      throw new AgentError(
        'store_away',
        `The volume group ${name} is not the one that it was: it has the UUID ${uuid}, and had ${known.id}. Nothing was touched; see vgs -o +vg_uuid. Where it was made anew on purpose, remove ${config.state_dir}/stores/lvm.json.`,
      );
    }
    if (known && configured === '' && known.id !== uuid) throw await absent('');
    await stores.noteGroup(uuid, name);
    noted = uuid;
  }

  const groupOf = (row: LvmRow): VolumeGroup => ({
    name: row['vg_name'] ?? '',
    uuid: row['vg_uuid'] ?? '',
    missing_disks: Number(row['vg_missing_pv_count'] ?? 0),
    free_bytes: bytesOf(row, 'vg_free'),
    extent_bytes: bytesOf(row, 'vg_extent_size'),
  });

  const volumesOf = (rows: readonly LvmRow[]): Map<string, Volume> => {
    const found = rows.map(
      (fields): Volume => ({
        name: fields['lv_name'] ?? '',
        uuid: fields['lv_uuid'] ?? '',
        size_bytes: bytesOf(fields, 'lv_size'),
        open: fields['lv_device_open'] === 'open',
        origin: fields['origin'] ?? '',
        pool: fields['pool_lv'] ?? '',
        attr: fields['lv_attr'] ?? '',
        metadata_percent: fields['metadata_percent'] ? Number(fields['metadata_percent']) : undefined,
        health: fields['lv_health_status'] ?? '',
      }),
    );
    return new Map(found.map((volume) => [volume.name, volume]));
  };

  const reports: LvmReports = {
    async volumeGroup() {
      if (configured !== '' && !LVM_NAME.test(configured)) throw await noSuchGroup();
      const rows = await report('vg', GROUP_FIELDS, configured === '' ? [] : [configured]);
      const [row, ...others] = rows;
      if (!row) {
        throw configured === ''
          ? await absent('The node has no volume group; make one with vgcreate, or use vbd disks.')
          : await noSuchGroup();
      }
      if (others.length > 0) {
        const names = rows.map((fields) => fields['vg_name']).join(', ');
        if (new Set(rows.map((fields) => fields['vg_name'])).size === 1)
          throw twins(names.split(',')[0] ?? '');
        throw new AgentError(
          (await stores.knownGroup()) ? 'store_away' : 'no_volume_group',
          `The node has several volume groups (${names}); name one in provisioning_volgroup in dtc-xen.conf.`,
        );
      }
      const group = groupOf(row);
      await requireSame(group.name, group.uuid);
      return group;
    },

    async groupName() {
      if (configured === '') return (await reports.volumeGroup()).name;
      if (!LVM_NAME.test(configured)) throw await noSuchGroup();
      return configured;
    },

    async volumes(group) {
      const rows = await report('lv', VOLUME_FIELDS, [group]);
      await requireSame(group, rows[0]?.['vg_uuid'] ?? '');
      return volumesOf(rows);
    },

    async everything() {
      const name = await reports.groupName();
      const rows = await report('lv', `${GROUP_FIELDS},${VOLUME_FIELDS.replace('vg_uuid,', '')}`, [name]);
      const [row] = rows;
      // A group without a volume has no row.
      const group = row ? groupOf(row) : await reports.volumeGroup();
      await requireSame(group.name, group.uuid);
      return { group, volumes: volumesOf(rows) };
    },
  };
  return reports;
}
