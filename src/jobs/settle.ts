import { dirname } from 'node:path';
import type { JobFate, JobStatus } from '../core/ports.ts';
import { dropSecret, isEnded, type JobFolder, readStatus, writeStatus } from './folder.ts';
import type { Leftovers } from './leftovers.ts';
import { openJobLog } from './log.ts';
import { createSystemRecords } from './systems/record.ts';

/** The sentences for a job that did not come to its end: what happened, and what it means for the VPS. */
export function endMessage(
  { kind, vps, fate }: Pick<JobStatus, 'kind' | 'vps' | 'fate'>,
  what: string,
): string {
  const bare = what.trimEnd();
  const sentence = `The ${kind} of ${vps} ${bare}${bare.endsWith('.') ? '' : '.'}`;
  return fate ? `${sentence} ${fate.told}` : sentence;
}

/** The fate of a reinstall whose new system was approved: whatever happens, it takes its place. */
export function approvedFate(vps_name: string): JobFate {
  const told = `The new system is whole, and is put in its place before anything else is done with ${vps_name}.`;
  return { state: 'succeeded', told };
}

/** The sentence for a job whose process died. */
function cutOffMessage(status: JobStatus): string {
  if (status.state === 'queued')
    return endMessage(status, 'never started; nothing was touched: start it again');
  const step = status.steps.at(-1);
  return step
    ? endMessage(status, `was cut off in step ${step.name}`)
    : endMessage(status, 'was cut off before anything was touched: start it again');
}

/** What was begun with the VPS's systems, and is not finished. */
const begunWith = ({ path, vps }: JobFolder) => createSystemRecords(dirname(dirname(path))).names.read(vps);

/** The status with the fate that the records of the VPS's systems give it: they were written first. */
async function withFate(folder: JobFolder, status: JobStatus): Promise<JobStatus> {
  const begun = await begunWith(folder);
  const approved = begun?.phase === 'naming' && begun.job === folder.id;
  return approved ? { ...status, fate: approvedFate(folder.vps.name) } : status;
}

/** Takes down what a job left; the complaint where something of it stays. */
export async function takeDown(folder: JobFolder, leftovers: Leftovers): Promise<string | undefined> {
  try {
    await leftovers.killProcesses(folder.id);
    const { name } = folder.vps;
    // Beside a system that is being built, the other one may be running again: node rebooted, guest started.
    const beside = (await begunWith(folder)) !== undefined;
    const images = beside ? [`${name}.new.img`] : [`${name}.img`, `${name}.swap.img`];
    await leftovers.unmount(folder.vps, images);
    return undefined;
  } catch (error) {
    return `Something of it is left on the node: ${(error as Error).message}`;
  }
}

/**
 * Tells a dead job as ended (failed, unless its fate was another) and takes down what it left. The caller holds the job's lock, so its process is dead and one
 * that comes late finds the job ended. A job that ended by itself meanwhile stays as it is.
 *
 * @returns how the job stands then; undefined where its folder is gone
 */
export async function settle(
  folder: JobFolder,
  leftovers: Leftovers,
  tell: (status: JobStatus) => string = cutOffMessage,
): Promise<JobStatus | undefined> {
  const found = await readStatus(folder);
  if (!found || isEnded(found)) return found;
  const status = await withFate(folder, found);
  const complaint = await takeDown(folder, leftovers);
  const message = [tell(status), complaint].filter((text) => text !== undefined).join(' ');
  const settled: JobStatus = {
    ...status,
    state: status.fate?.state ?? 'failed',
    ended: new Date().toISOString(),
    message,
  };
  await dropSecret(folder);
  const log = openJobLog(folder.log_path);
  log.line(`== ${settled.ended} ${message}`);
  log.close();
  await writeStatus(folder, settled);
  return settled;
}
