import type { Config } from '../config/schema.ts';
import type { DiskReading, GuestReading, GuestSample, NodeReading, Sample } from '../core/ports.ts';
import { inAndOut } from '../core/traffic.ts';

/**
 * The counters that the next sample's differences are taken against: the last reading of every VPS seen since the node's
 * boot. One that is not listed at the moment stays, so that a listing without it (a rename) does not bill it anew.
 */
export interface CounterState {
  readonly boot_id: string;
  readonly guests: Readonly<Record<string, GuestReading>>;
}

/** What a counter has grown by; one below the last, or of a new life, has started at 0 and is the growth itself. */
function growth(before: number | undefined, now: number): number {
  return before === undefined || now < before ? now : now - before;
}

/** The counters to go on with: one that is missing keeps its last value within the same life of the guest. */
function heldDisk(before: DiskReading | undefined, now: DiskReading | undefined): DiskReading | undefined {
  if (before?.counted_for === 'guest' && now?.counted_for !== 'guest') return before;
  return now ?? before;
}

function hold(same_life: GuestReading | undefined, now: GuestReading): GuestReading {
  return {
    ...now,
    vif_rx_bytes: now.vif_rx_bytes ?? same_life?.vif_rx_bytes,
    vif_tx_bytes: now.vif_tx_bytes ?? same_life?.vif_tx_bytes,
    root: heldDisk(same_life?.root, now.root),
    swap: heldDisk(same_life?.swap, now.swap),
  };
}

interface Before {
  /** The last reading of the same domain in the same boot. */
  readonly same_life: GuestReading | undefined;
  /** The last reading of the VPS, whichever domain it was. */
  readonly vps: GuestReading | undefined;
  readonly same_boot: boolean;
}

function diskGrowth({ same_life, vps, same_boot }: Before, disk: 'root' | 'swap', now: DiskReading): number {
  if (now.counted_for === 'guest') {
    const before = same_life?.[disk];
    return growth(before?.counted_for === 'guest' ? before.sectors : undefined, now.sectors);
  }
  // A volume counts on over restarts of its guest; what it had counted before we saw it was not this guest.
  const before = vps?.[disk];
  if (before?.counted_for !== 'volume') return 0;
  return growth(same_boot ? before.sectors : undefined, now.sectors);
}

/** xl tells tenths of CPU seconds; a difference of two such floats is brought back to a short number. */
const rounded = (seconds: number) => Math.round(seconds * 1000) / 1000;

/**
 * Makes a sample of a reading (contract, "A performance sample").
 *
 * Differences are against `previous`. A new domain id or another boot of the node, a VPS that was not there before, and a
 * counter below the last one give the new counter itself (an unknown boot_id counts as the same boot). Without any previous
 * state all differences are 0: what guests used before the agent came is not billed in one minute.
 *
 * @param timestamp seconds since 1970
 */
export function diff(
  previous: CounterState | undefined,
  now: NodeReading,
  { timestamp, direction }: { timestamp: number; direction: Config['perf_direction'] },
): { sample: Sample; state: CounterState } {
  const boot_id = now.boot_id || (previous?.boot_id ?? '');
  const same_boot = previous !== undefined && (previous.boot_id === boot_id || previous.boot_id === '');
  const guests: Record<string, GuestReading> = { ...(same_boot ? previous.guests : {}) };
  const since = (value: number) => (previous === undefined ? 0 : value);

  const samples = now.guests.map((reading): GuestSample => {
    const vps = previous?.guests[reading.vpsname];
    const same_life = same_boot && vps?.domid === reading.domid ? vps : undefined;
    const before: Before = { same_life, vps, same_boot };
    const held = hold(same_life, reading);
    guests[reading.vpsname] = held;

    const { vif_rx_bytes: rx = 0, vif_tx_bytes: tx = 0, root, swap, cpu_seconds } = held;
    const net = inAndOut(direction, rx, tx);
    const net_growth = inAndOut(
      direction,
      growth(same_life?.vif_rx_bytes, rx),
      growth(same_life?.vif_tx_bytes, tx),
    );
    return {
      vpsname: reading.vpsname,
      timestamp,
      diff_cpu_time: since(rounded(growth(same_life?.cpu_seconds, cpu_seconds))),
      diff_net_inbytes: since(net_growth.in),
      diff_net_outbytes: since(net_growth.out),
      diff_filesystem_sectors: since(root ? diskGrowth(before, 'root', root) : 0),
      diff_swap_sectors: since(swap ? diskGrowth(before, 'swap', swap) : 0),
      cpu_time: cpu_seconds,
      net_inbytes: net.in,
      net_outbytes: net.out,
      filesystem_sectors: root?.sectors ?? 0,
      swap_sectors: swap?.sectors ?? 0,
    };
  });
  return { sample: { timestamp, guests: samples }, state: { boot_id, guests } };
}
