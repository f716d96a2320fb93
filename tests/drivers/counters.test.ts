import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseConfig } from '../../src/config/load.ts';
import type { Domain } from '../../src/core/vps.ts';
import { createCounters } from '../../src/drivers/counters.ts';
import { parseNetDev } from '../../src/drivers/parse/net-dev.ts';
import { parseBlockStat, parseVbdSectors, parseVolumeName } from '../../src/drivers/parse/vbd-statistics.ts';
import { type Capture, layOutCapture } from '../stats/capture.ts';

const domain = (name: string, domid: number, cpu_seconds: number): Domain => ({
  name,
  domid,
  memory_mib: 256,
  vcpus: 1,
  state: '-b----',
  cpu_seconds,
});
const xen02 = domain('xen02', 2, 64.3);
const xen01 = domain('xen01', 3, 61.6);

let capture: Capture;
beforeEach(() => {
  capture = layOutCapture();
});
afterEach(() => capture.remove());

function counters(keys = '') {
  const config = parseConfig(`proc_dir=${capture.proc_dir}\nsys_dir=${capture.sys_dir}\n${keys}`);
  return createCounters({ config, log: pino({ level: 'silent' }) });
}
const readOne = async (which: Domain, keys = '') => (await counters(keys).read([which])).guests[0];

const BLKBACK = 'sys/bus/xen-backend/devices';
const dm = (n: number, name: string, read: string | number, written: string | number) => {
  capture.put(`sys/block/dm-${n}/dm/name`, `${name}\n`);
  capture.put(
    `sys/block/dm-${n}/stat`,
    `     311        0     ${read}      12      227        0    ${written}      80        0       92       92        0        0        0        0        0        0\n`,
  );
};

describe('counters of a captured node', () => {
  it('reads both guests, the one with a named interface too', async () => {
    const reading = await counters().read([xen02, xen01]);
    expect(reading).toEqual({
      boot_id: 'f3c9a3de-51b0-4c50-9b0e-6a1f0f4b3f0a',
      guests: [
        {
          vpsname: 'xen02',
          domid: 2,
          cpu_seconds: 64.3,
          vif_rx_bytes: 6833,
          vif_tx_bytes: 7255,
          root: { sectors: 84570 + 11640, counted_for: 'guest' },
          swap: undefined,
        },
        {
          vpsname: 'xen01',
          domid: 3,
          cpu_seconds: 61.6,
          vif_rx_bytes: 3616,
          vif_tx_bytes: 4096,
          root: { sectors: 77202 + 4584, counted_for: 'guest' },
          swap: { sectors: 2896, counted_for: 'guest' },
        },
      ],
    });
  });

  it('counts VPSes alone', async () => {
    const others = ['Domain-0', '01', 'xen', 'xen01--incoming', 'xen123456', 'web'].map((name, at) =>
      domain(name, at, 1),
    );
    expect((await counters().read(others)).guests).toEqual([]);
  });

  it('keeps counters beyond 2^32 whole', async () => {
    capture.netDev({ 'vif3.0': [2 ** 32 + 17, 9_007_199_254_740_991] });
    capture.put(`${BLKBACK}/vbd-3-51712/statistics/rd_sect`, '8589934592\n');
    expect(await readOne(xen01)).toMatchObject({
      vif_rx_bytes: 4_294_967_313,
      vif_tx_bytes: 9_007_199_254_740_991,
      root: { sectors: 8_589_934_592 + 4584 },
    });
  });

  it.each([
    ['sd', 2048, 2064],
    ['hd', 768, 832],
  ])('finds disks of a guest that calls them %s', async (prefix, root, swap) => {
    capture.put(`${BLKBACK}/vbd-9-${root}/statistics/rd_sect`, '10\n');
    capture.put(`${BLKBACK}/vbd-9-${root}/statistics/wr_sect`, '5\n');
    capture.put(`${BLKBACK}/vbd-9-${swap}/statistics/rd_sect`, '2\n');
    capture.put(`${BLKBACK}/vbd-9-${swap}/statistics/wr_sect`, '1\n');
    const expected = {
      root: { sectors: 15, counted_for: 'guest' },
      swap: { sectors: 3, counted_for: 'guest' },
    };
    expect(await readOne(domain('xen09', 9, 1), `XEN_DOMU_HDD_DEV_TYPE=${prefix}`)).toMatchObject(expected);
    expect(await readOne(domain('xen09', 9, 1))).toMatchObject(expected);
  });

  it.each([
    ['sda1 and sda2, as DTC-Xen wrote', 2049, 2050],
    ['hda1 and hda2', 769, 770],
    ['xvda2 and xvda1, as xen-tools writes', 51714, 51713],
  ])('bills a guest whose disks are %s', async (_, root, swap) => {
    for (const [vbd, read] of [
      [root, 10],
      [swap, 2],
    ]) {
      capture.put(`${BLKBACK}/vbd-9-${vbd}/statistics/rd_sect`, `${read}\n`);
      capture.put(`${BLKBACK}/vbd-9-${vbd}/statistics/wr_sect`, '5\n');
    }
    expect(await readOne(domain('xen09', 9, 1))).toMatchObject({
      root: { sectors: 15, counted_for: 'guest' },
      swap: { sectors: 7, counted_for: 'guest' },
    });
  });

  it("goes by what a guest's disks are of dom0, whatever it calls them", async () => {
    const vbd = (number: number, device: string, read: number) => {
      capture.put(`${BLKBACK}/vbd-9-${number}/physical_device`, `${device}\n`);
      capture.put(`${BLKBACK}/vbd-9-${number}/statistics/rd_sect`, `${read}\n`);
      capture.put(`${BLKBACK}/vbd-9-${number}/statistics/wr_sect`, '0\n');
    };
    vbd(51714, 'fe:1a', 3);
    vbd(51713, 'fe:b', 40);
    vbd(2049, '7:0', 1000);
    capture.put('sys/dev/block/254:26/dm/name', 'vg0-xen09swap\n');
    capture.put('sys/dev/block/254:11/dm/name', 'vg0-xen09\n');
    capture.put('sys/dev/block/7:0/loop/backing_file', '/srv/something.img\n');
    expect(await readOne(domain('xen09', 9, 1))).toMatchObject({
      root: { sectors: 40, counted_for: 'guest' },
      swap: { sectors: 3, counted_for: 'guest' },
    });
    capture.put('sys/dev/block/7:0/loop/backing_file', '/var/lib/dtc-xen/mnt/xen09.img\n');
    capture.drop('sys/dev/block/254:11');
    capture.put('sys/dev/block/254:11/dm/name', 'vg0-somebodys\n');
    expect(await readOne(domain('xen09', 9, 1))).toMatchObject({ root: { sectors: 1000 } });
  });

  it("takes the volumes' counters where blkback has none", async () => {
    capture.drop(`${BLKBACK}/vbd-3-51712/statistics`);
    capture.drop(`${BLKBACK}/vbd-3-51728`);
    dm(0, 'vg0-xen01', 4_294_967_296, 10);
    dm(1, 'vg0-xen01swap', 7, 8);
    dm(2, 'vg0-xen011', 1, 1);
    capture.put('sys/block/sda/stat', '1 1 1 1 1 1 1 1 1 1 1\n');
    expect(await readOne(xen01)).toMatchObject({
      root: { sectors: 4_294_967_306, counted_for: 'volume' },
      swap: { sectors: 15, counted_for: 'volume' },
    });
  });

  it('takes the configured volume group, and no guess between two', async () => {
    capture.drop(`${BLKBACK}/vbd-3-51712`);
    dm(0, 'vg0-xen01', 1, 1);
    dm(1, 'my--fast--vg-xen01', 20, 3);
    expect((await readOne(xen01))?.root).toBeUndefined();
    expect((await readOne(xen01, 'provisioning_volgroup=my-fast-vg'))?.root).toEqual({
      sectors: 23,
      counted_for: 'volume',
    });
  });

  it('loses no reading to counters that are missing or garbled', async () => {
    capture.put(`${BLKBACK}/vbd-3-51712/statistics/rd_sect`, '-2147483648\n');
    capture.put('proc/net/dev', 'nonsense\n vif3.0: 1 2 3\n');
    capture.drop('proc/sys/kernel/random/boot_id');
    expect(await counters().read([xen01])).toEqual({
      boot_id: '',
      guests: [
        {
          vpsname: 'xen01',
          domid: 3,
          cpu_seconds: 61.6,
          vif_rx_bytes: undefined,
          vif_tx_bytes: undefined,
          root: undefined,
          swap: { sectors: 2896, counted_for: 'guest' },
        },
      ],
    });
  });
});

describe('parsers', () => {
  it('reads interfaces that stand close to their first counter', () => {
    const text = 'eth0:116374     639 0 0 0 0 0 0 126834 583 0 0 0 0 0 0';
    expect([...parseNetDev(text)]).toEqual([['eth0', { rx_bytes: 116374, tx_bytes: 126834 }]]);
  });

  it.each(['', '12 ', '-1\n', '0x10', '1e3'])('takes %j for no counter', (text) => {
    expect(parseVbdSectors(text, '1\n')).toBeUndefined();
  });

  it('reads the shorter stat of older kernels, and none that is cut', () => {
    expect(parseBlockStat('1 0 100 0 1 0 11 0 0 0 0\n')).toBe(111);
    expect(parseBlockStat('1 0 100 0 1')).toBeUndefined();
  });

  it('undoubles hyphens in names of volumes', () => {
    expect(parseVolumeName('a--b-c--d\n')).toEqual({ volgroup: 'a-b', volume: 'c-d' });
    expect(parseVolumeName('vg0-pool-tpool')).toBeUndefined();
    expect(parseVolumeName('control')).toBeUndefined();
  });
});
