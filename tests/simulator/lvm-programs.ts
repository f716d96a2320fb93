// vgs, lvs and what changes volumes. The metadata is written before the device mapper is told.
import { Disk } from './disk.ts';
import { machine } from './machine.ts';
import type { Ending, Program, Work } from './program.ts';
import { EXTENT_BYTES, type Volume } from './volumes.ts';

/** What a volume's name begins with that waits for being overwritten (docs/security.md). */
const REMOVED = 'dtc-xen-removed.';

const failed = (exit: number, stderr: string): Ending => ({ exit, stderr: `  ${stderr}\n` });
const notFound = (group: string) => failed(5, `Volume group "${group}" not found`);

interface Row {
  readonly name: string;
  readonly volume: Volume | undefined;
}

const FIELDS: Readonly<Record<string, (row: Row) => string>> = {
  vg_name: () => machine.volumes.name,
  vg_uuid: () => machine.volumes.uuid,
  vg_missing_pv_count: () => (machine.volumes.lacks_disk ? '1' : '0'),
  vg_free: () => String(machine.volumes.free_bytes),
  vg_extent_size: () => String(EXTENT_BYTES),
  lv_name: ({ name }) => name,
  lv_uuid: ({ volume }) => volume?.uuid ?? '',
  lv_size: ({ volume }) => String(volume?.disk.size_bytes ?? 0),
  lv_device_open: ({ volume }) => (volume && volume.disk.users.size > 0 ? 'open' : ''),
  origin: () => '',
  pool_lv: () => '',
  lv_attr: ({ volume }) => `-wi-a${volume && volume.disk.users.size > 0 ? 'o' : '-'}----`,
  metadata_percent: () => '',
  lv_health_status: () => '',
  lv_kernel_major: () => '254',
  lv_kernel_minor: ({ volume }) => String(volume?.minor ?? -1),
  lv_active: () => 'active',
};

function report(kind: 'vg' | 'lv', args: readonly string[]): Ending {
  const fields = (args[args.indexOf('-o') + 1] ?? '').split(',');
  const group = args.at(-1) ?? '';
  const { volumes } = machine;
  if (!volumes.is_there) return notFound(group);
  const rows: Row[] =
    kind === 'vg'
      ? [{ name: '', volume: undefined }]
      : [...volumes.names].map(([name, volume]) => ({ name, volume }));
  const tell = (row: Row) =>
    Object.fromEntries(
      fields.map((field) => {
        const value = FIELDS[field];
        if (!value) throw new Error(`the model of LVM has no field ${field}`);
        return [field, value(row)];
      }),
    );
  return { exit: 0, stdout: JSON.stringify({ report: [{ [kind]: rows.map(tell) }], log: [] }) };
}

/** Why nothing can be changed. */
function refusal(): Ending | undefined {
  const { is_there, lacks_disk, name } = machine.volumes;
  if (!is_there) return notFound(name);
  return lacks_disk ? failed(5, `Cannot change VG ${name} while PVs are missing.`) : undefined;
}

function* ask(kind: 'vg' | 'lv', args: readonly string[]): Work {
  yield 60;
  return report(kind, args);
}

function* create(args: readonly string[]): Work {
  const name = args[args.indexOf('-n') + 1] ?? '';
  const size_bytes = Number((args[args.indexOf('-L') + 1] ?? '').replace(/b$/, ''));
  yield 100;
  const { volumes } = machine;
  const refused = refusal();
  if (refused) return refused;
  if (volumes.names.has(name))
    return failed(5, `Logical Volume "${name}" already exists in volume group "${volumes.name}"`);
  if (size_bytes > volumes.free_bytes) {
    return failed(5, `Volume group "${volumes.name}" has insufficient free space (0 extents): 1 required.`);
  }
  const vps = /^xen[0-9]+/.exec(name)?.[0] ?? name;
  const kind = name.endsWith('swap') ? 'swap' : 'root';
  const volume = volumes.make(new Disk(kind, vps, size_bytes, machine.engine.now));
  volumes.commit((names) => names.set(name, volume));
  yield 300;
  volumes.mapped.set(name, volume);
  return { exit: 0, stdout: `  Logical volume "${name}" created.\n` };
}

function* remove(args: readonly string[]): Work {
  const name = (args.at(-1) ?? '').replace(/^[^/]*\//, '');
  yield 100;
  const { volumes } = machine;
  const refused = refusal();
  if (refused) return refused;
  const volume = volumes.names.get(name);
  if (!volume) return failed(5, `Failed to find logical volume "${volumes.name}/${name}"`);
  if (volume.disk.users.size > 0) return failed(5, `Logical volume ${volumes.name}/${name} in use.`);
  if (!name.startsWith(REMOVED)) machine.watch.deleted(volume.disk);
  volumes.mapped.delete(name);
  yield 100;
  volumes.commit((names) => names.delete(name));
  return { exit: 0, stdout: `  Logical volume "${name}" successfully removed.\n` };
}

function* rename(args: readonly string[]): Work {
  const [group = '', from = '', to = ''] = args.slice(-3);
  yield 80;
  const { volumes } = machine;
  const refused = refusal();
  if (refused) return refused;
  const volume = volumes.names.get(from);
  if (!volume) return failed(5, `Existing logical volume "${from}" not found in volume group "${group}"`);
  if (volumes.names.has(to))
    return failed(5, `Logical volume "${to}" already exists in volume group "${group}"`);
  if (to.startsWith(REMOVED)) machine.watch.deleted(volume.disk);
  else machine.watch.renamed(volume.disk, from, to);
  volumes.commit((names) => {
    names.delete(from);
    names.set(to, volume);
  });
  yield 20;
  const mapped = volumes.mapped.get(from);
  volumes.mapped.delete(from);
  if (mapped) volumes.mapped.set(to, mapped);
  return { exit: 0, stdout: `  Renamed "${from}" to "${to}" in volume group "${group}"\n` };
}

/** `lvchange --refresh`, `-ay`, `--activate y`: the device mapper is told what the metadata says. */
function* change(args: readonly string[]): Work {
  const name = (args.at(-1) ?? '').replace(/^[^/]*\//, '');
  yield 60;
  const { volumes } = machine;
  const refused = refusal();
  if (refused) return refused;
  const volume = volumes.names.get(name);
  if (!volume) return failed(5, `Failed to find logical volume "${volumes.name}/${name}"`);
  for (const [other, mapped] of [...volumes.mapped]) if (mapped === volume) volumes.mapped.delete(other);
  volumes.mapped.set(name, volume);
  return { exit: 0 };
}

/** `lvreduce -L 64b`: what lies behind is anybody's. */
function* reduce(args: readonly string[]): Work {
  const name = (args.at(-1) ?? '').replace(/^[^/]*\//, '');
  const size_bytes = Number((args[args.indexOf('-L') + 1] ?? '').replace(/b$/, ''));
  yield 60;
  const { volumes } = machine;
  const refused = refusal();
  if (refused) return refused;
  const volume = volumes.names.get(name);
  if (!volume || size_bytes > volume.disk.size_bytes) return failed(5, `${name} cannot be reduced`);
  volume.disk.size_bytes = size_bytes;
  return { exit: 0 };
}

/** `blkdiscard --zeroout`: nothing is left of what was there, which only a removed volume is there for. */
export function* zeroOut(by: Program, args: readonly string[]): Work {
  const path = args.at(-1) ?? '';
  yield 40;
  const disk = machine.diskAt(path);
  if (!disk) return { exit: 1, stderr: `blkdiscard: cannot open ${path}: No such file or directory\n` };
  const [name = path] = [...machine.volumes.names].find(([, volume]) => volume.disk === disk) ?? [];
  if (!name.startsWith(REMOVED)) {
    machine.watch.deleted(disk);
    machine.watch.report('deleted without an order', `${by.told} wiped the ${disk.told}, which is ${name}`);
  }
  machine.watch.written(disk, by);
  disk.system = undefined;
  disk.changedBy(by.told);
  yield 400;
  return { exit: 0 };
}

/** The filter of a node whose lvm.conf is as Debian has it. */
function* configuration(): Work {
  yield 40;
  return { exit: 0, stdout: 'global_filter=["a|.*|"]\nscan_lvs=0\n' };
}

/** What a program of LVM's does; undefined: the model does not know it. */
export function lvm(program: string, args: readonly string[]): Work | undefined {
  switch (program) {
    case 'lvmconfig':
      return configuration();
    case 'vgs':
      return ask('vg', args);
    case 'lvs':
      return ask('lv', args);
    case 'lvcreate':
      return create(args);
    case 'lvremove':
      return remove(args);
    case 'lvrename':
      return rename(args);
    case 'lvchange':
      return change(args);
    case 'lvreduce':
      return reduce(args);
    default:
      return undefined;
  }
}
