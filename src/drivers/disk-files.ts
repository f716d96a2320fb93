import {
  link,
  lstat,
  mkdir,
  open,
  readdir,
  readFile,
  readlink,
  realpath,
  rename,
  rm,
  stat,
  statfs,
} from 'node:fs/promises';
import { join } from 'node:path';
import type { Config } from '../config/schema.ts';
import { syncFolder, temporaryName } from '../core/atomic-file.ts';
import { AgentError } from '../core/errors.ts';
import type { Disk, DiskStore, RootDisk, RootRole } from '../core/ports.ts';
import type { Runner } from '../core/runner.ts';
import type { VpsId } from '../core/vps.ts';
import { createKnownStores } from './known-stores.ts';
import { unlessMissing } from './missing.ts';
import { hasSignature, ROOT_ROLES, rootName, vpsOfRoot } from './root-names.ts';
import { lastWords } from './run.ts';

const MIB = 1024 * 1024;
/** Of stat(2), whatever the file system's blocks are. */
const STAT_BLOCK_BYTES = 512;
const ASK_TIMEOUT_MS = 30_000;
/** Reserving takes long only where the file system writes zeroes. */
const RESERVE_TIMEOUT_MS = 240_000;

/** Makes the {@link DiskStore} of image files: MOUNT/xenNN.img and MOUNT/xenNN.swap.img, 0600, wholly reserved. */
export function createDiskFiles({
  runner,
  config,
}: {
  runner: Runner;
  config: Pick<Config, 'provisioning_mount_point' | 'proc_dir' | 'state_dir' | 'xen_dir'>;
}): DiskStore {
  const folder = config.provisioning_mount_point;
  const stores = createKnownStores(config);
  const requireThere = () => stores.requireFolder('vbd', folder);
  const names = (vps: VpsId) => ({ root: `${vps.name}.img`, swap: `${vps.name}.swap.img` });
  const image = (vps: VpsId, role: RootRole) => `${rootName(vps, role)}.img`;
  /** Half-made images: one name per image, since its VPS's lock lets only one maker in; the next one clears it away. */
  const unfinished = (name: string) => join(folder, temporaryName(name));

  /** Those of the files that a process has open: qemu, mkfs, a copy. */
  async function openInProcesses(files: ReadonlySet<string>): Promise<string[]> {
    const unlessGone = <T>(reading: Promise<T>, otherwise: T) =>
      unlessMissing(reading, otherwise).catch((error: NodeJS.ErrnoException) => {
        if (error.code === 'ESRCH' || error.code === 'EACCES') return otherwise;
        throw error;
      });
    const open: string[] = [];
    for (const pid of await unlessGone(readdir(config.proc_dir), [])) {
      if (!/^[0-9]+$/.test(pid)) continue;
      const fds = join(config.proc_dir, pid, 'fd');
      for (const fd of await unlessGone(readdir(fds), [])) {
        const file = await unlessGone(readlink(join(fds, fd)), '');
        if (files.has(file)) open.push(file);
      }
    }
    return open;
  }

  /** Those of the files that are open: a guest or a mount uses an image through a loop device (Xen's block script makes one). */
  async function openAmong(files: ReadonlySet<string>): Promise<ReadonlySet<string>> {
    const loops = await runner.check({
      label: 'losetup --list',
      program: 'losetup',
      args: ['--list', '--noheadings', '--output', 'BACK-FILE'],
      timeout_ms: ASK_TIMEOUT_MS,
    });
    const backing = loops.stdout.split('\n').map((line) => line.trim());
    return new Set([...backing.filter((file) => files.has(file)), ...(await openInProcesses(files))]);
  }

  /** The disks that there are of these names, looked at together. */
  async function findDisks(wanted: readonly string[]): Promise<(Disk | undefined)[]> {
    const sizes = await Promise.all(
      wanted.map(async (name) => {
        const path = join(folder, name);
        const there = await unlessMissing(stat(path), undefined);
        if (!there) return undefined;
        if (!there.isFile())
          throw new AgentError('program_failed', `${path} is not a file; look what it is.`);
        return { path, file: await realpath(path), size_bytes: there.size };
      }),
    );
    const files = new Set(sizes.flatMap((found) => (found ? [found.file] : [])));
    const open = files.size === 0 ? new Set<string>() : await openAmong(files);
    return sizes.map(
      (found) => found && { path: found.path, size_bytes: found.size_bytes, in_use: open.has(found.file) },
    );
  }

  const findDisk = async (name: string) => (await findDisks([name]))[0];

  const imageNames = async () =>
    (await readdir(folder)).filter((name) => /^xen[0-9]+(?:\.[a-z]+)?\.img$/.test(name));

  /** What images have a right to and is not theirs yet: holes that a guest has punched, or an admin's `cp --sparse`. */
  async function promised_bytes(): Promise<number> {
    const holes = (await imageNames()).map(async (name) => {
      const there = await unlessMissing(lstat(join(folder, name)), undefined);
      return there?.isFile() ? Math.max(0, there.size - there.blocks * STAT_BLOCK_BYTES) : 0;
    });
    return (await Promise.all(holes)).reduce((sum, bytes) => sum + bytes, 0);
  }

  async function free_bytes(): Promise<number> {
    const { bavail, bsize } = await statfs(folder);
    return Math.max(0, bavail * bsize - (await promised_bytes()));
  }

  async function reserve(name: string, size_bytes: number): Promise<void> {
    const path = unfinished(name);
    await rm(path, { force: true });
    const handle = await open(path, 'wx', 0o600);
    try {
      const reserved = await runner.run({
        label: 'fallocate',
        program: 'fallocate',
        args: ['-l', `${size_bytes}`, '--', path],
        timeout_ms: RESERVE_TIMEOUT_MS,
      });
      if (reserved.exit_code !== 0) {
        const why = lastWords(reserved);
        throw new AgentError(
          /No space left|File too large/.test(why) ? 'no_space' : 'program_failed',
          `${name}: ${Math.ceil(size_bytes / MIB)} MB cannot be reserved in ${folder}: ${why}`,
          { log: { ...reserved } },
        );
      }
      await handle.sync();
    } finally {
      await handle.close();
    }
  }

  /** Gives a finished image its name, unless there is one of that name. */
  async function publish(name: string): Promise<void> {
    try {
      await link(unfinished(name), join(folder, name));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      throw new AgentError(
        'disks_exist',
        `${join(folder, name)} has come to be meanwhile; it was not touched.`,
      );
    }
  }

  async function requireRemovable(name: string): Promise<void> {
    const disk = await findDisk(name);
    if (!disk?.in_use) return;
    throw new AgentError(
      'disks_in_use',
      `${disk.path} was not removed: it is open on the node; see losetup -a and lsof.`,
    );
  }

  const exists = async (name: string) =>
    (await unlessMissing(lstat(join(folder, name)), undefined)) !== undefined;

  /**
   * A folder that this agent has never used, but guests have: where none of their images is in it, its file system may not be mounted.
   *
   * @throws AgentError store_away
   */
  async function requireLikely(vps: VpsId): Promise<void> {
    if (await stores.isKnown('vbd')) return;
    const guests = (await unlessMissing(readdir(config.xen_dir), [])).filter((name) =>
      /^xen[0-9]+$/.test(name),
    );
    let lacking: string | undefined;
    for (const guest of guests) {
      const path = join(config.xen_dir, guest);
      const text = await unlessMissing(readFile(path, 'utf8'), '');
      for (const name of [`${guest}.img`, `${guest}.swap.img`]) {
        if (!text.includes(join(folder, name))) continue;
        if (await exists(name)) return;
        lacking ??= `${name}, which ${path} names`;
      }
    }
    if (lacking === undefined) return;
    throw new AgentError(
      'store_away',
      `${vps.name}: no disk is made in ${folder}: this agent has never seen the folder with disks, and ${lacking}, is not in it: is its file system mounted? See findmnt -T ${folder}. Where those disks are gone for good, remove their configurations.`,
    );
  }

  /**
   * A folder that this agent has never used, and in which it has seen images a moment ago: they are there still.
   *
   * @throws AgentError store_away
   */
  async function requireImages(): Promise<void> {
    if ((await stores.isKnown('vbd')) || (await imageNames()).length > 0) return;
    throw new AgentError(
      'store_away',
      `The images in ${folder} are not there any more: was its file system unmounted in this moment? See findmnt -T ${folder}, and try again.`,
    );
  }

  return {
    type: 'vbd',

    // Its file system may go away between the look at its images and the mark.
    identify: () => stores.claimFolder('vbd', folder, requireImages),

    // rename(2) has no halves.
    mendNames: async () => undefined,

    async find(vps) {
      await requireThere();
      const { root, swap } = names(vps);
      const [root_disk, swap_disk] = await findDisks([root, swap]);
      return { type: 'vbd', root: root_disk, swap: swap_disk };
    },

    async roundedSize_bytes(size_mb) {
      return size_mb * MIB;
    },

    async create(vps, { root_mb, swap_mb }) {
      await requireThere();
      await requireLikely(vps);
      await mkdir(folder, { recursive: true, mode: 0o711 });
      const { root, swap } = names(vps);
      const missing: { name: string; size_mb: number }[] = [];
      if (!(await exists(root))) missing.push({ name: root, size_mb: root_mb });
      if (!(await exists(swap))) missing.push({ name: swap, size_mb: swap_mb });
      const needed_mb = missing.reduce((sum, { size_mb }) => sum + size_mb, 0);
      const free_mb = Math.floor((await free_bytes()) / MIB);
      if (needed_mb > free_mb) {
        throw new AgentError(
          'no_space',
          `${vps.name}: its disks need ${needed_mb} MB, and ${folder} has ${free_mb} MB free.`,
        );
      }
      await stores.claimFolder('vbd', folder, () => requireLikely(vps));
      const published: string[] = [];
      try {
        for (const { name, size_mb } of missing) await reserve(name, size_mb * MIB);
        for (const { name } of missing) {
          await publish(name);
          published.push(name);
        }
      } catch (error) {
        for (const name of published) await rm(join(folder, name), { force: true });
        throw error;
      } finally {
        for (const { name } of missing) await rm(unfinished(name), { force: true });
        await syncFolder(folder);
      }
    },

    async remove(vps, onRemoved) {
      await requireThere();
      const all = [names(vps).swap, ...ROOT_ROLES.map((role) => image(vps, role))];
      for (const name of all) await requireRemovable(name);
      for (const name of all) {
        await rm(unfinished(name), { force: true });
        await requireRemovable(name);
        if (!(await exists(name))) continue;
        await rm(join(folder, name), { force: true });
        onRemoved?.(join(folder, name));
      }
      if (await exists('.')) await syncFolder(folder);
    },

    async free_mib() {
      await requireThere();
      const bytes = await unlessMissing(free_bytes(), undefined);
      if (bytes !== undefined) return Math.floor(bytes / MIB);
      throw new AgentError(
        'not_found',
        `There is no folder ${folder}; see provisioning_mount_point in dtc-xen.conf.`,
      );
    },

    // A file's new blocks read as zeros, so that none is overwritten.
    waiting_mib: async () => 0,
    hurry: async () => 'at once',

    async roots(vps) {
      await requireThere();
      const found: Partial<Record<RootRole, RootDisk>> = {};
      const disks = await findDisks(ROOT_ROLES.map((role) => image(vps, role)));
      for (const [at, role] of ROOT_ROLES.entries()) {
        const disk = disks[at];
        if (!disk) continue;
        // Numbers of inodes are given again, those of devices change; no two are born at one instant.
        const { ino, birthtimeNs } = await stat(disk.path, { bigint: true });
        const identity = birthtimeNs > 0n ? `inode ${ino}, born ${birthtimeNs}` : undefined;
        found[role] = { ...disk, identity, frees_room: true, is_wiped: false };
      }
      return found;
    },

    async createNew(vps) {
      await stores.claimFolder('vbd', folder, requireImages);
      const root = await unlessMissing(stat(join(folder, image(vps, 'current'))), undefined);
      if (!root) throw new AgentError('disks_missing', `${vps.name} has no root disk in ${folder}.`);
      const name = image(vps, 'new');
      try {
        await reserve(name, root.size);
        await publish(name);
      } finally {
        await rm(unfinished(name), { force: true });
        await syncFolder(folder);
      }
      return { path: join(folder, name), size_bytes: root.size, in_use: false };
    },

    async renameRoot(vps, from, to) {
      await requireThere();
      if (await exists(image(vps, to))) {
        throw new AgentError(
          'disks_exist',
          `${image(vps, from)} was not renamed: there is a ${image(vps, to)} in ${folder} already.`,
        );
      }
      await rename(join(folder, image(vps, from)), join(folder, image(vps, to)));
    },

    async reuseOld(vps) {
      const old = image(vps, 'old');
      await requireRemovable(old);
      await this.renameRoot(vps, 'old', 'new');
      await syncFolder(folder);
    },

    flush: () => syncFolder(folder),

    async removeRoot(vps, role) {
      await requireThere();
      await requireRemovable(image(vps, role));
      await rm(join(folder, image(vps, role)), { force: true });
      await rm(unfinished(image(vps, role)), { force: true });
      if (await exists('.')) await syncFolder(folder);
    },

    async withRoot(role) {
      await requireThere();
      const images = (await unlessMissing(readdir(folder), [])).filter((name) => name.endsWith('.img'));
      const found = images.map((name) => vpsOfRoot(name.slice(0, -'.img'.length), role));
      return found.filter((vps) => vps !== undefined);
    },

    hasContent: ({ path }) => hasSignature(runner, path),
  };
}
