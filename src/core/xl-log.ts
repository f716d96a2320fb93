import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import type { VpsId } from './vps.ts';

/** The log of xl's process for a guest: a new file for each start, which goes on over the guest's own reboots. */
export const xlLog = (xen_log_dir: string, vps: VpsId): string => join(xen_log_dir, `xl-${vps.name}.log`);

const REBOOTS = 'Done. Rebooting now';
const DESTROYED = 'dtc-xen-agent: destroyed by order';

/**
 * Why a guest did not come back from its reboot, as xl's log says; undefined where its last word is another one, or the guest was
 * destroyed by order ({@link noteDestroyed}). After "Rebooting now" comes "Waiting for domain" where it came back.
 */
export function lostReboot(log: string): string | undefined {
  const at = log.lastIndexOf(REBOOTS);
  if (at < 0) return undefined;
  const [, ...after] = log.slice(at).split('\n');
  if (after.some((line) => line.startsWith('Waiting for domain ') || line === DESTROYED)) return undefined;
  const error = after.find((line) => /error/i.test(line))?.replace(/[^\x20-\x7e]/g, ' ');
  return error?.replace(/^libxl: error: \S+?:\d+:\s?\w+: /, '').slice(0, 200) ?? 'xl does not say why';
}

/**
 * Adds to xl's log that the guest was destroyed by order: to xl, a domain that is destroyed while the guest reboots is a failure to
 * make it, as a script's is that took too long. Where the log cannot be written, the guest is destroyed all the same.
 */
export async function noteDestroyed(xen_log_dir: string, vps: VpsId): Promise<void> {
  try {
    const flags = constants.O_WRONLY | constants.O_APPEND | constants.O_NOFOLLOW;
    const log = await open(xlLog(xen_log_dir, vps), flags);
    try {
      await log.appendFile(`${DESTROYED}\n`);
    } finally {
      await log.close();
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === undefined) throw error;
  }
}
