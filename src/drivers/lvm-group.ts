import type { Config } from '../config/schema.ts';
import { AgentError } from '../core/errors.ts';
import type { Runner } from '../core/runner.ts';
import { bytesOf, type LvmReport, parseLvmReport } from './parse/lvm-report.ts';
import { lastWords } from './run.ts';

/** What LVM lets a volume group or a volume be called (lvm(8), VALID NAMES). */
export const LVM_NAME = /^[A-Za-z0-9_+.][A-Za-z0-9_+.-]{0,126}$/;

type Row = LvmReport['rows'][number];

const GROUP_FIELDS = 'vg_name,vg_free,vg_extent_size';
const VOLUME_FIELDS =
  'lv_name,lv_uuid,lv_size,lv_device_open,origin,pool_lv,lv_attr,metadata_percent,lv_health_status';

/** The volume group of the VPS disks, as `vgs` tells it. */
export interface VolumeGroup {
  readonly name: string;
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

/** What LVM says of the one volume group. Errors: `no_volume_group`, `program_*`. */
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
  readonly runner: Runner;
  readonly config: Pick<Config, 'provisioning_volgroup'>;
  readonly timeout_ms: number;
}

/** Makes {@link LvmReports} by vgs(8) and lvs(8), asked anew at every call. */
export function createLvmReports({ runner, config, timeout_ms }: LvmReportOptions): LvmReports {
  const configured = config.provisioning_volgroup;

  async function report(kind: 'lv' | 'vg', fields: string, operands: readonly string[]): Promise<LvmReport> {
    const program = `${kind}s`;
    const args = ['--reportformat', 'json', '--units', 'b', '--nosuffix', '-o', fields, ...operands];
    const answer = await runner.run({ label: program, program, args, timeout_ms });
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

  const groupOf = (row: Row): VolumeGroup => ({
    name: row['vg_name'] ?? '',
    free_bytes: bytesOf(row, 'vg_free'),
    extent_bytes: bytesOf(row, 'vg_extent_size'),
  });

  const volumesOf = (rows: readonly Row[]): Map<string, Volume> => {
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
      if (configured !== '' && !LVM_NAME.test(configured)) throw noSuchGroup();
      const { rows } = await report('vg', GROUP_FIELDS, configured === '' ? [] : [configured]);
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
      return groupOf(row);
    },

    async groupName() {
      if (configured === '') return (await reports.volumeGroup()).name;
      if (!LVM_NAME.test(configured)) throw noSuchGroup();
      return configured;
    },

    async volumes(group) {
      return volumesOf((await report('lv', VOLUME_FIELDS, [group])).rows);
    },

    async everything() {
      const name = await reports.groupName();
      const { rows } = await report('lv', `${GROUP_FIELDS},${VOLUME_FIELDS}`, [name]);
      const [row] = rows;
      // A group without a volume has no row.
      return { group: row ? groupOf(row) : await reports.volumeGroup(), volumes: volumesOf(rows) };
    },
  };
  return reports;
}
