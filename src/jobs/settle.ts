import type { JobStatus } from '../core/ports.ts';
import { dropSecret, isEnded, type JobFolder, readStatus, writeStatus } from './folder.ts';
import type { Leftovers } from './leftovers.ts';
import { openJobLog } from './log.ts';

/** What an admin does about a job that was cut off, by its kind. */
const WHAT_TO_DO = {
  reinstall: 'its disks hold an unfinished system: reinstall it again',
  fsck: 'its root file system may be half repaired: check it again before it is started',
} satisfies Record<JobStatus['kind'], string>;

/** The step, of any kind of job, that only looks. */
const LOOKING = 'check';

/** The sentence for a job whose process died. */
function cutOffMessage(status: JobStatus): string {
  const what = `The ${status.kind} of ${status.vps}`;
  const step = status.steps.at(-1);
  if (status.state === 'queued') return `${what} never started; nothing was touched: start it again.`;
  if (!step || step.name === LOOKING) {
    return `${what} was cut off before anything was touched: start it again.`;
  }
  return `${what} was cut off in step ${step.name}; ${WHAT_TO_DO[status.kind]}.`;
}

/** Takes down what a job left; the complaint where something of it stays. */
export async function takeDown(folder: JobFolder, leftovers: Leftovers): Promise<string | undefined> {
  try {
    await leftovers.killProcesses(folder.id);
    await leftovers.unmount(folder.vps);
    return undefined;
  } catch (error) {
    return `Something of it is left on the node: ${(error as Error).message}`;
  }
}

/**
 * Tells a dead job as failed and takes down what it left. The caller holds the job's lock, so its process is dead and one
 * that comes late finds the job ended. A job that ended by itself meanwhile stays as it is.
 *
 * @returns how the job stands then; undefined where its folder is gone
 */
export async function settle(
  folder: JobFolder,
  leftovers: Leftovers,
  tell: (status: JobStatus) => string = cutOffMessage,
): Promise<JobStatus | undefined> {
  const status = await readStatus(folder);
  if (!status || isEnded(status)) return status;
  const complaint = await takeDown(folder, leftovers);
  const message = [tell(status), complaint].filter((text) => text !== undefined).join(' ');
  const settled: JobStatus = { ...status, state: 'failed', ended: new Date().toISOString(), message };
  await dropSecret(folder);
  const log = openJobLog(folder.log_path);
  log.line(`== ${settled.ended} ${message}`);
  log.close();
  await writeStatus(folder, settled);
  return settled;
}
