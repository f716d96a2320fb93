// Thin pools, thin volumes and their snapshots, as far as they were seen on real LVM (transcripts 258 and on).
import { say, tellArchives } from './lvm-arguments.mjs';
import { longSize, parseSize } from './lvm-sizes.mjs';
import {
  addVolume,
  deactivate,
  EXTENT,
  extents,
  freeExtents,
  LvmError,
  requireWhole,
  splitName,
  volumeGroup,
} from './lvm-volumes.mjs';
import { err, NotKnown, withState } from './store.mjs';

/** LVM's least: a metadata volume of one extent. */
const METADATA = 1;

export const isPool = (lv) => lv.metadata !== undefined;
export const isThin = (lv) => lv.virtual !== undefined;

const only = (options, ...known) => {
  const other = Object.keys(options).find((name) => !known.includes(name));
  if (other !== undefined)
    throw new NotKnown(`lvcreate --${other} with these options is not part of the fake`);
};

function requireNew(vg_name, vg, name) {
  requireWhole(vg_name, vg);
  if (vg.lvs.some((lv) => lv.name === name)) {
    throw new LvmError(`Logical Volume "${name}" already exists in volume group "${vg_name}"`);
  }
}

/** What LVM says where the volumes of a pool may come to hold more than it. */
export function overProvisioned(vg_name, vg, pool_name) {
  const sum = vg.lvs.filter(({ pool }) => pool === pool_name).reduce((total, lv) => total + extents(lv), 0);
  const pool = vg.lvs.find(({ name }) => name === pool_name);
  if (sum <= extents(pool)) return;
  const [all, has] = [longSize(sum * EXTENT), longSize(extents(pool) * EXTENT)];
  err(
    `  WARNING: Sum of all thin volume sizes (${all}) exceeds the size of thin pool ${vg_name}/${pool_name} (${has}).\n`,
  );
  say(
    'WARNING: You have not turned on protection against thin pools running out of space.\nWARNING: Set activation/thin_pool_autoextend_threshold below 100 to trigger automatic extension of thin pools before they get full.',
  );
}

export function makePool(root, options, [vg_name, ...more]) {
  const { type, name, size, yes } = options;
  only(options, 'type', 'name', 'size', 'yes');
  if (type !== 'thin-pool' || !name || !size || !yes || !vg_name || more.length > 0) {
    throw new NotKnown(
      'lvcreate --type, but for -y --type thin-pool -L SIZE -n NAME VG, is not part of the fake',
    );
  }
  return withState(root, (state) => {
    const vg = volumeGroup(state, vg_name);
    requireNew(vg_name, vg, name);
    const count = parseSize(size) / EXTENT;
    if (!Number.isInteger(count) || count + 2 * METADATA > freeExtents(vg)) {
      throw new NotKnown('a thin pool that is not of whole extents, or has no room, is not part of the fake');
    }
    tellArchives(vg_name);
    addVolume(root, state, vg_name, name, count, { metadata: METADATA });
    say('Thin pool volume with chunk size 64.00 KiB can address at most <15.88 TiB of data.');
    say(`Logical volume "${name}" created.`);
    return 0;
  });
}

export function makeThin(root, options, [vg_name, ...more], wholeExtents) {
  const { name, thinpool, virtualsize } = options;
  only(options, 'name', 'thinpool', 'virtualsize', 'yes', 'wipesignatures');
  if (!name || !thinpool || !vg_name || more.length > 0) {
    throw new NotKnown('lvcreate -V without -n NAME, --thinpool NAME and one VG is not part of the fake');
  }
  return withState(root, (state) => {
    const vg = volumeGroup(state, vg_name);
    const pool = vg.lvs.find((lv) => lv.name === thinpool);
    if (!pool) throw new LvmError(`Pool ${thinpool} not found in Volume group ${vg_name}.`);
    if (!isPool(pool)) throw new LvmError(`Logical volume ${vg_name}/${thinpool} is not a thin pool.`);
    const count = wholeExtents(parseSize(virtualsize));
    requireNew(vg_name, vg, name);
    tellArchives(vg_name);
    addVolume(root, state, vg_name, name, count, { virtual: count, pool: thinpool, origin: '' });
    overProvisioned(vg_name, vg, thinpool);
    say(`Logical volume "${name}" created.`);
    return 0;
  });
}

export function makeSnapshot(root, options, [origin, ...more]) {
  const { name, setactivationskip, activate = 'y', yes } = options;
  only(options, 'name', 'snapshot', 'setactivationskip', 'activate', 'permission', 'yes');
  const [vg_name, origin_name] = splitName(root, origin ?? '') ?? [];
  if (
    !name ||
    !origin_name ||
    more.length > 0 ||
    setactivationskip !== 'n' ||
    (options.permission ?? 'rw') !== 'rw' ||
    !['y', 'n'].includes(activate) ||
    !yes
  ) {
    throw new NotKnown('lvcreate -s, but for -y -kn [-an] -s -n NAME VG/ORIGIN, is not part of the fake');
  }
  return withState(root, (state) => {
    const vg = volumeGroup(state, vg_name);
    const of = vg.lvs.find((lv) => lv.name === origin_name);
    if (!of) {
      throw new LvmError(`Snapshot origin LV ${origin_name} not found in Volume group ${vg_name}.`);
    }
    if (!isThin(of)) throw new NotKnown('a snapshot of a thick volume is not part of the fake');
    requireNew(vg_name, vg, name);
    const { pool, virtual } = of;
    tellArchives(vg_name);
    const lv = addVolume(root, state, vg_name, name, virtual, { virtual, pool, origin: origin_name });
    if (activate === 'n') deactivate(root, vg_name, lv);
    overProvisioned(vg_name, vg, pool);
    say(`Logical volume "${name}" created.`);
    return 0;
  });
}
