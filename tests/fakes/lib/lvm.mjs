// The fake lvcreate, lvremove, lvrename, lvextend, lvreduce, lvchange.
import { indented, lvmArguments, say, tellArchives, tellLvm } from './lvm-arguments.mjs';
import { longSize, parseSize } from './lvm-sizes.mjs';
import { isPool, isThin, makePool, makeSnapshot, makeThin, overProvisioned } from './lvm-thin.mjs';
import {
  activate,
  addVolume,
  deactivate,
  dropVolume,
  EXTENT,
  extents,
  freeExtents,
  growVolume,
  isPartial,
  LvmError,
  nameTaken,
  nodePath,
  refresh,
  rename,
  requireWhole,
  shrinkVolume,
  signature,
  splitName,
  volume,
  volumeGroup,
  zeroFront,
} from './lvm-volumes.mjs';
import { isOpen, openBy } from './open-files.mjs';
import { err, NotKnown, sleep, withState } from './store.mjs';

const ZEROED = 4096;
const YES = ['-y', '--yes'];
const SIZE = ['-L', '--size:'];
const RUN_HELP = (program) => `Run \`${program} --help' for more information.`;

function checkName(program, name) {
  if (/^[a-zA-Z0-9_.+][-a-zA-Z0-9_.+]*$/.test(name) && name !== '.' && name !== '..') return;
  throw new LvmError(`Logical volume name "${name}" is invalid.\n${RUN_HELP(program)}`, 3);
}

function target(root, program, text) {
  const found = text === undefined ? undefined : splitName(root, text);
  if (!found) throw new NotKnown(`${program} of ${text ?? 'nothing'} is not part of the fake`);
  return found;
}

/** Whole extents for a size; LVM says so where it had to round up. */
function wholeExtents(bytes) {
  const count = Math.ceil(bytes / EXTENT);
  if (count === 0) throw new NotKnown('a size of 0 is not part of the fake');
  if (count * EXTENT !== bytes) say(`Rounding up size to full physical extent ${longSize(count * EXTENT)}`);
  return count;
}

async function lvcreate(root, args) {
  const { options, operands } = lvmArguments('lvcreate', args, [
    YES,
    SIZE,
    ['-l', '--extents:'],
    ['-n', '--name:'],
    ['-W', '--wipesignatures:'],
    ['-Z', '--zero:'],
    ['-V', '--virtualsize:'],
    ['', '--thinpool:'],
    ['', '--type:'],
    ['-s', '--snapshot'],
    ['-k', '--setactivationskip:'],
    ['-p', '--permission:'],
    ['-a', '--activate:'],
  ]);
  if (options.name) checkName('lvcreate', options.name);
  if (options.type !== undefined) return makePool(root, options, operands);
  if (options.virtualsize !== undefined) return makeThin(root, options, operands, wholeExtents);
  if (options.snapshot) return makeSnapshot(root, options, operands);
  if (['setactivationskip', 'thinpool', 'activate'].some((name) => options[name] !== undefined)) {
    throw new NotKnown('lvcreate of a thick volume with options of thin ones is not part of the fake');
  }
  const [vg_name, ...more] = operands;
  const { name, size } = options;
  if (!vg_name || !name || more.length > 0 || (size === undefined) === (options.extents === undefined)) {
    throw new NotKnown('lvcreate without -n NAME, one of -L and -l, and one VG is not part of the fake');
  }
  if (options.extents !== undefined && !/^[1-9][0-9]*$/.test(options.extents)) {
    throw new NotKnown(`lvcreate -l ${options.extents} is not part of the fake`);
  }
  const bytes = size === undefined ? Number(options.extents) * EXTENT : parseSize(size);
  return withState(root, (state) => {
    const vg = volumeGroup(state, vg_name);
    requireWhole(vg_name, vg);
    const count = wholeExtents(bytes);
    if (vg.lvs.some((lv) => lv.name === name)) {
      throw new LvmError(`Logical Volume "${name}" already exists in volume group "${vg_name}"`);
    }
    const free = freeExtents(vg);
    if (count > free) {
      throw new LvmError(
        `Volume group "${vg_name}" has insufficient free space (${free} extents): ${count} required.`,
      );
    }
    tellArchives(vg_name);
    const lv = addVolume(root, state, vg_name, name, count);
    const path = nodePath(root, lv);
    const found = options.wipesignatures === 'n' ? undefined : signature(path);
    if (found && !options.yes) {
      const device = `${root}/dev/${vg_name}/${name}`;
      dropVolume(root, state, vg_name, lv);
      err(
        `WARNING: ${found.type} signature detected on ${device} at offset ${found.offset}. Wipe it? [y/n]: [n]\n`,
      );
      throw new LvmError(
        `Aborted wiping of ${found.type}.\n1 existing signature left on the device.\nFailed to wipe signatures on logical volume ${vg_name}/${name}.\nAborting. Failed to wipe start of new LV.`,
      );
    }
    if (found) {
      say(`Wiping ${found.type} signature on ${root}/dev/${vg_name}/${name}.`);
      zeroFront(path, found.offset + 512);
    }
    if (options.zero !== 'n') zeroFront(path, ZEROED);
    say(`Logical volume "${name}" created.`);
    return 0;
  });
}

async function removeOne(root, text, { yes, force }) {
  const [vg_name, lv_name] = target(root, 'lvremove', text);
  const look = (state) => {
    const lv = volume(state, vg_name, lv_name);
    const { guest, loop, mounted } = openBy(state, nodePath(root, lv));
    return { lv, mounted, open: guest || loop, busy_ms: state.timing.lvm_busy_ms };
  };
  const first = await withState(root, look);
  if (first.open && !first.mounted) await sleep(first.busy_ms);
  return withState(root, (state) => {
    const { lv, open, mounted } = look(state);
    if (mounted) throw new LvmError(`Logical volume ${vg_name}/${lv_name} contains a filesystem in use.`);
    if (open) throw new LvmError(`Logical volume ${vg_name}/${lv_name} in use.`);
    if (!yes && !force) {
      if (!lv.active) throw new NotKnown('lvremove of an inactive volume without -y is not part of the fake');
      err(`Do you really want to remove active logical volume ${vg_name}/${lv_name}? [y/n]: [n]\n`);
      throw new LvmError(`Logical volume ${vg_name}/${lv_name} not removed.`);
    }
    const thin = isPool(lv) ? volumeGroup(state, vg_name).lvs.filter((each) => each.pool === lv.name) : [];
    if (thin.some((each) => each.active && isOpen(state, nodePath(root, each)))) {
      throw new NotKnown('lvremove of a pool with an open volume is not part of the fake');
    }
    tellArchives(vg_name);
    for (const each of [...thin, lv]) {
      dropVolume(root, state, vg_name, each);
      say(`Logical volume "${each.name}" successfully removed.`);
    }
    return 0;
  });
}

async function lvremove(root, args) {
  const { options, operands } = lvmArguments('lvremove', args, [YES, ['-f', '--force']]);
  if (operands.length === 0) target(root, 'lvremove', undefined);
  let worst = 0;
  for (const each of operands) {
    worst = Math.max(worst, await removeOne(root, each, options).catch(tellLvm));
  }
  return worst;
}

async function lvrename(root, args, { torn = false }) {
  const { operands } = lvmArguments('lvrename', args, [YES]);
  const [vg_name, from] = operands.length === 3 ? operands : target(root, 'lvrename', operands[0]);
  const last = operands.at(-1);
  const to = splitName(root, last)?.[1] ?? last;
  if (operands.length < 2 || operands.length > 3)
    throw new NotKnown('lvrename takes VG OLD NEW, or VG/OLD NEW');
  checkName('lvrename', to);
  return withState(root, (state) => {
    const vg = volumeGroup(state, vg_name);
    requireWhole(vg_name, vg);
    if (vg.lvs.some((lv) => lv.name === to)) {
      throw new LvmError(`Logical Volume "${to}" already exists in volume group "${vg_name}"`);
    }
    const lv = vg.lvs.find((each) => each.name === from);
    if (!lv) throw new NotKnown('what lvrename says of an unknown volume is not part of the fake');
    if (isPool(lv)) throw new NotKnown('lvrename of a pool is not part of the fake');
    tellArchives(vg_name);
    const renamed = rename(root, vg_name, vg, lv, to, torn);
    vg.lvs.sort((a, b) => (a.name < b.name ? -1 : 1));
    if (torn) return 0;
    if (!renamed) {
      // LVM's metadata has the new name by now: told here, since what is thrown leaves the world as it was.
      err(
        indented(
          `${nameTaken(vg_name, lv)}\nProblem reactivating logical volume ${vg_name}/${to}.\nReleasing activation in critical section.\nlibdevmapper exiting with 1 device(s) still suspended.`,
        ),
      );
      return 5;
    }
    say(`Renamed "${from}" to "${to}" in volume group "${vg_name}"`);
    return 0;
  });
}

async function lvextend(root, args) {
  const { options, operands } = lvmArguments('lvextend', args, [YES, SIZE]);
  const [vg_name, lv_name] = target(root, 'lvextend', operands[0]);
  if (options.size === undefined) throw new NotKnown('lvextend without -L is not part of the fake');
  const adds = options.size.startsWith('+');
  const bytes = parseSize(options.size.slice(adds ? 1 : 0));
  return withState(root, (state) => {
    const vg = volumeGroup(state, vg_name);
    requireWhole(vg_name, vg);
    const lv = volume(state, vg_name, lv_name);
    const had = extents(lv);
    const count = wholeExtents(bytes) + (adds ? had : 0);
    if (count <= had) {
      throw new LvmError(`New size given (${count} extents) not larger than existing size (${had} extents)`);
    }
    if (isPool(lv)) throw new NotKnown('lvextend of a pool is not part of the fake');
    const free = isThin(lv) ? Number.POSITIVE_INFINITY : freeExtents(vg);
    if (count - had > free) {
      throw new LvmError(
        `Insufficient free space: ${count - had} extents needed, but only ${free} available`,
      );
    }
    tellArchives(vg_name);
    growVolume(root, vg, lv, count);
    say(
      `Size of logical volume ${vg_name}/${lv_name} changed from ${longSize(had * EXTENT)} (${had} extents) to ${longSize(count * EXTENT)} (${count} extents).`,
    );
    if (isThin(lv)) overProvisioned(vg_name, vg, lv.pool);
    say(`Logical volume ${vg_name}/${lv_name} successfully resized.`);
    return 0;
  });
}

/** Ends as LVM does where a file system is larger than its volume is to be. */
function requireRoomBehind(path, vg_name, lv_name, bytes) {
  const found = signature(path);
  if (!found) return;
  const size = found.size_bytes;
  if (size === undefined || size <= bytes)
    throw new NotKnown(`lvreduce of a volume with ${found.type} of this size is not part of the fake`);
  say(
    `File system ${found.type} found on ${vg_name}/${lv_name}.\nFile system size (${longSize(size)}) is larger than the requested size (${longSize(bytes)}).`,
  );
  throw new LvmError('File system reduce is required (see resize2fs or --resizefs.)');
}

/** `lvreduce -A n -y -L`: as far as it was seen on real LVM. */
async function lvreduce(root, args) {
  const { options, operands } = lvmArguments('lvreduce', args, [YES, SIZE, ['-A', '--autobackup:']]);
  const [vg_name, lv_name] = target(root, 'lvreduce', operands[0]);
  const { yes, size, autobackup } = options;
  const bytes = parseSize(size ?? '');
  if (!yes || autobackup !== 'n' || bytes === 0 || bytes % EXTENT !== 0) {
    throw new NotKnown('lvreduce, but for -A n -y -L and a size of whole extents, is not part of the fake');
  }
  return withState(root, (state) => {
    requireWhole(vg_name, volumeGroup(state, vg_name));
    const lv = volume(state, vg_name, lv_name);
    const path = nodePath(root, lv);
    if (isThin(lv) || isPool(lv) || isOpen(state, path)) {
      throw new NotKnown('lvreduce of an open volume, a thin one or a pool is not part of the fake');
    }
    const [had, count] = [extents(lv), bytes / EXTENT];
    if (count === had) {
      say(`New size (${count} extents) matches existing size (${had} extents).`);
      throw new LvmError('No size change.');
    }
    if (count > had) {
      throw new LvmError(`New size given (${count} extents) not less than existing size (${had} extents)`);
    }
    if (!lv.active) throw new LvmError('The LV must be active to safely reduce (see --fs options.)');
    requireRoomBehind(path, vg_name, lv_name, bytes);
    say(`No file system found on ${root}/dev/${vg_name}/${lv_name}.`);
    shrinkVolume(root, vg_name, lv, count);
    err(indented('WARNING: This metadata update is NOT backed up.'));
    say(
      `Size of logical volume ${vg_name}/${lv_name} changed from ${longSize(had * EXTENT)} (${had} extents) to ${longSize(bytes)} (${count} extents).`,
    );
    say(`Logical volume ${vg_name}/${lv_name} successfully resized.`);
    return 0;
  });
}

/** `lvchange -y -pr -ky`: as far as it was seen on real LVM. */
async function changePermission(
  root,
  vg_name,
  lv_name,
  { permission, setactivationskip, activate: act, yes },
) {
  if (!['r', 'rw'].includes(permission) || act !== undefined) {
    throw new NotKnown(`lvchange -p ${permission} with these options is not part of the fake`);
  }
  return withState(root, (state) => {
    const lv = volume(state, vg_name, lv_name);
    const read_only = permission === 'r';
    if (!read_only && !lv.read_only)
      throw new LvmError(`Logical volume ${vg_name}/${lv_name} is already writable.`);
    if (read_only === lv.read_only || !yes || !isThin(lv) || lv.active || setactivationskip !== 'y') {
      throw new NotKnown(
        'lvchange -p, but of an inactive thin volume with -y and -ky, is not part of the fake',
      );
    }
    lv.read_only = read_only;
    lv.skip = true;
    say(`Logical volume ${vg_name}/${lv_name} changed.`);
    return 0;
  });
}

/** Puts a torn volume right, if it is one, as `lvchange --refresh` and `-ay` do. Returns the exit code. */
function refreshTold(root, vg_name, vg, lv) {
  const was_torn = lv.torn_name !== undefined;
  if (!refresh(root, vg_name, vg, lv))
    throw new LvmError(`${nameTaken(vg_name, lv)}\nFailed to reactivate ${vg_name}/${lv.name}.`);
  if (was_torn) err(indented('Attempted to decrement suspended device counter below zero.'));
  return 0;
}

function requireDisks(vg_name, vg, lv, what) {
  if (!isPartial(vg, lv)) return;
  throw new LvmError(
    `Refusing ${what} of partial LV ${vg_name}/${lv.name}. ${what === 'activation' ? ' ' : ''}Use '--activationmode partial' to override.`,
  );
}

async function lvchange(root, args) {
  const { options, operands } = lvmArguments('lvchange', args, [
    YES,
    ['-a', '--activate:'],
    ['-p', '--permission:'],
    ['-k', '--setactivationskip:'],
    ['-K', '--ignoreactivationskip'],
    ['', '--refresh'],
  ]);
  const [vg_name, lv_name] = target(root, 'lvchange', operands[0]);
  if (options.permission !== undefined) return changePermission(root, vg_name, lv_name, options);
  if (options.refresh) {
    if (Object.keys(options).length > 1)
      throw new NotKnown('lvchange --refresh with other options is not part of the fake');
    return withState(root, (state) => {
      const lv = volume(state, vg_name, lv_name);
      requireDisks(vg_name, volumeGroup(state, vg_name), lv, 'refresh');
      return refreshTold(root, vg_name, volumeGroup(state, vg_name), lv);
    });
  }
  if (!['y', 'n'].includes(options.activate))
    throw new NotKnown('lvchange without -ay, -an or --refresh is not part of the fake');
  return withState(root, (state) => {
    const lv = volume(state, vg_name, lv_name);
    if (options.activate === 'y') requireDisks(vg_name, volumeGroup(state, vg_name), lv, 'activation');
    if (options.activate === 'n' && isOpen(state, nodePath(root, lv))) {
      throw new LvmError(`Logical volume ${vg_name}/${lv_name} in use.`);
    }
    const skips = lv.skip && !options.ignoreactivationskip;
    if (options.activate === 'y' && !lv.active && !skips) activate(root, vg_name, lv);
    else if (options.activate === 'y') return refreshTold(root, vg_name, volumeGroup(state, vg_name), lv);
    if (options.activate === 'n' && lv.active) deactivate(root, vg_name, lv);
    return 0;
  });
}

const PROGRAMS = { lvcreate, lvremove, lvrename, lvextend, lvreduce, lvchange };

/** `torn`: a fault, that lvrename is killed between LVM's metadata and the device mapper. */
export const main = (root, program, args, { torn = false } = {}) =>
  PROGRAMS[program](root, args, { torn }).catch(tellLvm);
