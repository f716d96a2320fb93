import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createDeliveries } from '../../src/stats/delivery.ts';
import type { Sampler } from '../../src/stats/samples.ts';
import { openSpool } from '../../src/stats/spool.ts';
import { createSpoolFolder } from '../../src/stats/spool-folder.ts';
import { createTestNode, peek, type TestNode } from './node.ts';

let node: TestNode;
let sampler: Sampler;
beforeEach(async () => {
  node = createTestNode();
  sampler = node.sampler({ delivery_wait_ms: 200 });
  for (let minute = 1; minute <= 4; minute += 1) await node.minute(sampler, minute);
});
afterEach(() => node.remove());

const grown = (samples: Awaited<ReturnType<typeof peek>>) =>
  samples.map(({ guests }) => guests[0]?.diff_net_inbytes);

describe('deliveries', () => {
  it('deletes exactly what was delivered', async () => {
    const delivery = await sampler.take(2);
    expect(grown(delivery.samples)).toEqual([0, 2]);
    await node.minute(sampler, 5);
    await delivery.delivered();
    expect(grown(await peek(node.sampler()))).toEqual([3, 4, 5]);
  });

  it('hands out the same samples again after a cut connection', async () => {
    const cut = await sampler.take(3);
    cut.kept();
    await cut.delivered();
    const again = await sampler.take(3);
    expect(again.samples).toEqual(cut.samples);
    await again.delivered();
    expect(grown(await peek(sampler))).toEqual([4]);
  });

  it('has a second caller wait for the first, so that no sample goes to two', async () => {
    const first = await sampler.take(0);
    const second = sampler.take(0);
    const third = sampler.take(0);
    await first.delivered();
    expect((await second).samples).toEqual([]);
    (await second).kept();
    expect((await third).samples).toEqual([]);
    (await third).kept();
  });

  it('tells a caller who waited too long, and goes on with the next', async () => {
    const first = await sampler.take(0);
    await expect(sampler.take(0)).rejects.toMatchObject({
      code: 'timeout',
      message: expect.stringContaining('another caller'),
    });
    first.kept();
    expect(grown(await peek(sampler))).toEqual([0, 2, 3, 4]);
  });

  it('gives the turn on when reading fails', async () => {
    const folder = createSpoolFolder(node.perfdata, pino({ level: 'silent' }));
    const spool = await openSpool({
      folder,
      retention_days: 7,
      log: pino({ level: 'silent' }),
      now: () => 0,
    });
    let broken = true;
    const deliveries = createDeliveries({
      spool: {
        ...spool,
        state: undefined,
        oldest: (...asked) => (broken ? Promise.reject(new Error('EMFILE')) : spool.oldest(...asked)),
      },
      wait_ms: 200,
    });
    await expect(deliveries.take(0)).rejects.toThrow('EMFILE');
    broken = false;
    expect((await deliveries.take(0)).samples).toHaveLength(4);
  });

  it('cuts an answer that would grow too long, and never below one sample', async () => {
    const folder = createSpoolFolder(node.perfdata, pino({ level: 'silent' }));
    const log = pino({ level: 'silent' });
    const spool = await openSpool({ folder, retention_days: 7, log, now: () => node.clock_ms });
    const small = createDeliveries({ spool, wait_ms: 200, rows_an_answer: 3 });
    const first = await small.take(0);
    expect(grown(first.samples)).toEqual([0, 2, 3]);
    await first.delivered();
    const tiny = createDeliveries({ spool, wait_ms: 200, rows_an_answer: 0 });
    expect(grown((await tiny.take(0)).samples)).toEqual([4]);
  });
});
