import { statfs } from 'node:fs/promises';
import type { Bases, DebianSystem, HeldVolume, InstallContext, TemplateSystem } from '../core/bases.ts';
import { AgentError } from '../core/errors.ts';
import { holding } from '../core/held-locks.ts';
import type { BaseVolume, BaseVolumes, HeldLock } from '../core/ports.ts';
import type { Runner } from '../core/runner.ts';
import { alone as aloneWith, LOCK_TRY_MS, MAKE_MS } from './alone.ts';
import { type BaseFolder, createBaseFolder, type FolderDeps } from './folder.ts';
import { type BaseInputs, baseKey, contentOf, findInputs, templateKey } from './inputs.ts';
import type { BaseManifest } from './manifest.ts';
import { createVolumeKeeper, type VolumeKeeper } from './volumes.ts';

/** What bases are kept and made with. */
export interface BaseDeps extends FolderDeps {
  readonly runner: Runner;
  readonly scripts_dir: string;
  /** Where the node has a thin pool for its disks: the bases in it. */
  readonly volumes?: BaseVolumes | undefined;
}

/** What is made anew: everything, or what is older than `max_age_days` or has other inputs by now. */
export type Refresh = { readonly older_than_days: number } | 'all';

/** The bases, with what an admin and the night do to them. */
export interface BaseKeeper extends Bases {
  list(): Promise<BaseManifest[]>;
  /** The bases that are volumes: of those, and of templates. */
  volumes(): Promise<readonly (BaseVolume & { readonly key: string })[]>;
  /** Removes volumes that nobody finished. Returns their names. */
  tidy(): Promise<string[]>;
  /**
   * Makes bases anew, one after the other: of `system`, and of every other release that was installed in the last weeks. The
   * old one is used until the new one is ready. Removes those that nothing asks for any more and nobody uses.
   */
  refresh(system: DebianSystem, which: Refresh, context: InstallContext): Promise<void>;
  /** Removes a base, waiting until nobody uses it. Error: `not_found`. */
  drop(key: string, context: InstallContext): Promise<void>;
}

const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;
const UNPACK_MS = 30 * MINUTE_MS;
/** What making one takes in the state folder: the files, and the packed ones. */
const MAKING_ROOM_BYTES = 1536 * 1024 * 1024;
/** A release that was not installed for longer is not kept ready any more, but for the configured one. */
const WANTED_MS = 30 * DAY_MS;
/** Bases that turn out damaged one after the other: it is the node's disk. */
const MAX_DAMAGED = 3;

const mib = (bytes: number) => Math.round(bytes / 1024 / 1024);

function scriptArgs({ release, mirror, packages, tool }: BaseInputs): string[] {
  const args = ['--release', release, '--mirror', mirror, '--tool', tool];
  return packages.length > 0 ? [...args, '--packages', packages.join(',')] : args;
}

/** Makes a {@link BaseKeeper}. */
export function createBases(deps: BaseDeps): BaseKeeper {
  const folder: BaseFolder = createBaseFolder(deps);
  const kept_volumes: VolumeKeeper | undefined =
    deps.volumes && createVolumeKeeper({ ...deps, volumes: deps.volumes });

  /** Does `work` while nobody else makes or takes away the base of this key; tells where it has to wait. */
  const alone = <T>(key: string, context: InstallContext, work: () => Promise<T>): Promise<T> =>
    aloneWith(`base ${key}`, (wait_ms) => folder.lockMaking(key, wait_ms), context, work);

  /** Makes a base, and puts it into service. The caller is alone with it. */
  async function make(inputs: BaseInputs, context: InstallContext): Promise<BaseManifest> {
    const key = baseKey(inputs);
    const made = new Date();
    context.log(`base ${key}: being made`);
    const args = ['--into', folder.making(key), ...scriptArgs(inputs)];
    await context.script('base-make', args, { timeout_ms: MAKE_MS, ends_with_caller: true });
    const base = await folder.publish(inputs, made);
    await folder.sweep(key, new Date(0));
    const seconds = ((Date.now() - made.getTime()) / 1000).toFixed(1);
    context.log(`base ${key}: made in ${seconds} s, ${mib(base.archive_bytes)} MiB`);
    return base;
  }

  async function hasRoom(): Promise<boolean> {
    const { bavail, bsize } = await statfs(deps.state_dir);
    return bavail * bsize >= MAKING_ROOM_BYTES;
  }

  /** A base that is whole, and held for use; undefined where there is none, and no room to make it. */
  async function use(
    inputs: BaseInputs,
    context: InstallContext,
  ): Promise<{ base: BaseManifest; lock: HeldLock } | undefined> {
    const key = baseKey(inputs);
    for (let damaged = 0; damaged < MAX_DAMAGED; ) {
      let base = await folder.find(key);
      if (!base) {
        if (!(await hasRoom())) return undefined;
        base = await alone(key, context, async () => (await folder.find(key)) ?? make(inputs, context));
      }
      const lock = await folder.hold(base);
      if (!lock) continue;
      if (await folder.isWhole(base)) return { base, lock };
      await lock.release();
      damaged += 1;
      const { archive } = base;
      context.log(`base ${key}: its archive is damaged; it is set aside as ${key}.damaged and made anew`);
      await alone(key, context, async () => {
        const now = await folder.find(key);
        if (now?.archive === archive) await folder.retire(now, 'damaged');
      });
    }
    throw new AgentError(
      'program_output',
      `Base ${key} was damaged ${MAX_DAMAGED} times, freshly made too: look at the node's disk and memory.`,
    );
  }

  /** A Debian on a volume, from its archive. The caller holds the archive. */
  const volumeOf = (
    keeper: VolumeKeeper,
    base: BaseManifest,
    disk_bytes: number | undefined,
    context: InstallContext,
  ): Promise<HeldVolume | undefined> =>
    keeper.hold(
      {
        key: base.key,
        content: contentOf([base.sha256]),
        needs_kib: base.unpacked_kib,
        disk_bytes,
        fill: (disk) =>
          context.script('base-fill', ['--disk', disk, '--on', '/media', '--archive', folder.path(base)], {
            timeout_ms: UNPACK_MS,
            ends_with_caller: true,
          }),
      },
      context,
    );

  async function debianVolume(
    keeper: VolumeKeeper,
    system: DebianSystem,
    disk_bytes: number | undefined,
    context: InstallContext,
  ): Promise<HeldVolume | undefined> {
    const inputs = await findInputs(deps, system);
    const there = await folder.find(baseKey(inputs));
    const ready =
      there && (await keeper.find({ key: there.key, content: contentOf([there.sha256]), disk_bytes }));
    if (ready) {
      await folder.markUsed(there.key);
      return ready;
    }
    const used = await use(inputs, context);
    if (!used) return undefined;
    try {
      return await holding(used.lock, () => volumeOf(keeper, used.base, disk_bytes, context));
    } finally {
      await used.lock.release();
    }
  }

  const templateVolume = (
    keeper: VolumeKeeper,
    { os, made_from, needs_kib, fill }: TemplateSystem,
    disk_bytes: number,
    context: InstallContext,
  ) =>
    keeper.hold(
      { key: templateKey(os), content: contentOf(made_from), needs_kib, disk_bytes, fill },
      context,
    );

  /** Has a volume of each of these Debians, and none that nothing asks for any more. */
  async function refreshVolumes(
    keeper: VolumeKeeper,
    systems: readonly DebianSystem[],
    context: InstallContext,
  ): Promise<void> {
    await keeper.tidy();
    for (const system of systems) {
      const held = await debianVolume(keeper, system, undefined, context);
      await held?.release();
    }
    const debians = new Map((await folder.list()).map((base) => [base.key, contentOf([base.sha256])]));
    for (const key of new Set((await keeper.list()).map((volume) => volume.key))) {
      const used = await keeper.lastUsed(key);
      const wanted = used && Date.now() - used.getTime() < WANTED_MS;
      if (debians.has(key) || !wanted) await keeper.sweep(key, debians.get(key));
    }
  }

  async function remove(key: string, context: InstallContext, wait_ms: number): Promise<void> {
    await alone(key, context, async () => {
      const base = await folder.find(key);
      if (base) await folder.retire(base, 'old');
      const sweep = async (wait = 0) => [
        ...(await folder.sweep(key, new Date(), wait)),
        ...((await kept_volumes?.sweep(key, undefined, wait)) ?? []),
      ];
      let used = await sweep();
      if (used.length > 0) context.log(`base ${key}: still used by an installation`);
      const until = Date.now() + wait_ms;
      while (used.length > 0 && Date.now() < until && !context.signal.aborted)
        used = await sweep(LOCK_TRY_MS);
      context.log(used.length > 0 ? `base ${key}: goes when nobody uses it` : `base ${key}: removed`);
    });
  }

  return {
    list: folder.list,
    volumes: async () => (await kept_volumes?.list()) ?? [],
    tidy: async () => (await kept_volumes?.tidy()) ?? [],

    async volume(of, disk_bytes, context) {
      if (!kept_volumes) return undefined;
      return 'debian' in of
        ? debianVolume(kept_volumes, of.debian, disk_bytes, context)
        : templateVolume(kept_volumes, of.template, disk_bytes, context);
    },

    async install(system, root, context) {
      const inputs = await findInputs(deps, system);
      const used = await use(inputs, context);
      if (!used) {
        context.log(`there is no room to make a base (${mib(MAKING_ROOM_BYTES)} MiB in ${deps.state_dir})`);
        await context.script('reinstall-bootstrap', ['--root', root, ...scriptArgs(inputs)], {
          timeout_ms: MAKE_MS,
        });
        return;
      }
      const { base, lock } = used;
      try {
        context.log(`base ${base.key} of ${base.made}`);
        const args = [
          '--archive',
          folder.path(base),
          '--root',
          root,
          '--needs-kib',
          String(base.unpacked_kib),
        ];
        await holding(lock, () => context.script('base-unpack', args, { timeout_ms: UNPACK_MS }));
      } finally {
        await lock.release();
      }
    },

    async refresh(system, which, context) {
      const kept = await folder.list();
      const releases = new Set([system.release]);
      for (const { key, inputs } of kept) {
        const used = await folder.lastUsed(key);
        if (used && Date.now() - used.getTime() < WANTED_MS) releases.add(inputs.release);
      }
      if (which !== 'all' && kept.length === 0) return;
      const oldest = which === 'all' ? Date.now() : Date.now() - which.older_than_days * DAY_MS;
      const current = new Set<string>();
      for (const release of releases) {
        const inputs = await findInputs(deps, { ...system, release });
        const key = baseKey(inputs);
        current.add(key);
        const before = await folder.find(key);
        if (before && Date.parse(before.made) >= oldest) continue;
        await alone(key, context, async () => {
          const now = await folder.find(key);
          if (!now || now.archive === before?.archive) await make(inputs, context);
        });
      }
      for (const key of await folder.keys()) {
        if (!current.has(key)) await remove(key, context, 0);
        else await alone(key, context, () => folder.sweep(key, new Date(oldest)));
      }
      if (kept_volumes) {
        const systems = [...releases].map((release) => ({ ...system, release }));
        await refreshVolumes(kept_volumes, systems, context);
      }
    },

    async drop(key, context) {
      const volumes = (await kept_volumes?.list()) ?? [];
      if (!(await folder.keys()).includes(key) && !volumes.some((volume) => volume.key === key)) {
        throw new AgentError(
          'not_found',
          `There is no base ${key}; "dtc-xen base list" shows those there are.`,
        );
      }
      await remove(key, context, MAKE_MS);
    },
  };
}
