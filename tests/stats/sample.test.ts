import { describe, expect, it } from 'vitest';
import type { GuestReading, NodeReading } from '../../src/core/ports.ts';
import { type CounterState, diff } from '../../src/stats/sample.ts';

const guest = (more: Partial<GuestReading> = {}): GuestReading => ({
  vpsname: 'xen01',
  domid: 3,
  cpu_seconds: 61.6,
  vif_rx_bytes: 3616,
  vif_tx_bytes: 4096,
  root: { sectors: 81786, counted_for: 'guest' },
  swap: { sectors: 2896, counted_for: 'guest' },
  ...more,
});
const node = (guests: GuestReading[], boot_id = 'a'): NodeReading => ({ boot_id, guests });
const as = (direction: 'dom0' | 'guest', timestamp = 60) => ({ timestamp, direction });

/** Feeds one reading after the other and returns the last sample's guests. */
function feed(...readings: NodeReading[]) {
  let state: CounterState | undefined;
  return readings
    .map((reading, at) => {
      const next = diff(state, reading, as('dom0', at * 60));
      state = next.state;
      return next.sample.guests;
    })
    .at(-1);
}

const NOTHING = {
  diff_cpu_time: 0,
  diff_net_inbytes: 0,
  diff_net_outbytes: 0,
  diff_filesystem_sectors: 0,
  diff_swap_sectors: 0,
};
const COUNTERS_THEMSELVES = {
  diff_cpu_time: 61.6,
  diff_net_inbytes: 3616,
  diff_net_outbytes: 4096,
  diff_filesystem_sectors: 81786,
  diff_swap_sectors: 2896,
};

describe('diff', () => {
  it('bills nothing in the first sample ever', () => {
    expect(diff(undefined, node([guest()]), as('dom0')).sample).toEqual({
      timestamp: 60,
      guests: [
        {
          vpsname: 'xen01',
          timestamp: 60,
          ...NOTHING,
          cpu_time: 61.6,
          net_inbytes: 3616,
          net_outbytes: 4096,
          filesystem_sectors: 81786,
          swap_sectors: 2896,
        },
      ],
    });
  });

  it('takes differences from the last sample, in short numbers', () => {
    const later = guest({
      cpu_seconds: 61.9,
      vif_rx_bytes: 2 ** 32 + 3616,
      vif_tx_bytes: 2 ** 52 + 4096,
      root: { sectors: 81796, counted_for: 'guest' },
    });
    expect(feed(node([guest()]), node([later]))).toMatchObject([
      {
        diff_cpu_time: 0.3,
        diff_net_inbytes: 4_294_967_296,
        diff_net_outbytes: 4_503_599_627_370_496,
        diff_filesystem_sectors: 10,
        diff_swap_sectors: 0,
        net_inbytes: 4_294_970_912,
      },
    ]);
  });

  it('calls in what dom0 received, or what the guest received, as perf_direction says', () => {
    const before = diff(undefined, node([guest()]), as('guest'));
    const after = node([guest({ vif_rx_bytes: 3617, vif_tx_bytes: 4196 })]);
    expect(before.sample.guests[0]).toMatchObject({ net_inbytes: 4096, net_outbytes: 3616 });
    expect(diff(before.state, after, as('guest')).sample.guests[0]).toMatchObject({
      diff_net_inbytes: 100,
      diff_net_outbytes: 1,
    });
    expect(diff(before.state, after, as('dom0')).sample.guests[0]).toMatchObject({
      diff_net_inbytes: 1,
      diff_net_outbytes: 100,
    });
  });

  it('takes the counter itself of a guest with a new domain id, though it is above the last one', () => {
    const old = guest({ domid: 2, cpu_seconds: 1, vif_rx_bytes: 10, vif_tx_bytes: 10 });
    expect(feed(node([old]), node([guest()]))).toMatchObject([COUNTERS_THEMSELVES]);
  });

  it('takes the counter itself after the node was rebooted, though the domain id is the same', () => {
    const old = guest({ cpu_seconds: 1, vif_rx_bytes: 10 });
    expect(feed(node([old], 'a'), node([guest()], 'b'))).toMatchObject([COUNTERS_THEMSELVES]);
  });

  it('takes the counter itself of one below the last', () => {
    const wrapped = guest({ vif_rx_bytes: 100, root: { sectors: 5, counted_for: 'guest' } });
    expect(feed(node([guest()]), node([wrapped]))).toMatchObject([
      { ...NOTHING, diff_net_inbytes: 100, diff_filesystem_sectors: 5 },
    ]);
  });

  it('takes the counter itself of a guest that was started while samples were taken', () => {
    expect(feed(node([]), node([guest()]))).toMatchObject([COUNTERS_THEMSELVES]);
  });

  it('does not bill a guest anew that one listing left out', () => {
    const later = guest({ vif_rx_bytes: 3620 });
    expect(feed(node([guest()]), node([]), node([later]))).toMatchObject([
      { ...NOTHING, diff_net_inbytes: 4 },
    ]);
  });

  it('does not take a boot_id that cannot be read for a reboot', () => {
    const later = guest({ vif_rx_bytes: 3617 });
    const last = guest({ vif_rx_bytes: 3619 });
    expect(feed(node([guest()]), node([later], ''))).toMatchObject([{ ...NOTHING, diff_net_inbytes: 1 }]);
    expect(feed(node([guest()]), node([later], ''), node([last], 'a'))).toMatchObject([
      { ...NOTHING, diff_net_inbytes: 2 },
    ]);
    expect(feed(node([guest()]), node([later], ''), node([guest()], 'b'))).toMatchObject([
      COUNTERS_THEMSELVES,
    ]);
  });

  it('bills nothing twice when counters are missing for a while', () => {
    const gone = guest({
      vif_rx_bytes: undefined,
      vif_tx_bytes: undefined,
      root: undefined,
      swap: { sectors: 1_000_000, counted_for: 'volume' },
    });
    const during = feed(node([guest()]), node([gone]));
    expect(during).toMatchObject([
      { ...NOTHING, net_inbytes: 3616, filesystem_sectors: 81786, swap_sectors: 2896 },
    ]);
    const back = guest({ vif_tx_bytes: 4100, swap: { sectors: 2900, counted_for: 'guest' } });
    expect(feed(node([guest()]), node([gone]), node([back]))).toMatchObject([
      { ...NOTHING, diff_net_outbytes: 4, diff_swap_sectors: 4 },
    ]);
  });

  it("goes on with a volume's counters over a restart, and takes none of what was before", () => {
    const volume = (domid: number, sectors: number) =>
      guest({ domid, root: { sectors, counted_for: 'volume' } });
    const sectors = (...readings: NodeReading[]) => feed(...readings)?.[0]?.diff_filesystem_sectors;
    expect(sectors(node([]), node([volume(3, 5000)]))).toBe(0);
    expect(sectors(node([volume(3, 5000)]), node([volume(4, 5010)]))).toBe(10);
    expect(sectors(node([volume(3, 5000)]), node([volume(4, 5010)], 'b'))).toBe(5010);
    expect(sectors(node([]), node([volume(3, 5000)]), node([guest()]))).toBe(81786);
  });
});
