import { randomBytes } from 'node:crypto';
import { lstat, mkdir, readdir, rename, rm, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { makeFolder, syncFolder, writeNewFile } from '../core/atomic-file.ts';
import type { JobKind, JobStatus } from '../core/ports.ts';
import { bootId } from '../core/steady-clock.ts';
import { parseVpsId, type VpsId } from '../core/vps.ts';
import { isEnded, type JobFolder, jobFolder, readStatus, type StoredRequest, writeStatus } from './folder.ts';

/** A job's folder with what its status.json says. */
export interface StoredJob {
  readonly folder: JobFolder;
  readonly status: JobStatus;
}

/** The folders of all jobs: `state_dir/states/xenNN/ID`. An ID sorts by time. */
export interface JobStore {
  /** The VPSes that have a folder, whether it holds jobs or not. */
  vpses(): Promise<VpsId[]>;
  /** The VPS's jobs, newest first. */
  list(vps: VpsId): Promise<StoredJob[]>;
  /** Makes the folder of a queued job: whole, or not at all. */
  create<K extends JobKind>(vps: VpsId, asked: StoredRequest<K>, secret?: string): Promise<StoredJob>;
  /** Deletes a job's folder; what a crash leaves of it is no job any more. */
  remove(folder: JobFolder): Promise<void>;
  /** Deletes ended jobs but the newest `keep`, and the newest reinstall, whose log is the install log. */
  prune(vps: VpsId, keep: number): Promise<void>;
  /** Deletes what crashes left of folders being made or deleted, where it is older than `age_ms`. */
  sweep(vps: VpsId, age_ms: number): Promise<void>;
}

const JOB_ID = /^[0-9]{8}T[0-9]{6}\.[0-9]{3}Z-[0-9a-f]{4}$/;
const UNFINISHED = /^\.(?:new|gone)-/;

async function entries(folder: string): Promise<string[]> {
  try {
    return (await readdir(folder)).sort();
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return [];
    throw error;
  }
}

/** DTC-Xen kept one word about a VPS in a file where our folder is to be; it means nothing any more. */
async function replaceOldStateFile(path: string): Promise<void> {
  const there = await lstat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (there?.isFile()) await unlink(path);
}

/** An ID that sorts after every one that is there, whatever the clock does. */
function nextId(now: Date, newest: string | undefined): string {
  const stamp = (date: Date) => date.toISOString().replace(/[-:]/g, '');
  const newestStamp = newest?.slice(0, newest.indexOf('-')) ?? '';
  let at = now;
  if (stamp(at) <= newestStamp) {
    const [, y, mo, d, h, mi, rest] =
      /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d\.\d{3}Z)$/.exec(newestStamp) ?? [];
    at = new Date(Date.parse(`${y}-${mo}-${d}T${h}:${mi}:${rest}`) + 1);
  }
  return `${stamp(at)}-${randomBytes(2).toString('hex')}`;
}

/** The store below a folder, `state_dir/states`. */
export function createJobStore(states_dir: string): JobStore {
  const vpsFolder = (vps: VpsId) => join(states_dir, vps.name);

  const store: JobStore = {
    async vpses() {
      const found = (await entries(states_dir)).map((name) => parseVpsId(name));
      return found.filter((vps) => vps !== undefined);
    },

    async list(vps) {
      const ids = (await entries(vpsFolder(vps))).filter((name) => JOB_ID.test(name)).reverse();
      const jobs: StoredJob[] = [];
      for (const id of ids) {
        const folder = jobFolder(join(vpsFolder(vps), id));
        const status = await readStatus(folder);
        if (status) jobs.push({ folder, status });
      }
      return jobs;
    },

    async create(vps, asked, secret) {
      const parent = vpsFolder(vps);
      await replaceOldStateFile(parent);
      await makeFolder(parent);
      const newest = (await entries(parent)).filter((name) => JOB_ID.test(name)).at(-1);
      const now = new Date();
      const id = nextId(now, newest);
      const status: JobStatus = {
        id,
        kind: asked.kind,
        vps: vps.name,
        state: 'queued',
        created: now.toISOString(),
        boot_id: await bootId(),
        steps: [],
      };
      const fresh = jobFolder(join(parent, `.new-${id}`));
      const folder = jobFolder(join(parent, id));
      await mkdir(fresh.path, { mode: 0o700 });
      try {
        await writeNewFile(join(fresh.path, 'request.json'), `${JSON.stringify(asked, undefined, 2)}\n`);
        await writeNewFile(fresh.log_path, '');
        if (secret !== undefined) await writeNewFile(join(fresh.path, 'secret'), secret);
        await writeStatus(fresh, status);
        await rename(fresh.path, folder.path);
      } catch (error) {
        await rm(fresh.path, { recursive: true, force: true });
        throw error;
      }
      await syncFolder(parent);
      return { folder, status };
    },

    async remove(folder) {
      const gone = join(vpsFolder(folder.vps), `.gone-${folder.id}`);
      await rename(folder.path, gone);
      await rm(gone, { recursive: true, force: true });
    },

    async prune(vps, keep) {
      const ended = (await store.list(vps)).filter((job) => isEnded(job.status));
      const newestInstall = ended.find((job) => job.status.kind === 'reinstall');
      for (const job of ended.slice(keep)) {
        if (job !== newestInstall) await store.remove(job.folder);
      }
    },

    async sweep(vps, age_ms) {
      for (const name of await entries(vpsFolder(vps))) {
        if (!UNFINISHED.test(name)) continue;
        const path = join(vpsFolder(vps), name);
        const { mtimeMs } = await lstat(path);
        if (Date.now() - mtimeMs >= age_ms) await rm(path, { recursive: true, force: true });
      }
    },
  };
  return store;
}
