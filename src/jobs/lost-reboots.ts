import { readdir, stat } from 'node:fs/promises';
import { uptime } from 'node:os';
import { join } from 'node:path';
import type { Logger } from 'pino';
import type { Config } from '../config/schema.ts';
import { asAgentError, errorFields } from '../core/errors.ts';
import type { GuestConfigStore } from '../core/guest-configs.ts';
import { readLogTail } from '../core/log-tail.ts';
import type { Hypervisor, VpsLocks } from '../core/ports.ts';
import { parseVpsId, type VpsId } from '../core/vps.ts';
import { lostReboot, xlLog } from '../core/xl-log.ts';
import { ifUnlocked } from './systems/unlocked.ts';

/** What looking for lost reboots reaches. */
export interface LostReboots {
  /**
   * Starts guests again that rebooted themselves and did not come back, unless they were destroyed meanwhile: xl gives up where a
   * script of Xen's is late, and says so in `xl-xenNN.log` alone. Called from time to time: a guest counts that was seen to run at
   * the call before, at the first call one whose log was written in the last minutes. Never rejects.
   */
  look(): Promise<void>;
}

/** What {@link createLostReboots} needs. */
export interface LostRebootsOptions {
  readonly config: Pick<Config, 'xen_log_dir'>;
  readonly hypervisor: Pick<Hypervisor, 'list' | 'presence' | 'create'>;
  readonly guests: Pick<GuestConfigStore, 'exists' | 'path'>;
  readonly locks: VpsLocks;
  readonly log: Pick<Logger, 'warn' | 'error'>;
  readonly now?: () => number;
  readonly uptime_s?: () => number;
}

const RECENT_MS = 10 * 60_000;
const TRIES = 5;
const LOG_NAME = /^xl-(xen[0-9]{1,5})\.log$/;

/** Makes {@link LostReboots}. */
export function createLostReboots(options: LostRebootsOptions): LostReboots {
  const { config, hypervisor, guests, locks, log, now = Date.now, uptime_s = uptime } = options;
  const logOf = (vps: VpsId) => xlLog(config.xen_log_dir, vps);
  let running: ReadonlySet<string> | undefined;
  /** Guests that are to be started again, with how often that was tried. */
  const lost = new Map<string, { readonly vps: VpsId; tries: number }>();

  /** The guests whose logs were written to in the last minutes: who they were before this process, nobody knows. */
  async function recent(): Promise<Set<string>> {
    const found = new Set<string>();
    const names = await readdir(config.xen_log_dir).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return [];
      throw error;
    });
    for (const file of names) {
      const name = LOG_NAME.exec(file)?.[1];
      if (name === undefined) continue;
      const { mtimeMs } = await stat(join(config.xen_log_dir, file));
      // What was written before this boot is xendomains' to start, or nobody's.
      if (Math.abs(now() - mtimeMs) < Math.min(RECENT_MS, uptime_s() * 1000)) found.add(name);
    }
    return found;
  }

  const whyLost = async (vps: VpsId) => lostReboot((await readLogTail(logOf(vps), 0)) ?? '');

  async function startAgain(vps: VpsId): Promise<void> {
    const why = await whyLost(vps);
    const { kind } = await hypervisor.presence(vps);
    if (why === undefined || kind === 'domain' || kind === 'saved' || !(await guests.exists(vps))) {
      lost.delete(vps.name);
      return;
    }
    if (kind !== 'stopped') return;
    await hypervisor.create(vps, guests.path(vps));
    lost.delete(vps.name);
    log.warn(
      { vps: vps.name },
      `${vps.name} rebooted itself and did not come back (${why}): it was started again.`,
    );
  }

  async function tryAgain(entry: { readonly vps: VpsId; tries: number }): Promise<void> {
    const { vps } = entry;
    await ifUnlocked(locks, vps, 'starting a guest whose reboot was lost', log, async () => {
      entry.tries += 1;
      await startAgain(vps);
    });
    if (!lost.has(vps.name) || entry.tries < TRIES) return;
    lost.delete(vps.name);
    log.error(
      { vps: vps.name },
      `${vps.name} rebooted itself, did not come back, and cannot be started again: see ${logOf(vps)}, and start it with startVPS.`,
    );
  }

  async function lookOnce(): Promise<void> {
    const now_running = new Set((await hypervisor.list()).map(({ name }) => name));
    const before = running ?? (await recent());
    running = now_running;
    for (const name of before) {
      const vps = parseVpsId(name);
      if (!vps || vps.name !== name || now_running.has(name)) continue;
      const { kind } = await hypervisor.presence(vps);
      // Still in the gap of its reboot: it counts as seen until it is clear what becomes of it.
      if (kind === 'starting') running = new Set([...running, name]);
      else if (kind === 'stopped' && (await whyLost(vps)) !== undefined) lost.set(name, { vps, tries: 0 });
    }
    for (const entry of [...lost.values()]) await tryAgain(entry);
  }

  return {
    async look() {
      try {
        await lookOnce();
      } catch (thrown) {
        const failure = asAgentError(thrown);
        log.warn(
          errorFields(failure),
          `guests whose reboot was lost cannot be looked for now: ${failure.message}`,
        );
      }
    },
  };
}
