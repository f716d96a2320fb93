import { readFile, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import * as z from 'zod';
import { writeFileAtomic } from '../core/atomic-file.ts';
import type { JobKind, JobRequests, JobStatus } from '../core/ports.ts';
import { parseVpsId, type VpsId } from '../core/vps.ts';

/**
 * A job's folder, `state_dir/states/xenNN/ID`, mode 0700:
 *
 *     request.json   what was asked, written once
 *     status.json    a JobStatus, replaced at every step
 *     secret         0600; the job's process reads it and deletes it before its first step
 *     log            what the steps said (the install log)
 *     process.log    what the job's process said itself: why it did not start, a defect's stack
 *     lock           held by the job's process for as long as anything of the job lives
 *     proc           where the job sees the node's /proc; its own shows its own processes alone
 *
 *   queued ----> running ----> succeeded
 *      |            |
 *      |            +--------> failed     a step failed, or it was cancelled (the job's process says so)
 *      +------------+--------> failed     its process is dead (whoever finds that, under `lock`); succeeded, where its
 *                                         fate was that already
 */
export interface JobFolder {
  readonly path: string;
  readonly id: string;
  readonly vps: VpsId;
  readonly log_path: string;
  readonly process_log_path: string;
  readonly lock_path: string;
  readonly node_proc_dir: string;
}

const statusSchema = z.object({
  id: z.string(),
  kind: z.enum(['reinstall', 'fsck']),
  vps: z.string(),
  state: z.enum(['queued', 'running', 'succeeded', 'failed']),
  created: z.iso.datetime(),
  boot_id: z.string().optional(),
  ended: z.iso.datetime().optional(),
  steps: z.array(
    z.object({
      name: z.string(),
      share: z.number().default(0),
      started: z.iso.datetime(),
      ended: z.iso.datetime().optional(),
    }),
  ),
  fate: z.object({ state: z.enum(['succeeded', 'failed']), told: z.string() }).optional(),
  message: z.string().optional(),
});

/** The content of request.json. */
export interface StoredRequest<K extends JobKind = JobKind> {
  readonly kind: K;
  readonly request: JobRequests[K];
}

const isMissing = (error: unknown) => (error as NodeJS.ErrnoException).code === 'ENOENT';

/**
 * The job folder at a path `.../xenNN/ID`.
 *
 * @throws Error where the path is not of that form
 */
export function jobFolder(path: string): JobFolder {
  const vps = parseVpsId(basename(dirname(path)));
  if (!vps) throw new Error(`${path} is not a job's folder: it must be .../xenNN/ID.`);
  return Object.freeze({
    path,
    id: basename(path),
    vps,
    log_path: join(path, 'log'),
    process_log_path: join(path, 'process.log'),
    lock_path: join(path, 'lock'),
    node_proc_dir: join(path, 'proc'),
  });
}

/** Whether a job has come to its end. */
export function isEnded(status: Pick<JobStatus, 'state'>): boolean {
  return status.state === 'succeeded' || status.state === 'failed';
}

/** Reads status.json; undefined where the folder is gone. One that cannot be understood is told as a failed job. */
export async function readStatus(folder: JobFolder): Promise<JobStatus | undefined> {
  let text: string;
  try {
    text = await readFile(join(folder.path, 'status.json'), 'utf8');
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
  try {
    return statusSchema.parse(JSON.parse(text)) as JobStatus;
  } catch {
    const { id, vps } = folder;
    const created = new Date(0).toISOString();
    const message = `The state of the job ${id} of ${vps.name} is damaged; see its log, and start it again.`;
    return { id, kind: 'reinstall', vps: vps.name, state: 'failed', created, steps: [], message };
  }
}

/** Replaces status.json. */
export async function writeStatus(folder: JobFolder, status: JobStatus): Promise<void> {
  await writeFileAtomic(join(folder.path, 'status.json'), `${JSON.stringify(status, undefined, 2)}\n`);
}

/** Reads request.json, which this program wrote itself. */
export async function readRequest(folder: JobFolder): Promise<StoredRequest> {
  return JSON.parse(await readFile(join(folder.path, 'request.json'), 'utf8')) as StoredRequest;
}

/** Reads the secret, where there is one, and deletes its file. */
export async function takeSecret(folder: JobFolder): Promise<string | undefined> {
  try {
    return await readFile(join(folder.path, 'secret'), 'utf8');
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  } finally {
    await dropSecret(folder);
  }
}

/** Deletes the secret; gone already is fine. */
export async function dropSecret(folder: JobFolder): Promise<void> {
  await rm(join(folder.path, 'secret'), { force: true });
}
