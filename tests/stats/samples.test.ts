import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseVpsId } from '../../src/core/vps.ts';
import { createTestNode, expectExact, peek, rowsOnce, type TestNode, WARN } from './node.ts';

let node: TestNode;
beforeEach(() => {
  node = createTestNode();
});
afterEach(() => node.remove());

const diffs = async (sampler: Parameters<typeof peek>[0]) =>
  (await peek(sampler)).map(({ guests }) => guests[0]?.diff_net_inbytes);
const xen01 = parseVpsId('xen01');
const noSpace = () =>
  Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC', syscall: 'write' });

describe('the sample spool', () => {
  it('keeps samples in order, each in a file, over restarts', async () => {
    const sampler = node.sampler();
    for (let minute = 0; minute < 3; minute += 1) await node.minute(sampler);
    expect(node.files()).toEqual([
      'last-counters.json',
      `sample-00${node.clock_ms - 120_000}.json`,
      `sample-00${node.clock_ms - 60_000}.json`,
      `sample-00${node.clock_ms}.json`,
    ]);
    const restarted = node.sampler();
    await node.minute(restarted, 7);
    expect(await diffs(restarted)).toEqual([0, 100, 100, 7]);
    expect((await peek(restarted))[3]).toEqual({
      timestamp: node.clock_ms / 1000,
      guests: [
        {
          vpsname: 'xen01',
          timestamp: node.clock_ms / 1000,
          diff_cpu_time: 0.7,
          diff_net_inbytes: 7,
          diff_net_outbytes: 14,
          diff_filesystem_sectors: 21,
          diff_swap_sectors: 0,
          cpu_time: 130.7,
          net_inbytes: 1307,
          net_outbytes: 2614,
          filesystem_sectors: 3921,
          swap_sectors: 0,
        },
      ],
    });
  });

  it('keeps no sample without guests, but knows that it was sampling', async () => {
    const sampler = node.sampler();
    node.running = false;
    await node.minute(sampler);
    expect(node.files()).toEqual(['last-counters.json']);
    node.running = true;
    const restarted = node.sampler();
    await node.minute(restarted);
    expect(await diffs(restarted)).toEqual([1200]);
  });

  it('orders samples by their taking when the clock is set back', async () => {
    const sampler = node.sampler();
    await node.minute(sampler, 1);
    node.clock_ms -= 3_600_000;
    await node.minute(sampler, 2);
    await node.minute(sampler, 3);
    expect(await diffs(node.sampler())).toEqual([0, 2, 3]);
    expect(Math.floor((await peek(sampler))[1]?.timestamp ?? 0)).toBe((node.clock_ms - 60_000) / 1000);
  });

  it('gives no two samples the same timestamp when an hour comes again, and again', async () => {
    const sampler = node.sampler();
    const hour = async () => {
      for (let minute = 0; minute < 20; minute += 1) await node.minute(sampler);
      node.clock_ms -= 20 * 60_000;
    };
    for (let time = 0; time < 3; time += 1) await hour();
    const times = (await peek(sampler)).map(({ timestamp }) => Math.round(timestamp * 1000));
    expect(new Set(times).size).toBe(60);
    expect(new Set(times.map((ms) => Math.floor(ms / 1000))).size).toBe(20);
  });

  it('covers a failed sample with the next one', async () => {
    const sampler = node.sampler();
    await node.minute(sampler);
    const failing = node.sampler({
      counters: { read: () => Promise.reject(new Error('no answer')) },
    });
    await expect(node.minute(failing)).rejects.toThrow('no answer');
    await node.minute(sampler);
    expect(await diffs(sampler)).toEqual([0, 200]);
  });

  it('never takes two samples at once', async () => {
    const sampler = node.sampler();
    await node.minute(sampler);
    node.counter += 50;
    await Promise.all([sampler.sampleNow(), sampler.sampleNow(), sampler.sampleNow()]);
    const all = await diffs(sampler);
    expect(all).toEqual([0, 50, 0, 0]);
  });

  it('removes what is beyond so many days worth of samples, the oldest first, and says so', async () => {
    const sampler = node.sampler({
      config: { state_dir: join(node.perfdata, '..'), perf_direction: 'dom0', perf_retention: 1 },
    });
    await node.minute(sampler);
    const [, first = ''] = node.files();
    const taken_ms = node.clock_ms;
    const text = node.read(first);
    // As many as a day has, and the one that is there.
    for (let at = 1; at <= 1440; at += 1) {
      const serial = taken_ms + at * 60_000;
      const name = `sample-${String(serial).padStart(15, '0')}.json`;
      writeFileSync(join(node.perfdata, name), text.replaceAll(String(taken_ms), String(serial)));
    }
    node.clock_ms += 1440 * 60_000;
    await node.minute(sampler);
    const samples = node.files().filter((name) => name.startsWith('sample'));
    expect(samples).toHaveLength(1440);
    expect(samples[0]).toBe(`sample-00${taken_ms + 2 * 60_000}.json`);
    expect(node.lines.filter(({ level }) => level === WARN)).toMatchObject([
      {
        removed: 2,
        from: new Date(taken_ms).toISOString(),
        to: new Date(taken_ms + 60_000).toISOString(),
        msg: "the sample spool is full (1 days' worth): the oldest samples, which no panel fetched, are removed",
      },
    ]);
  });

  it('sets damaged and foreign files aside and goes on', async () => {
    const sampler = node.sampler();
    for (let minute = 0; minute < 3; minute += 1) await node.minute(sampler);
    const [, first = '', second = '', third = ''] = node.files();
    writeFileSync(join(node.perfdata, second), '');
    writeFileSync(join(node.perfdata, third), node.read(third).replace('"serial":', '"serial":"x'));
    writeFileSync(join(node.perfdata, 'last-counters.json'), '\0\0\0\0');
    writeFileSync(join(node.perfdata, 'cpu.db'), 'foreign');
    mkdirSync(join(node.perfdata, 'sample-999.json'));
    writeFileSync(join(node.perfdata, '.sample-000000000000001.json.new'), 'half');

    const restarted = node.sampler();
    await node.minute(restarted);
    expect(await diffs(restarted)).toEqual([0, 300]);
    expect(node.files().filter((name) => !name.endsWith('.damaged'))).toEqual([
      'last-counters.json',
      first,
      `sample-00${node.clock_ms}.json`,
    ]);
    expect(node.files().filter((name) => name.endsWith('.damaged'))).toHaveLength(5);
    expect(node.lines.filter(({ level }) => level === WARN)).toHaveLength(5);
  });

  it('starts anew, billing nothing, when all its files are damaged', async () => {
    const sampler = node.sampler();
    await node.minute(sampler);
    for (const name of node.files()) writeFileSync(join(node.perfdata, name), '{}');
    const restarted = node.sampler();
    await node.minute(restarted);
    expect(await diffs(restarted)).toEqual([0]);
  });

  it('keeps samples in memory while the disk is full, and writes them later', async () => {
    let full = false;
    const sampler = node.sampler({
      fault: (step) => {
        if (full && step.endsWith('begun')) throw noSpace();
      },
    });
    await node.minute(sampler);
    full = true;
    await node.minute(sampler, 1);
    await node.minute(sampler, 2);
    expect(await diffs(sampler)).toEqual([0]);
    full = false;
    await node.minute(sampler, 3);
    expect(await diffs(sampler)).toEqual([0, 1, 2, 3]);
    expect(node.lines.filter(({ level }) => level === WARN)).toMatchObject([
      { waiting: 1, code: 'ENOSPC' },
      { waiting: 2, code: 'ENOSPC' },
    ]);
    expect(JSON.stringify(node.lines)).not.toContain('"stack"');
  });

  it('loses no byte to a disk that is full for hours, nor to a kill meanwhile', async () => {
    let full = false;
    const options = {
      fault: (step: string) => {
        if (full && step.endsWith('begun')) throw noSpace();
      },
    };
    const sampler = node.sampler(options);
    await node.minute(sampler);
    full = true;
    for (let minute = 0; minute < 100; minute += 1) await node.minute(sampler, 1);
    const killed = node.sampler();
    expect(await diffs(killed)).toEqual([0]);
    full = false;
    await node.minute(sampler, 1);
    const rows = rowsOnce(await peek(sampler));
    expect(rows).toHaveLength(62);
    expectExact(rows);
    expect(rows.at(-1)).toMatchObject({ net_inbytes: 1201, diff_net_inbytes: 41 });
  });

  it('does not forget where it stood when samples go while the disk is full', async () => {
    let full = false;
    const sampler = node.sampler({
      fault: (step) => {
        if (full && step.startsWith('last')) throw noSpace();
      },
    });
    await node.minute(sampler);
    full = true;
    await node.minute(sampler);
    const delivery = await sampler.take(0);
    await delivery.delivered();
    expect(node.files().filter((name) => name.startsWith('sample'))).toHaveLength(1);
    const restarted = node.sampler();
    await node.minute(restarted, 5);
    expect(await diffs(restarted)).toEqual([100, 5]);
  });
});

describe('counters of one VPS', () => {
  it("tells the guest's counters now, and nothing of one that does not run", async () => {
    if (!xen01) throw new Error('xen01 is a name');
    const sampler = node.sampler();
    expect(await sampler.counters(xen01)).toEqual({
      cpu_seconds: 100,
      vif_rx_bytes: 1000,
      vif_tx_bytes: 2000,
      root_sectors: 3000,
      swap_sectors: 0,
    });
    node.running = false;
    expect(await sampler.counters(xen01)).toBeUndefined();
  });
});

describe('the schedule', () => {
  it('takes samples by the clock, warns once of each that fails, and stops', async () => {
    let failing = false;
    const sampler = node.sampler({
      schedule: '* * * * * *',
      now: Date.now,
      hypervisor: {
        list: async () => {
          if (failing) throw new Error('xl list did not end within 10 s and was killed.');
          return [{ name: 'xen01', domid: 3, memory_mib: 1, vcpus: 1, state: '-b----', cpu_seconds: 1 }];
        },
        find: async () => undefined,
      },
    });
    await sampler.start();
    await expect.poll(async () => (await peek(sampler)).length, { timeout: 5000 }).toBeGreaterThan(1);
    failing = true;
    const failures = () => node.lines.filter(({ level }) => level === WARN).length;
    await expect.poll(failures, { timeout: 5000 }).toBe(1);
    await sampler.stop();
    const taken = (await peek(sampler)).length;
    await new Promise((resolve) => setTimeout(resolve, 1500));
    expect((await peek(sampler)).length).toBe(taken);
    expect(failures()).toBe(1);
  });
});
