import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { AgentError } from './errors.ts';
import { readLogTail } from './log-tail.ts';
import type { VpsId } from './vps.ts';

/** The log of xl's process for a guest: a new file for each start, which goes on over the guest's own reboots. */
export const xlLog = (xen_log_dir: string, vps: VpsId): string => join(xen_log_dir, `xl-${vps.name}.log`);

const REBOOTS = 'Done. Rebooting now';
const DESTROYED = 'dtc-xen-agent: destroyed by order';
const LEFT_STOPPED = 'dtc-xen-agent: left stopped by order';
const NOTES: readonly string[] = [DESTROYED, LEFT_STOPPED];

/**
 * Why a guest did not come back from its reboot, as xl's log says; undefined where its last word is another one, or an order wants
 * the guest stopped ({@link noteDestroyed}, {@link noteLeftStopped}). After "Rebooting now" comes "Waiting for domain" where it came back.
 */
export function lostReboot(log: string): string | undefined {
  const at = log.lastIndexOf(REBOOTS);
  if (at < 0) return undefined;
  const [, ...after] = log.slice(at).split('\n');
  if (after.some((line) => line.startsWith('Waiting for domain ') || NOTES.includes(line))) return undefined;
  const error = after.find((line) => /error/i.test(line))?.replace(/[^\x20-\x7e]/g, ' ');
  return error?.replace(/^libxl: error: \S+?:\d+:\s?\w+: /, '').slice(0, 200) ?? 'xl does not say why';
}

/**
 * Adds to xl's log that the guest was destroyed by order: to xl, a domain that is destroyed while the guest reboots is a failure to
 * make it, as a script's is that took too long. Where the log cannot be written, the guest is destroyed all the same.
 */
export async function noteDestroyed(xen_log_dir: string, vps: VpsId): Promise<void> {
  try {
    await add(xen_log_dir, vps, DESTROYED);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === undefined) throw error;
  }
}

/**
 * Where the guest is stopped because a reboot of its own was lost: adds that an order wants it stopped from now on.
 *
 * @throws AgentError program_failed where that cannot be written
 */
export async function noteLeftStopped(xen_log_dir: string, vps: VpsId): Promise<void> {
  const path = xlLog(xen_log_dir, vps);
  const log = await readLogTail(path, 0);
  if (log === undefined || lostReboot(log) === undefined) return;
  try {
    await add(xen_log_dir, vps, LEFT_STOPPED);
  } catch (error) {
    throw new AgentError(
      'program_failed',
      `${vps.name} was lost at a reboot of its own, and that it stays stopped now cannot be noted in ${path}: ${(error as Error).message}. Make that file writable, and try again.`,
      { cause: error },
    );
  }
}

async function add(xen_log_dir: string, vps: VpsId, line: string): Promise<void> {
  const log = await open(
    xlLog(xen_log_dir, vps),
    constants.O_WRONLY | constants.O_APPEND | constants.O_NOFOLLOW,
  );
  try {
    await log.appendFile(`${line}\n`);
  } finally {
    await log.close();
  }
}
