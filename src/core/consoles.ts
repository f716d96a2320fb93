import type { VpsId } from './vps.ts';

/** What guests have written to their consoles, as xenconsoled keeps it. */
export interface ConsoleLogs {
  /** The last lines (0: all that is kept), printable ASCII and line ends; undefined where there is none. */
  tail(vps: VpsId, lines: number): Promise<string | undefined>;
  /** Cuts the logs that have grown long. */
  trim(): Promise<void>;
  /** Deletes what Xen's programs have logged of the VPS (killVPS): the name may be another customer's next. */
  forget(vps: VpsId): Promise<void>;
}
