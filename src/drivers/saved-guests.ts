/**
 * Guests' memory that was saved to disk (xl(1), "save"), where xendomains puts it and looks for it. What became of it stands in
 * its name, so that a death at any instant leaves no doubt whether the guest has run since:
 *
 *   xenNN ----> .xenNN.restoring ----> .xenNN.resuming ----> (none)
 *     ^              |    it is restored, but does not run    |  nothing is behind it any more: the guest may have run
 *     +--------------+ nobody restores it any more            +--> (none)
 *
 * Old memory on a disk that has changed since is a file system's end. So a name that says "saved" goes before the guest runs. Others
 * start guests without asking, xendomains among them after a restore that failed: xl makes a log for each domain that it has started,
 * and memory that is older than the guest's is nothing to go on from.
 */
import { lstat, readdir, readFile, rename, rm, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import type { Config } from '../config/schema.ts';
import { syncFolder } from '../core/atomic-file.ts';
import { parseVpsId, type VpsId } from '../core/vps.ts';
import { xlLog } from '../core/xl-log.ts';
import { unlessMissing } from './missing.ts';

const DEFAULTS_FILE = '/etc/default/xendomains';
const DEBIANS_FOLDER = '/var/lib/xen/save';
/** A line of a shell file that sets the folder, with quotes or without. */
const SAVE_LINE = /^[ \t]*XENDOMAINS_SAVE=(["']?)([^"'\s#]*)\1[ \t]*(?:#.*)?$/;

/** What xl says of a guest in its log when that is saved; when its memory is whole, that its domain was destroyed. */
const SUSPENDED = '\nDomain has suspended.\n';
/** From the end of the memory to the end of the domain. */
const DESTROY_MS = 120_000;

/** xl's last start of a domain: what its log is known by, when it began, and what its end was. */
interface LastStart {
  readonly id: string;
  readonly began_ms: number;
  readonly ended_ms: number;
  readonly suspended: boolean;
}

/** How far saved memory has come on its way back into a guest. */
export type SavedStage = 'saved' | 'restoring' | 'resuming';

/** The files of guests' saved memory. */
export interface SavedGuests {
  /** The memory that a guest goes on from, if there is any; none that is left behind. */
  find(vps: VpsId): Promise<{ readonly path: string; readonly stage: SavedStage } | undefined>;
  /** The path of saved memory that the guest was started past, if there is any. */
  leftBehind(vps: VpsId): Promise<string | undefined>;
  /** Gives it the name of another stage, which is on the disk when this returns. */
  move(vps: VpsId, from: SavedStage, to: SavedStage): Promise<string>;
  /** Deletes it in every stage; none is fine. */
  remove(vps: VpsId): Promise<void>;
  /** Puts saved memory aside that a guest has left behind: nothing goes on from it. Returns its new path. */
  setAside(vps: VpsId): Promise<string>;
  /** The VPSes that have a file here, in whatever stage. */
  vpses(): Promise<VpsId[]>;
}

/** Where xendomains saves guests: what its settings say, else Debian's own place. */
export function saveFolder(settings: string): string {
  const set = settings.split('\n').flatMap((line) => SAVE_LINE.exec(line)?.[2] ?? []);
  const last = set.at(-1);
  return last?.startsWith('/') ? last : DEBIANS_FOLDER;
}

/** Makes {@link SavedGuests} of xen_save_dir. */
export function createSavedGuests({
  xen_save_dir,
  xen_log_dir,
}: Pick<Config, 'xen_save_dir' | 'xen_log_dir'>): SavedGuests {
  const folder = async () =>
    xen_save_dir === '' ? saveFolder(await unlessMissing(readFile(DEFAULTS_FILE, 'utf8'), '')) : xen_save_dir;
  const nameOf = (vps: VpsId, stage: SavedStage) => (stage === 'saved' ? vps.name : `.${vps.name}.${stage}`);
  const pathOf = async (vps: VpsId, stage: SavedStage) => join(await folder(), nameOf(vps, stage));
  const isThere = async (path: string) => (await unlessMissing(lstat(path), undefined)) !== undefined;

  /** xl's last start of a domain of the VPS: its log is a new file then, and begins so. */
  async function lastStart(vps: VpsId): Promise<LastStart | undefined> {
    const log = xlLog(xen_log_dir, vps);
    const there = await unlessMissing(lstat(log), undefined);
    if (!there?.isFile()) return undefined;
    const text = await unlessMissing(readFile(log, 'latin1'), '');
    if (!text.startsWith(`Waiting for domain ${vps.name} (`)) return undefined;
    return {
      id: `${there.ino} ${there.birthtimeMs}`,
      ...{ began_ms: there.birthtimeMs, ended_ms: there.mtimeMs, suspended: text.includes(SUSPENDED) },
    };
  }

  /**
   * A memory that is older than the last start is not of that. Where the log itself shows that the clock was set back since then, and
   * ends with the guest's save as the memory does, it is all the same.
   */
  const isPast = (memory_ms: number, { began_ms, ended_ms, suspended }: LastStart) =>
    began_ms > memory_ms &&
    !(suspended && ended_ms < began_ms && Math.abs(ended_ms - memory_ms) < DESTROY_MS);

  /** A domain that was made of it has never run: it is as good as new, and no older than that domain's log by any clock. */
  async function makeNew(vps: VpsId, path: string): Promise<void> {
    const began_ms = (await lastStart(vps))?.began_ms ?? 0;
    const made = new Date(Math.max(Date.now(), Math.ceil(began_ms) + 1));
    await utimes(path, made, made);
  }

  /** What the last start was when a memory was seen first: told by that and not by a clock, which may have been set since. */
  const seen = new Map<string, { memory: string; start: string | undefined; is_past: boolean }>();

  async function leftBehind(vps: VpsId): Promise<string | undefined> {
    const path = await pathOf(vps, 'saved');
    const memory = await unlessMissing(lstat(path), undefined);
    if (!memory) return undefined;
    const start = await lastStart(vps);
    const id = `${memory.ino} ${memory.mtimeMs}`;
    let before = seen.get(vps.name);
    if (before?.memory !== id) {
      before = {
        ...{ memory: id, start: start?.id },
        is_past: start !== undefined && isPast(memory.mtimeMs, start),
      };
      seen.set(vps.name, before);
    } else if (start && start.id !== before.start) before.is_past = true;
    return before.is_past ? path : undefined;
  }

  return {
    leftBehind,

    async find(vps) {
      for (const stage of ['saved', 'restoring', 'resuming'] as const) {
        const path = await pathOf(vps, stage);
        if ((await isThere(path)) && (stage !== 'saved' || (await leftBehind(vps)) === undefined))
          return { path, stage };
      }
      return undefined;
    },

    async move(vps, from, to) {
      const path = await pathOf(vps, to);
      if (to === 'saved') await makeNew(vps, await pathOf(vps, from));
      await rename(await pathOf(vps, from), path);
      await syncFolder(await folder());
      return path;
    },

    async remove(vps) {
      for (const stage of ['saved', 'restoring', 'resuming'] as const)
        await rm(await pathOf(vps, stage), { force: true });
      if (await isThere(await folder())) await syncFolder(await folder());
    },

    async setAside(vps) {
      const aside = join(await folder(), `.${vps.name}.left-behind`);
      await rename(await pathOf(vps, 'saved'), aside);
      await syncFolder(await folder());
      return aside;
    },

    async vpses() {
      const names = await unlessMissing(readdir(await folder()), []);
      const found = names.map((name) =>
        parseVpsId(/^\.(xen\d+)\.(?:restoring|resuming)$/.exec(name)?.[1] ?? name),
      );
      const named = found.filter((vps) => vps !== undefined);
      return [...new Map(named.map((vps) => [vps.name, vps])).values()];
    },
  };
}
