// The fake lvs and vgs: reports as JSON and as tables.
import { indented, lvmArguments } from './lvm-arguments.mjs';
import { reportSize } from './lvm-sizes.mjs';
import { EXTENT, extents, freeExtents, nodePath, splitName } from './lvm-volumes.mjs';
import { isOpen } from './open-files.mjs';
import { err, NotKnown, out, withState } from './store.mjs';

const text = (heading, value, right = false) => ({ heading, value, right });
const size = (heading, bytes) =>
  text(heading, (row, { units, suffix }) => reportSize(bytes(row), units, suffix), true);
const empty = (heading, width = 0) => ({ ...text(heading, () => ''), width });

const LV_FIELDS = {
  lv_name: text('LV', ({ lv }) => lv.name),
  vg_name: text('VG', ({ vg_name }) => vg_name),
  lv_attr: text('Attr', ({ lv, open }) => `-wi-${lv.active ? 'a' : '-'}${open ? 'o' : '-'}----`),
  lv_size: size('LSize', ({ lv }) => extents(lv) * EXTENT),
  pool_lv: empty('Pool'),
  origin: empty('Origin'),
  data_percent: empty('Data%', 6),
  metadata_percent: empty('Meta%', 6),
  move_pv: empty('Move'),
  mirror_log: empty('Log'),
  copy_percent: empty('Cpy%Sync'),
  convert_lv: empty('Convert'),
  snap_percent: empty('Snap%', 6),
  lv_path: text('Path', ({ vg_name, lv }, { root }) => `${root}/dev/${vg_name}/${lv.name}`),
  lv_tags: empty('LV Tags'),
  lv_uuid: text('LV UUID', ({ lv }) => lv.uuid),
  lv_active: text('Active', ({ lv }) => (lv.active ? 'active' : '')),
  lv_device_open: text('DevOpen', ({ open }) => (open ? 'open' : '')),
};
const LV_DEFAULT =
  'lv_name,vg_name,lv_attr,lv_size,pool_lv,origin,data_percent,metadata_percent,move_pv,mirror_log,copy_percent,convert_lv';

const VG_FIELDS = {
  vg_name: text('VG', ({ vg_name }) => vg_name),
  pv_count: text('#PV', () => '1', true),
  lv_count: text('#LV', ({ vg }) => String(vg.lvs.length), true),
  snap_count: text('#SN', () => '0', true),
  vg_attr: text('Attr', () => 'wz--n-'),
  vg_size: size('VSize', ({ vg }) => vg.extents * EXTENT),
  vg_free: size('VFree', ({ vg }) => freeExtents(vg) * EXTENT),
  vg_extent_size: size('Ext', () => EXTENT),
  vg_extent_count: text('#Ext', ({ vg }) => String(vg.extents), true),
  vg_free_count: text('Free', ({ vg }) => String(freeExtents(vg)), true),
  vg_uuid: text('VG UUID', ({ vg }) => vg.uuid),
};
const VG_DEFAULT = 'vg_name,pv_count,lv_count,snap_count,vg_attr,vg_size,vg_free';

const OPTIONS = [
  ['-o', '--options:'],
  ['', '--reportformat:'],
  ['', '--units:'],
  ['', '--nosuffix'],
  ['', '--noheadings'],
  ['', '--readonly'],
];

function findRows(root, state, program, operands) {
  const log = [];
  const rows = [];
  const entry = (type, object, message, ret) => log.push({ type, ...object, message, ret });
  const failure = (object) => entry('status', object, 'failure', 5);
  const whole = program === 'vgs';
  const row = (vg_name, lv) => {
    const vg = state.vgs[vg_name];
    return { vg_name, vg, lv, open: lv?.active ? isOpen(state, nodePath(root, lv)) : false };
  };
  const names = operands.length > 0 ? operands : Object.keys(state.vgs).sort();
  for (const name of names) {
    const [vg_name, lv_name] = splitName(root, name) ?? [name];
    if (whole && lv_name) throw new NotKnown('vgs of a logical volume is not part of the fake');
    const vg = state.vgs[vg_name];
    const object = { object_type: 'vg', name: vg_name, id: vg?.uuid ?? '', group: '', group_id: '' };
    if (!vg) {
      entry('error', object, `Volume group "${vg_name}" not found`, 0);
      entry('error', object, `Cannot process volume group ${vg_name}`, 0);
      failure(object);
      continue;
    }
    if (whole) {
      rows.push(row(vg_name));
      continue;
    }
    const found = vg.lvs.filter((lv) => lv_name === undefined || lv.name === lv_name);
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

function printJson(kind, fields, cells, log) {
  const list = (lines, indent) =>
    lines.map((line) => `${indent}${line}`).join(',\n') + (lines.length > 0 ? '\n' : '');
  const lines = cells.map((row) => pairs(fields.map((field, index) => [field, row[index]])));
  out(`  {
      "report": [
          {
              "${kind}": [
${list(lines, ' '.repeat(18))}              ]
          }
      ]
      ,
      "log": [
${list(log.map(logLine), ' '.repeat(10))}      ]
  }
`);
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
    out(`  ${line.join(' ')}\n`);
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
    const { rows, log } = findRows(root, state, program, operands);
    const view = { units, suffix: !options.nosuffix, root };
    const cells = rows.map((row) => columns.map((column) => column.value(row, view)));
    if (format === 'json') {
      printJson(kind, fields, cells, log);
    } else {
      for (const each of log) if (each.type === 'error') err(indented(each.message));
      printTable(columns, cells, !options.noheadings);
    }
    return log.length > 0 ? 5 : 0;
  });
}
