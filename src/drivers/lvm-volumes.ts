import { mkdir, readdir, readFile, realpath } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { Config } from '../config/schema.ts';
import { AgentError } from '../core/errors.ts';
import { holding } from '../core/held-locks.ts';
import type { Finished, Runner } from '../core/runner.ts';
import { whenSettled } from '../core/when-settled.ts';
import { createFileLocks } from './flock.ts';
import { disksBelow, flushDisks } from './flush-disks.ts';
import { createLvmReports, type LvmReports, type Volume, type VolumeGroup } from './lvm-group.ts';
import { findPlace, type Place, REMOVED, requireFit, requireRoom } from './lvm-place.ts';
import { createLvmProgram } from './lvm-program.ts';
import { unlessMissing } from './missing.ts';
import { lastWords } from './run.ts';
import { createWiping } from './wiping.ts';

/** What the LVM drivers need; the times are for tests. */
export interface LvmOptions {
  readonly runner: Runner;
  readonly config: Pick<
    Config,
    | 'provisioning_volgroup'
    | 'provisioning_thinpool'
    | 'provisioning_mount_point'
    | 'wipe_removed_disks'
    | 'dev_dir'
    | 'sys_dir'
    | 'run_dir'
    | 'state_dir'
  >;
  /** Told of every removed volume that waits for being wiped, and when its room is wanted. */
  readonly onRemoved?: (() => void) | undefined;
  readonly ask_timeout_ms?: number;
  readonly change_timeout_ms?: number;
}

/** The volume group, what is in it, and where new volumes are made. */
export interface LvmView {
  readonly group: VolumeGroup;
  readonly volumes: ReadonlyMap<string, Volume>;
  readonly place: Place;
}

/** Volumes of the one volume group. Errors: `no_space`, `no_volume_group`, `disks_exist`, `disks_in_use`, `program_*`. */
export interface LvmVolumes extends LvmReports {
  look(): Promise<LvmView>;
  /** Looks, and lets nobody else give away room of a thin pool until `work` is done: LVM itself would. */
  allocate<T>(work: (view: LvmView) => Promise<T>): Promise<T>;
  /** Makes a volume, empty to whoever reads it. */
  make(view: LvmView, name: string, size_bytes: number): Promise<void>;
  /** Makes a volume that begins as a copy of a thin one, and grows it; one that cannot be grown goes again. */
  copy(view: LvmView, origin: string, name: string, size_bytes: number): Promise<void>;
  /** Refuses where something holds the volume open, or what LVM would delete along with it hangs on it. */
  requireRemovable(group: string, there: ReadonlyMap<string, Volume>, name: string): void;
  /** Takes a volume away; gone already is fine. With wipe_removed_disks it waits for that under another name. */
  remove(group: string, name: string): Promise<void>;
  /** Whether `remove` has a volume overwritten before its room is given to others. */
  isWiped(volume: Volume): boolean;
  /** Has removed disks overwritten at full speed. Returns when this much room is there, as in "in about 40 s". */
  hurry(lacking_bytes: number): Promise<string>;
  /** Refuses what a place has no room for, in words that begin with `what`. Where the room is on its way, it comes at full speed. */
  requireRoom(place: Place, needed_bytes: number, what: string): Promise<void>;
  /** `remove` for one that holds nobody's data any more, or none yet: its room is free at once. */
  removeAtOnce(group: string, name: string): Promise<void>;
  /** Renames a volume. Before `flush`, a power cut may take that back. */
  rename(group: string, from: string, to: string): Promise<void>;
  /** Has what LVM wrote of these volumes on the disks below them. */
  flush(group: string, names: readonly string[]): Promise<void>;
  /** Gives back what of a volume lies behind `size_bytes`. */
  reduce(volume: string, size_bytes: number): Promise<void>;
  /** `lvchange` with these arguments. */
  change(args: readonly string[], name: string): Promise<void>;
  /**
   * Whether the device that a volume's name leads to is that volume: a rename that was cut off leaves LVM and the device mapper
   * of two minds. One that is not active has no device.
   */
  isNamedRightly(group: string, volume: Volume): Promise<boolean>;
  /** All volumes, when those of these names are not held open for a moment only. */
  atRest(group: string, names: readonly string[]): Promise<Map<string, Volume>>;
}

const ALLOCATE_WAIT_MS = 120_000;

const failed = (kind: 'program_failed' | 'no_space' | 'disks_exist', what: string, end: Finished) =>
  new AgentError(kind, `${what} failed (exit code ${end.exit_code}): ${lastWords(end)}`, { log: { ...end } });

/** A snapshot that LVM keeps by copying to it what its origin changes; a thin one stands for itself. */
const hangsOn = (snapshot: Volume, origin: Volume) =>
  snapshot.origin === origin.name && (snapshot.pool === '' || snapshot.pool !== origin.pool);

/** Makes {@link LvmVolumes}. */
export function createLvmVolumes({
  runner,
  config,
  onRemoved,
  ask_timeout_ms = 30_000,
  change_timeout_ms = 90_000,
}: LvmOptions): LvmVolumes {
  const lvm = createLvmProgram({ runner, config });
  const wiping = createWiping(config);
  const reports = createLvmReports({ lvm, config, timeout_ms: ask_timeout_ms });
  const run = (program: string, args: readonly string[]): Promise<Finished> =>
    lvm(program, args, change_timeout_ms);
  const inUse = (group: string, name: string, what: string) =>
    new AgentError('disks_in_use', `${group}/${name} was not removed: ${what}.`);

  /** The disks that LVM notes a change of volumes on: those below them, or, where none is active, below the group's others. */
  async function disksOf(group: string, ...names: readonly string[]): Promise<string[]> {
    const folder = join(config.dev_dir, group);
    const below = async (volumes: readonly string[]) => {
      const disks = await Promise.all(volumes.map((name) => disksBelow(join(folder, name))));
      return [...new Set(disks.flat())];
    };
    const own = await below(names);
    return own.length > 0 ? own : below(await unlessMissing(readdir(folder), []));
  }

  async function lvcreate(group: string, name: string, args: readonly string[]): Promise<void> {
    const made = await run('lvcreate', args);
    if (made.exit_code === 0) return flushDisks(`${name}: lvcreate`, await disksOf(group, name));
    const why = lastWords(made);
    const kind = /insufficient free space/.test(why)
      ? 'no_space'
      : /already exists/.test(why)
        ? 'disks_exist'
        : 'program_failed';
    throw failed(kind, `${name}: lvcreate`, made);
  }

  /** A volume that nothing holds; undefined where it is not there. */
  async function removable(group: string, name: string): Promise<Volume | undefined> {
    const there = await volumes.atRest(group, [name]);
    volumes.requireRemovable(group, there, name);
    return there.get(name);
  }

  async function lvremove(group: string, name: string): Promise<void> {
    const disks = await disksOf(group, name);
    const removed = await run('lvremove', ['-y', `${group}/${name}`]);
    const why = lastWords(removed);
    if (removed.exit_code === 0 || /Failed to find logical volume/.test(why))
      return flushDisks(`${name}: lvremove`, disks);
    if (/in use\.?$/.test(why))
      throw inUse(group, name, 'something on the node holds it open; see lsof or findmnt');
    throw failed('program_failed', `${name}: lvremove`, removed);
  }

  const volumes: LvmVolumes = {
    ...reports,

    async look() {
      const { group, volumes: there } = await reports.everything();
      return { group, volumes: there, place: findPlace(group, there, config.provisioning_thinpool) };
    },

    async allocate(work) {
      if (config.provisioning_thinpool === '') return work(await volumes.look());
      await mkdir(config.run_dir, { recursive: true, mode: 0o711 });
      const path = join(config.run_dir, 'thin-pool.lock');
      const lock = await createFileLocks(runner).tryLock(path, ALLOCATE_WAIT_MS);
      if (!lock) {
        throw new AgentError(
          'timeout',
          `Somebody makes volumes in the thin pool, and does not come to an end; see lsof ${path}, and dmsetup info for suspended devices.`,
        );
      }
      try {
        return await holding(lock, async () => {
          const view = await volumes.look();
          requireFit(view.place, view.group.name);
          return work(view);
        });
      } finally {
        await lock.release();
      }
    },

    // `-y -W y`: signatures that the extents' last owner left are wiped, without a question (transcripts 241, 242).
    make({ group, place: { pool } }, name, size_bytes) {
      const size = pool ? ['-V', `${size_bytes}b`, '--thinpool', pool.name] : ['-L', `${size_bytes}b`];
      return lvcreate(group.name, name, ['-y', '-W', 'y', ...size, '-n', name, group.name]);
    },

    async copy({ group, volumes: there }, origin, name, size_bytes) {
      const volume = `${group.name}/${name}`;
      // `-kn`: it is activated whenever the node boots, though a thin snapshot is not by itself (lvmthin(7)). To grow it
      // before it is active takes a quarter of the time: nothing has to be suspended.
      await lvcreate(group.name, name, ['-y', '-kn', '-an', '-s', '-n', name, `${group.name}/${origin}`]);
      try {
        if (there.get(origin)?.size_bytes !== size_bytes) {
          const grown = await run('lvextend', ['-L', `${size_bytes}b`, volume]);
          if (grown.exit_code !== 0) throw failed('program_failed', `${name}: lvextend`, grown);
        }
        await volumes.change(['-ay'], volume);
      } catch (error) {
        await volumes.remove(group.name, name);
        throw error;
      }
      await volumes.flush(group.name, [name]);
    },

    requireRemovable(group, there, name) {
      const volume = there.get(name);
      if (!volume) return;
      if (volume.open)
        throw inUse(group, name, 'it is open on the node; see lsof or findmnt for what holds it');
      const snapshot = [...there.values()].find((other) => hangsOn(other, volume));
      if (snapshot) {
        throw inUse(
          group,
          name,
          `it has the snapshot ${snapshot.name}, which would go with it; remove that first`,
        );
      }
    },

    async remove(group, name) {
      const volume = await removable(group, name);
      if (!volume) return;
      if (!volumes.isWiped(volume)) return lvremove(group, name);
      const waiting = `${REMOVED}${name}.${volume.uuid}`;
      await volumes.rename(group, name, waiting);
      await volumes.flush(group, [waiting]);
      await wiping.waits();
      onRemoved?.();
    },

    // A pool gives nobody what was on its blocks: it zeroes them (requireFit). To overwrite a snapshot would fill it.
    isWiped: ({ pool, origin }) => config.wipe_removed_disks === 'yes' && pool === '' && origin === '',

    // The room comes bit by bit: no more than what is lacking has to be waited for.
    async hurry(lacking_bytes) {
      await wiping.hurry();
      onRemoved?.();
      const time_s = await wiping.time_s(lacking_bytes);
      if (time_s === undefined) return 'in some minutes';
      return time_s < 100 ? `in about ${time_s} s` : `in about ${Math.ceil(time_s / 60)} min`;
    },

    requireRoom: (place, needed_bytes, what) => requireRoom(place, needed_bytes, what, volumes.hurry),

    async removeAtOnce(group, name) {
      if (await removable(group, name)) await lvremove(group, name);
    },

    async rename(group, from, to) {
      const renamed = await run('lvrename', [group, from, to]);
      if (renamed.exit_code !== 0)
        throw failed('program_failed', `${from} was not renamed to ${to}: lvrename`, renamed);
    },

    async flush(group, names) {
      await flushDisks(`${names[0]}: its change`, await disksOf(group, ...names));
    },

    // LVM's archive is left alone (`-A n`): it is for undoing what somebody did, and would get hundreds of files from this.
    async reduce(volume, size_bytes) {
      const reduced = await run('lvreduce', ['-A', 'n', '-y', '-L', `${size_bytes}b`, volume]);
      if (reduced.exit_code !== 0) throw failed('program_failed', `lvreduce of ${volume}`, reduced);
    },

    async change(args, name) {
      const changed = await run('lvchange', [...args, name]);
      if (changed.exit_code !== 0)
        throw failed('program_failed', `${name}: lvchange ${args.join(' ')}`, changed);
    },

    async isNamedRightly(group, { name, uuid, attr }) {
      // What is neither active nor inactive is suspended, or worse: who reads it hangs in the kernel (lvs(8), lv_attr).
      if (attr.charAt(4) === '-') return true;
      if (attr.charAt(4) !== 'a') return false;
      const device = await unlessMissing(realpath(join(config.dev_dir, group, name)), undefined);
      if (device === undefined) return false;
      const told = join(config.sys_dir, 'block', basename(device), 'dm/uuid');
      const mapped = (await unlessMissing(readFile(told, 'latin1'), '')).trim();
      return mapped.startsWith('LVM-') && mapped.endsWith(uuid.replaceAll('-', ''));
    },

    atRest: (group, names) =>
      whenSettled(
        () => reports.volumes(group),
        (there) => names.some((name) => there.get(name)?.open),
      ),
  };
  return volumes;
}
