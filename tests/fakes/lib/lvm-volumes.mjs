// Volume groups of sparse files: ROOT/dev/VG/NAME is a link to ROOT/dev/dm-N, as udev makes it.

import { execFileSync } from 'node:child_process';
import { randomInt } from 'node:crypto';
import {
  closeSync,
  existsSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { isSeen } from './lvm-filter.mjs';

export const EXTENT = 4 * 1024 * 1024;
/** Enough of a removed volume's front to hold what blkid would find there. */
const REMAINS = 64 * 1024;
const UUID_LETTERS = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789';

export class LvmError extends Error {
  constructor(text, exit = 5) {
    super(text);
    this.exit = exit;
  }
}

export const lvmUuid = () =>
  [6, 4, 4, 4, 4, 4, 6]
    .map((length) => Array.from({ length }, () => UUID_LETTERS[randomInt(UUID_LETTERS.length)]).join(''))
    .join('-');

/** What a volume holds of its group; a thin one holds nothing, its pool does. */
const held = (lv) => lv.segments.reduce((sum, [, length]) => sum + length, 0);
export const extents = (lv) => lv.virtual ?? held(lv) - (lv.metadata ?? 0);
/** The first pool of a group brings a spare volume for repairs with it, as large as its metadata. */
const spare = (vg) => Math.max(0, ...vg.lvs.map((lv) => lv.metadata ?? 0));
export const freeExtents = (vg) => vg.extents - vg.lvs.reduce((sum, lv) => sum + held(lv), 0) - spare(vg);

/** What LVM says, and does not do, where a device that it sees bears the name of a group that it has seen already. */
export const TWINS = (name) =>
  `Multiple VGs found with the same name: skipping ${name}\nUse --select vg_uuid=<uuid> in place of the VG name.`;
/** Whether LVM sees a group that a guest has made of that name. */
export const hasTwin = (state, { twin }) =>
  twin !== undefined &&
  isSeen(
    state,
    [twin.device, ...(twin.links ?? [])].map((name) => `/dev/${name}`),
  );

export function volumeGroup(state, name) {
  const vg = state.vgs[name];
  if (!vg) throw new LvmError(`Volume group "${name}" not found\nCannot process volume group ${name}`);
  if (hasTwin(state, vg)) throw new LvmError(TWINS(name));
  return vg;
}

/** `vg0/xen01` or a path of a device node -> [vg, lv]; undefined where it is neither. */
export function splitName(root, text) {
  const dev = [`${root}/dev/`, '/dev/'].find((prefix) => text.startsWith(prefix)) ?? '';
  const [vg, lv, more] = text.slice(dev.length).split('/');
  return vg && lv && more === undefined ? [vg, lv] : undefined;
}

export function volume(state, vg_name, lv_name) {
  const lv = volumeGroup(state, vg_name).lvs.find((each) => each.name === lv_name);
  if (!lv) throw new LvmError(`Failed to find logical volume "${vg_name}/${lv_name}"`);
  return lv;
}

export const nodePath = (root, lv) => join(root, 'dev', `dm-${lv.minor}`);
const linkPath = (root, vg, lv) => join(root, 'dev', vg, lv.name);
const storePath = (root, lv) => join(root, 'state', 'inactive', lv.uuid);

/** The file that holds a volume's bytes. */
export const contentPath = (root, lv) => (lv.active ? nodePath(root, lv) : storePath(root, lv));

/** Whether a volume lies on a disk that is missing. */
export const isPartial = ({ missing_pv }, { name }) =>
  missing_pv !== undefined && (missing_pv.volumes === 'all' || missing_pv.volumes.includes(name));

/** Refuses what LVM refuses while a group is not whole: all that writes its metadata, but not lvremove. */
export function requireWhole(vg_name, vg) {
  if (vg.missing_pv === undefined) return;
  throw new LvmError(
    `Cannot change VG ${vg_name} while PVs are missing.\nSee vgreduce --removemissing and vgextend --restoremissing.\nCannot process volume group ${vg_name}`,
  );
}

/** Makes the device node and its link appear. */
export function activate(root, vg_name, lv) {
  if (existsSync(storePath(root, lv))) renameSync(storePath(root, lv), nodePath(root, lv));
  mkdirSync(dirname(linkPath(root, vg_name, lv)), { recursive: true });
  // A pool is no disk of anybody's: it has no link.
  if (!lv.metadata) symlinkSync(`../dm-${lv.minor}`, linkPath(root, vg_name, lv));
  lv.active = true;
}

export function deactivate(root, vg_name, lv) {
  mkdirSync(dirname(storePath(root, lv)), { recursive: true });
  if (!lv.metadata) rmSync(linkPath(root, vg_name, { name: mapperName(lv) }));
  renameSync(nodePath(root, lv), storePath(root, lv));
  lv.active = false;
  delete lv.torn_name;
}

/** What the device mapper calls a volume, and udev its link. */
export const mapperName = (lv) => lv.torn_name ?? lv.name;

/**
 * Gives a volume's name to the device mapper. One that is killed here has not told anybody: the next one does it again.
 *
 * @returns whether it could: not where another volume's device has the name, since an lvrename of that one was killed
 */
export function refresh(root, vg_name, vg, lv) {
  if (!lv.active || lv.metadata) return true;
  if (vg.lvs.some((other) => other !== lv && other.active && mapperName(other) === lv.name)) return false;
  const [before, after] = [mapperName(lv), lv.name].map((name) => linkPath(root, vg_name, { name }));
  if (before !== after) {
    rmSync(after, { force: true });
    symlinkSync(`../dm-${lv.minor}`, after);
    rmSync(before, { force: true });
  }
  delete lv.torn_name;
  return true;
}

/** What libdevmapper says of a name that another device has. */
export const nameTaken = (vg_name, lv) => {
  const [from, to] = [mapperName(lv), lv.name].map((name) => `${vg_name}-${name}`);
  return `device-mapper: rename ioctl on ${from}  failed: Device or resource busy\nFailed to rename ${from} (253:${lv.minor}) to ${to}`;
};

/** Renames a volume in LVM's metadata, and then, but for `torn`, its device. It is never without a link. Returns as `refresh`. */
export function rename(root, vg_name, vg, lv, name, torn) {
  for (const other of vg.lvs) if (other.origin === lv.name) other.origin = name;
  if (lv.active) lv.torn_name = mapperName(lv);
  lv.name = name;
  return torn || refresh(root, vg_name, vg, lv);
}

/** Takes the lowest free extents; several segments where no run is long enough. */
function allocate(vg, count) {
  const used = vg.lvs.flatMap((lv) => lv.segments).sort(([a], [b]) => a - b);
  const segments = [];
  let at = 0;
  let missing = count;
  for (const [start, length] of [...used, [vg.extents, 0]]) {
    const room = Math.min(start - at, missing);
    if (room > 0) {
      segments.push([at, room]);
      missing -= room;
    }
    at = start + length;
  }
  return segments;
}

/** What blkid finds at the front of a file: `{ type, offset }`, of an ext4 also `size_bytes`; or undefined. */
export function signature(path) {
  const head = Buffer.alloc(REMAINS);
  const fd = openSync(path, 'r');
  try {
    readSync(fd, head, 0, REMAINS, 0);
  } finally {
    closeSync(fd);
  }
  if (head.readUInt16LE(1080) === 0xef53) {
    const size_bytes = head.readUInt32LE(1028) * (1024 << head.readUInt32LE(1048));
    return { type: 'ext4', offset: 1080, size_bytes };
  }
  if (head.toString('latin1', 4086, 4096) === 'SWAPSPACE2') return { type: 'swap', offset: 4086 };
  return undefined;
}

/** Clears the first `length` bytes. */
export function zeroFront(path, length) {
  const fd = openSync(path, 'r+');
  try {
    writeSync(fd, Buffer.alloc(length), 0, length, 0);
  } finally {
    closeSync(fd);
  }
}

/**
 * Makes a volume of `count` extents, active; its front holds what the extents' last owner left there. A thin one, with
 * `{ virtual: count, pool, origin }` as `more`, holds what its origin does, or zeroes.
 */
export function addVolume(root, state, vg_name, name, count, more = {}) {
  const vg = state.vgs[vg_name];
  const segments = more.virtual === undefined ? allocate(vg, count + (more.metadata ?? 0)) : [];
  const groups = [state.vgs, state.away_vgs].flatMap((each) => Object.values(each ?? {}));
  const taken = new Set(groups.flatMap(({ lvs }) => lvs.map((lv) => lv.minor)));
  let minor = 0;
  while (taken.has(minor)) minor += 1;
  const io = { rd_req: 0, rd_sect: 0, wr_req: 0, wr_sect: 0 };
  const lv = { name, uuid: lvmUuid(), minor, segments, active: false, io, ...more };
  const path = nodePath(root, lv);
  mkdirSync(dirname(path), { recursive: true });
  if (more.virtual === undefined) {
    const remains = join(root, 'state', 'remains', vg_name, String(segments[0][0]));
    writeFileSync(path, existsSync(remains) ? readFileSync(remains) : '');
    rmSync(remains, { force: true });
  } else if (more.origin) {
    const source = contentPath(root, volume(state, vg_name, more.origin));
    execFileSync('cp', ['--sparse=always', '--reflink=auto', '--', source, path]);
  } else {
    writeFileSync(path, '');
  }
  truncateSync(path, count * EXTENT);
  vg.lvs.push(lv);
  vg.lvs.sort((a, b) => (a.name < b.name ? -1 : 1));
  activate(root, vg_name, lv);
  return lv;
}

export function growVolume(root, vg, lv, count) {
  if (lv.virtual === undefined) lv.segments.push(...allocate(vg, count - extents(lv)));
  else lv.virtual = count;
  truncateSync(contentPath(root, lv), count * EXTENT);
}

/** What a volume's extents hold is there for the next one that gets them: of each run of them, the first bytes. */
function leaveRemains(root, vg_name, extent, file, offset) {
  const remains = join(root, 'state', 'remains', vg_name, String(extent));
  mkdirSync(dirname(remains), { recursive: true });
  const front = Buffer.alloc(REMAINS);
  const fd = openSync(file, 'r');
  readSync(fd, front, 0, REMAINS, offset);
  closeSync(fd);
  writeFileSync(remains, front);
}

/** Takes a volume's last extents from it. */
export function shrinkVolume(root, vg_name, lv, count) {
  const path = contentPath(root, lv);
  const kept = [];
  let at = 0;
  for (const [start, length] of lv.segments) {
    const keep = Math.max(0, Math.min(length, count - at));
    if (keep > 0) kept.push([start, keep]);
    if (keep < length) leaveRemains(root, vg_name, start + keep, path, (at + keep) * EXTENT);
    at += length;
  }
  lv.segments = kept;
  truncateSync(path, count * EXTENT);
}

/**
 * Removes a volume. Its extents keep their first bytes, as on a real disk; thin copies of it stand for themselves. What a fake
 * that was killed here has taken away already is not missed.
 */
export function dropVolume(root, state, vg_name, lv) {
  const path = contentPath(root, lv);
  if (lv.active && !lv.metadata) rmSync(linkPath(root, vg_name, { name: mapperName(lv) }), { force: true });
  if (lv.virtual === undefined && existsSync(path)) {
    const remains = join(root, 'state', 'remains', vg_name, String(lv.segments[0][0]));
    const fd = openSync(path, 'r+');
    ftruncateSync(fd, REMAINS);
    closeSync(fd);
    mkdirSync(dirname(remains), { recursive: true });
    renameSync(path, remains);
  } else {
    rmSync(path, { force: true });
  }
  const vg = state.vgs[vg_name];
  vg.lvs = vg.lvs.filter((each) => each !== lv);
  for (const other of vg.lvs) if (other.origin === lv.name) other.origin = '';
}

/** The volumes as they are after a boot: active, under their own names; not those that lie on a disk that is missing. */
export function bootVolumes(root, state) {
  for (const [vg_name, vg] of Object.entries(state.vgs)) {
    for (const lv of vg.lvs) {
      const wanted = !lv.skip && !isPartial(vg, lv);
      if (lv.active && (!wanted || lv.torn_name !== undefined)) deactivate(root, vg_name, lv);
      if (!lv.active && wanted) activate(root, vg_name, lv);
    }
  }
}

/** Takes disks away from a group, or all of them, or gives them back. */
export function troubleGroup(root, state, vg_name, trouble) {
  const away = state.away_vgs?.[vg_name];
  const vg = state.vgs[vg_name] ?? away;
  if (!vg) throw new Error(`The fake node has no volume group ${vg_name}.`);
  if (away && !trouble.away) {
    delete state.away_vgs[vg_name];
    state.vgs[vg_name] = vg;
  }
  delete vg.missing_pv;
  delete vg.twin;
  if (trouble.twin) vg.twin = { uuid: lvmUuid(), ...trouble.twin };
  if (trouble.missing_pv) vg.missing_pv = { uuid: lvmUuid(), volumes: trouble.missing_pv };
  if (trouble.away && !away) {
    for (const lv of vg.lvs.filter(({ active }) => active)) deactivate(root, vg_name, lv);
    delete state.vgs[vg_name];
    state.away_vgs = { ...state.away_vgs, [vg_name]: vg };
  }
  if (away && !trouble.away) bootVolumes(root, state);
}
