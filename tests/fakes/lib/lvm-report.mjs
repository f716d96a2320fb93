// The fake lvs and vgs: reports as JSON and as tables.
import { statSync } from 'node:fs';
import { indented, lvmArguments } from './lvm-arguments.mjs';
import { lineStart, setting } from './lvm-settings.mjs';
import { reportSize } from './lvm-sizes.mjs';
import { isPool, isThin } from './lvm-thin.mjs';
import {
  contentPath,
  EXTENT,
  extents,
  freeExtents,
  hasTwin,
  isPartial,
  nodePath,
  splitName,
  TWINS,
} from './lvm-volumes.mjs';
import { isOpen } from './open-files.mjs';
import { err, NotKnown, out, withState } from './store.mjs';

const text = (heading, value, right = false) => ({ heading, value, right });
const size = (heading, bytes) =>
  text(heading, (row, { units, suffix }) => reportSize(bytes(row), units, suffix), true);
/** A field that is its word, empty or (`undefined`) unknown; with report/binary_values_as_numeric 1, 0 or -1. */
const binary = (heading, word, is) =>
  text(heading, (row) => {
    const value = is(row);
    if (setting('report/binary_values_as_numeric') === '1')
      return value === undefined ? '-1' : `${Number(value)}`;
    return value === undefined ? 'unknown' : value ? word : '';
  });
const empty = (heading, width = 0) => ({ ...text(heading, () => ''), width });

/** What of a volume's file is not a hole. */
const written = (root, lv) => statSync(contentPath(root, lv)).blocks * 512;
const percent = (part, whole) => ((100 * part) / whole).toFixed(2);

function attributes({ lv, vg, open }) {
  if (lv.hidden) return lv.hidden;
  // An lvrename that was killed has left the device suspended.
  const active = lv.torn_name === undefined ? 'a' : 's';
  const state = `${lv.active ? active : '-'}${open ? 'o' : '-'}`;
  const health = isPartial(vg, lv) ? 'p' : '-';
  if (isPool(lv)) return `twi-${state}t${lv.no_zeroing ? '-' : 'z'}${health}-`;
  if (!isThin(lv)) return `-wi-${state}--${health}-`;
  const zeroes = vg.lvs.find(({ name }) => name === lv.pool)?.no_zeroing ? '-' : 'z';
  return `V${lv.read_only ? 'r' : 'w'}i-${state}t${zeroes}${health}${lv.skip ? 'k' : '-'}`;
}

function dataPercent({ lv, vg }, { root }) {
  if (isPool(lv)) {
    const bytes = vg.lvs
      .filter(({ pool }) => pool === lv.name)
      .reduce((sum, each) => sum + written(root, each), 0);
    return percent(bytes, extents(lv) * EXTENT);
  }
  return isThin(lv) && lv.active ? percent(written(root, lv), extents(lv) * EXTENT) : '';
}

/** A test's own figure, or what LVM says of an empty pool of the least size, and a little for each volume. */
function metadataPercent({ lv, vg }) {
  if (!isPool(lv)) return '';
  return (
    lv.metadata_percent ?? (10.94 + 0.05 * vg.lvs.filter(({ pool }) => pool === lv.name).length).toFixed(2)
  );
}

const missingDisks = ({ vg }) => (vg.missing_pv ? 1 : 0);
const groupAttributes = (row) => `wz-${missingDisks(row) ? 'p' : '-'}n-`;

/** What reports of volumes tell of their group, too. */
const OF_GROUP = {
  vg_attr: text('Attr', groupAttributes),
  vg_free: size('VFree', ({ vg }) => freeExtents(vg) * EXTENT),
  vg_extent_size: size('Ext', () => EXTENT),
  vg_uuid: text('VG UUID', ({ vg }) => vg.uuid),
  vg_missing_pv_count: text('#PV Missing', (row) => String(missingDisks(row)), true),
};

const LV_FIELDS = {
  lv_name: text('LV', ({ lv }) => lv.name),
  vg_name: text('VG', ({ vg_name }) => vg_name),
  lv_attr: text('Attr', attributes),
  lv_size: size('LSize', ({ lv }) => extents(lv) * EXTENT),
  pool_lv: text('Pool', ({ lv }) => lv.pool ?? ''),
  origin: text('Origin', ({ lv }) => lv.origin ?? ''),
  data_percent: { ...text('Data%', dataPercent), width: 6 },
  metadata_percent: { ...text('Meta%', metadataPercent), width: 6 },
  move_pv: empty('Move'),
  mirror_log: empty('Log'),
  copy_percent: empty('Cpy%Sync'),
  convert_lv: empty('Convert'),
  snap_percent: empty('Snap%', 6),
  lv_path: text('Path', ({ vg_name, lv }, { root }) => `${root}/dev/${vg_name}/${lv.name}`),
  lv_tags: empty('LV Tags'),
  lv_uuid: text('LV UUID', ({ lv }) => lv.uuid),
  lv_active: text('Active', ({ lv }) => (lv.active ? 'active' : '')),
  lv_device_open: binary('DevOpen', 'open', ({ lv, open }) => (lv.active ? open : undefined)),
  lv_suspended: binary('Suspended', 'suspended', ({ lv }) => lv.torn_name !== undefined),
  lv_kernel_minor: text('KMin', ({ lv }) => String(lv.active ? lv.minor : -1), true),
  // What it should be, whatever the device mapper has.
  lv_dm_path: text('DMPath', ({ vg_name, lv }, { root }) => `${root}/dev/mapper/${vg_name}-${lv.name}`),
  lv_health_status: text('Health', ({ lv, vg }) => (isPartial(vg, lv) ? 'partial' : (lv.health ?? ''))),
  lv_permissions: text('LPerms', ({ lv }) => (lv.read_only ? 'read-only' : 'writeable')),
  lv_skip_activation: binary('SkipAct', 'skip activation', ({ lv }) => Boolean(lv.skip)),
  ...OF_GROUP,
};
const LV_DEFAULT =
  'lv_name,vg_name,lv_attr,lv_size,pool_lv,origin,data_percent,metadata_percent,move_pv,mirror_log,copy_percent,convert_lv';

const VG_FIELDS = {
  vg_name: text('VG', ({ vg_name }) => vg_name),
  pv_count: text('#PV', (row) => String(1 + missingDisks(row)), true),
  lv_count: text('#LV', ({ vg }) => String(vg.lvs.length), true),
  snap_count: text('#SN', () => '0', true),
  vg_size: size('VSize', ({ vg }) => vg.extents * EXTENT),
  ...OF_GROUP,
  vg_extent_count: text('#Ext', ({ vg }) => String(vg.extents), true),
  vg_free_count: text('Free', ({ vg }) => String(freeExtents(vg)), true),
};
const VG_DEFAULT = 'vg_name,pv_count,lv_count,snap_count,vg_attr,vg_size,vg_free';

const OPTIONS = [
  ['-o', '--options:'],
  ['', '--reportformat:'],
  ['', '--units:'],
  ['', '--nosuffix'],
  ['', '--noheadings'],
  ['', '--readonly'],
  ['-a', '--all'],
];

/** The volumes that a pool is made of, as `lvs -a` shows them, and the spare one for repairs. */
function hiddenVolumes(vg) {
  const part = (name, hidden, count) => ({ name: `[${name}]`, hidden, segments: [[0, count]] });
  const pools = vg.lvs.filter(isPool);
  const parts = pools.flatMap((pool) => [
    part(`${pool.name}_tdata`, 'Twi-ao----', extents(pool)),
    part(`${pool.name}_tmeta`, 'ewi-ao----', pool.metadata),
  ]);
  return pools.length > 0 ? [part('lvol0_pmspare', 'ewi-------', pools[0].metadata), ...parts] : [];
}

/** What every tool of LVM's says of a group that is not whole. */
const warnings = (vg_name, vg) =>
  vg?.missing_pv
    ? [
        `WARNING: Couldn't find device with uuid ${vg.missing_pv.uuid}.`,
        `WARNING: VG ${vg_name} is missing PV ${vg.missing_pv.uuid} (last written to /dev/vdc).`,
      ]
    : [];

const bare = ({ name }) => name.replace(/[[\]]/g, '');

function findRows(root, state, program, operands, all) {
  const log = [];
  const rows = [];
  const entry = (type, object, message, ret) => log.push({ type, ...object, message, ret });
  const failure = (object) => entry('status', object, 'failure', 5);
  const whole = program === 'vgs';
  const row = (vg_name, lv) => {
    const vg = state.vgs[vg_name];
    const users = lv && isPool(lv) && vg.lvs.some((each) => each.pool === lv.name && each.active);
    return { vg_name, vg, lv, open: users || (lv?.active ? isOpen(state, nodePath(root, lv)) : false) };
  };
  const names = operands.length > 0 ? operands : Object.keys(state.vgs).sort();
  for (const name of names) {
    const [vg_name, lv_name] = splitName(root, name) ?? [name];
    if (whole && lv_name) throw new NotKnown('vgs of a logical volume is not part of the fake');
    const vg = state.vgs[vg_name];
    const object = { object_type: 'vg', name: vg_name, id: vg?.uuid ?? '', group: '', group_id: '' };
    for (const warning of warnings(vg_name, vg)) entry('warn', object, warning, 0);
    if (!vg) {
      entry('error', object, `Volume group "${vg_name}" not found`, 0);
      entry('error', object, `Cannot process volume group ${vg_name}`, 0);
      failure(object);
      continue;
    }
    if (hasTwin(state, vg)) {
      entry('warn', object, `VG name ${vg_name} is used by VGs ${vg.twin.uuid} and ${vg.uuid}.`, 0);
      if (operands.length === 0 && whole) {
        rows.push(row(vg_name), { ...row(vg_name), vg: { ...vg, uuid: vg.twin.uuid } });
        continue;
      }
      entry('error', object, TWINS(vg_name), 0);
      failure(object);
      continue;
    }
    if (whole) {
      rows.push(row(vg_name));
      continue;
    }
    const found = [...vg.lvs, ...(all ? hiddenVolumes(vg) : [])]
      .filter((lv) => lv_name === undefined || lv.name === lv_name)
      .sort((a, b) => (bare(a) < bare(b) ? -1 : 1));
    rows.push(...found.map((lv) => row(vg_name, lv)));
    if (lv_name !== undefined && found.length === 0) {
      const lv = { object_type: 'lv', name: lv_name, id: '', group: vg_name, group_id: vg.uuid };
      entry('error', lv, `Failed to find logical volume "${vg_name}/${lv_name}"`, 0);
      failure(lv);
      failure(object);
    }
  }
  return { rows, log };
}

const pairs = (entries) =>
  `{${entries.map(([key, value]) => `"${key}":${JSON.stringify(value)}`).join(', ')}}`;

const logLine = (each, index) =>
  pairs([
    ['log_seq_num', String(index + 1)],
    ['log_type', each.type],
    ['log_context', 'processing'],
    ['log_object_type', each.object_type],
    ['log_object_name', each.name],
    ['log_object_id', each.id],
    ['log_object_group', each.group],
    ['log_object_group_id', each.group_id],
    ['log_message', each.message],
    ['log_errno', '-1'],
    ['log_ret_code', String(each.ret)],
  ]);

/** The lines of a list, and a comma behind each but the last. */
const listed = (lines, indent) =>
  lines.map((line, at) => `${indent}${line}${at < lines.length - 1 ? ',' : ''}`);

function printJson(kind, fields, cells, log) {
  const compact = setting('report/compact_output') === '1';
  const shown = fields.map((_, index) => !compact || cells.some((row) => row[index] !== ''));
  const rows = cells.map((row) =>
    pairs(fields.map((field, index) => [field, row[index]]).filter((_, index) => shown[index])),
  );
  const lines = [
    ...['{', '    "report": [', '        {', `            "${kind}": [`],
    ...listed(rows, ' '.repeat(16)),
    ...['            ]', '        }', '    ]'],
    ...(setting('log/report_command_log') === '0'
      ? []
      : ['    ,', '    "log": [', ...listed(log.map(logLine), ' '.repeat(8)), '    ]']),
    '}',
  ];
  out(indented(lines.join('\n')));
}

function printTable(columns, cells, headings) {
  if (cells.length === 0) return;
  const rows = headings ? [columns.map((column) => column.heading), ...cells] : cells;
  const widths = columns.map(({ width = 0 }, index) =>
    Math.max(width, ...rows.map((row) => row[index].length)),
  );
  rows.forEach((row, at) => {
    const line = row.map((cell, index) =>
      columns[index].right && !(headings && at === 0)
        ? cell.padStart(widths[index])
        : cell.padEnd(widths[index]),
    );
    out(`${lineStart()}${line.join(' ')}\n`);
  });
}

export async function main(root, program, args) {
  const { options, operands } = lvmArguments(program, args, OPTIONS);
  const format = options.reportformat ?? 'basic';
  const units = options.units ?? 'r';
  if (!['json', 'basic'].includes(format))
    throw new NotKnown(`--reportformat ${format} is not part of the fake`);
  if (!/^[rhbskmgtpe]$/.test(units)) throw new NotKnown(`--units ${units} is not part of the fake`);
  const [kind, known, usual] =
    program === 'vgs' ? ['vg', VG_FIELDS, VG_DEFAULT] : ['lv', LV_FIELDS, LV_DEFAULT];
  const chosen = options.options ?? usual;
  const fields = (chosen.startsWith('+') ? `${usual},${chosen.slice(1)}` : chosen).split(',');
  const unknown = fields.find((field) => !Object.hasOwn(known, field));
  if (unknown !== undefined) throw new NotKnown(`${program} -o ${unknown} is not part of the fake`);
  const columns = fields.map((field) => known[field]);
  return withState(root, (state) => {
    const { rows, log } = findRows(root, state, program, operands, options.all);
    const view = { units, suffix: !options.nosuffix, root };
    const cells = rows.map((row) => columns.map((column) => column.value(row, view)));
    // The log of a report as JSON is part of it, unless lvm.conf or the call wants none: then, too, it is told as ever.
    if (format !== 'json' || setting('log/report_command_log') === '0')
      for (const each of log) if (each.type !== 'status') err(indented(each.message));
    if (format === 'json') printJson(kind, fields, cells, log);
    else printTable(columns, cells, !options.noheadings);
    return log.some(({ type }) => type === 'error') ? 5 : 0;
  });
}
