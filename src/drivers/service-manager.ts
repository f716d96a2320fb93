import type { Runner } from '../core/runner.ts';

/** What systemd is told of this service (sd_notify(3)). Nothing where nobody listens: `NOTIFY_SOCKET` is not set. */
export interface ServiceManager {
  /** The service answers; `status` is what `systemctl status` shows. */
  ready(status: string): Promise<void>;
  /** A reload has begun; {@link ready} ends it. */
  reloading(): Promise<void>;
  /** The service ends now. */
  stopping(): Promise<void>;
  /**
   * Says that the service lives, three times in each watchdog period, as long as `healthy` says so within that time.
   * systemd restarts a service that it has not heard of for a whole period. Nothing where no watchdog is set.
   */
  watch(healthy: () => Promise<boolean>): void;
}

/** What a {@link ServiceManager} is made of. */
export interface ServiceManagerOptions {
  readonly runner: Pick<Runner, 'check'>;
  /** systemd's variables in the environment; of no interest to what this process starts. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Told of what could not be said, and of a service that is not healthy. */
  readonly onTrouble: (what: string, thrown?: unknown) => void;
}

const NOTIFY_TIMEOUT_MS = 10_000;
const PINGS_IN_A_PERIOD = 3;

/** CLOCK_MONOTONIC in microseconds, which tells systemd that a reload began after it asked for one. */
const monotonicUsec = () => String(process.hrtime.bigint() / 1000n);

/** The watchdog's period: `WATCHDOG_USEC`, where it is meant for this process. */
function watchdogPeriodMs({ WATCHDOG_USEC, WATCHDOG_PID }: ServiceManagerOptions['env']): number | undefined {
  if (WATCHDOG_PID !== undefined && WATCHDOG_PID !== String(process.pid)) return undefined;
  const period_ms = Number(WATCHDOG_USEC ?? 0) / 1000;
  return Number.isFinite(period_ms) && period_ms > 0 ? period_ms : undefined;
}

/**
 * Tells systemd through its own program systemd-notify: Node.js has no datagram sockets of that family. The program speaks
 * in the name of the process that started it, so that the unit can do with `NotifyAccess=main`.
 */
export function createServiceManager({ runner, env, onTrouble }: ServiceManagerOptions): ServiceManager {
  const { NOTIFY_SOCKET } = env;

  async function tell(...assignments: readonly string[]): Promise<void> {
    if (!NOTIFY_SOCKET) return;
    try {
      await runner.check({
        label: 'systemd-notify',
        program: 'systemd-notify',
        args: ['--no-block', '--', ...assignments],
        env: { NOTIFY_SOCKET },
        timeout_ms: NOTIFY_TIMEOUT_MS,
      });
    } catch (thrown) {
      onTrouble(`systemd cannot be told ${assignments[0]}`, thrown);
    }
  }

  const inOneLine = (text: string) => text.replace(/[\0-\x1f]+/g, ' ');
  return {
    ready: (status) => tell('READY=1', `STATUS=${inOneLine(status)}`),
    reloading: () => tell('RELOADING=1', `MONOTONIC_USEC=${monotonicUsec()}`),
    stopping: () => tell('STOPPING=1', 'STATUS=Stopping: running calls end, jobs go on'),
    watch(healthy) {
      const period_ms = watchdogPeriodMs(env);
      if (!NOTIFY_SOCKET || period_ms === undefined) return;
      let asked_since: number | undefined;
      const look = async () => {
        if (asked_since !== undefined) {
          const waited_s = Math.round((performance.now() - asked_since) / 1000);
          onTrouble(`the server has not answered for ${waited_s} s; the watchdog is not told that it lives`);
          return;
        }
        asked_since = performance.now();
        try {
          if (await healthy()) await tell('WATCHDOG=1');
          else onTrouble('the server does not answer as it must; the watchdog is not told that it lives');
        } catch (thrown) {
          onTrouble('the server cannot be asked; the watchdog is not told that it lives', thrown);
        } finally {
          asked_since = undefined;
        }
      };
      setInterval(() => void look(), period_ms / PINGS_IN_A_PERIOD).unref();
    },
  };
}
