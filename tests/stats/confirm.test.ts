import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Sample } from '../../src/core/ports.ts';
import type { Sampler } from '../../src/stats/samples.ts';
import { createTestNode, peek, type TestNode, WARN } from './node.ts';

let node: TestNode;
let sampler: Sampler;
beforeEach(async () => {
  node = createTestNode();
  sampler = node.sampler({ delivery_wait_ms: 200 });
  for (let minute = 1; minute <= 5; minute += 1) await node.minute(sampler, minute);
});
afterEach(() => node.remove());

const grown = (samples: readonly Sample[]) => samples.map(({ guests }) => guests[0]?.diff_net_inbytes);
const newest = (samples: readonly Sample[]) => samples.at(-1)?.timestamp ?? 0;

describe('confirmed deliveries', () => {
  it('stay until a later call confirms them', async () => {
    const first = await sampler.confirm(0, 2);
    expect(grown(first)).toEqual([0, 2]);
    expect(grown(await sampler.confirm(0, 2))).toEqual([0, 2]);
    const second = await sampler.confirm(newest(first), 2);
    expect(grown(second)).toEqual([3, 4]);
    expect(grown(await peek(sampler))).toEqual([3, 4, 5]);
    expect(grown(await sampler.confirm(newest(second), 0))).toEqual([5]);
  });

  it('are confirmed after a restart as before it', async () => {
    const first = await sampler.confirm(0, 3);
    expect(grown(await node.sampler().confirm(newest(first), 0))).toEqual([4, 5]);
  });

  it('may be confirmed again: what was deleted already deletes nothing, and is no error', async () => {
    const first = await sampler.confirm(0, 3);
    for (let time = 0; time < 3; time += 1)
      expect(grown(await sampler.confirm(newest(first), 0))).toEqual([4, 5]);
    for (const unknown of [1, 4_000_000_000, newest(first) + 0.5])
      expect(grown(await sampler.confirm(unknown, 0))).toEqual([4, 5]);
    expect(node.lines.filter(({ level }) => level >= WARN)).toEqual([]);
  });

  it('count what comes back within a millisecond', async () => {
    node.clock_ms += 60_000 + 257;
    await node.minute(sampler, 6);
    const [last] = (await peek(sampler)).slice(-1);
    expect(await sampler.confirm((last?.timestamp ?? 0) + 0.002, 1)).toHaveLength(1);
    expect(await peek(sampler)).toHaveLength(6);
    expect(await sampler.confirm(Number((last?.timestamp ?? 0).toPrecision(13)), 1)).toHaveLength(0);
  });

  it('go by the order of taking, where the clock was set back meanwhile', async () => {
    node.clock_ms -= 3 * 60_000;
    await node.minute(sampler, 6);
    await node.minute(sampler, 7);
    const all = await peek(sampler);
    expect(all.at(-1)?.timestamp).toBeLessThan(all[4]?.timestamp ?? 0);
    expect(grown(await sampler.confirm(all[5]?.timestamp ?? 0, 0))).toEqual([7]);
    await node.minute(sampler, 8);
    expect(grown(await sampler.confirm(all[6]?.timestamp ?? 0, 0))).toEqual([8]);
  });

  it('never take a sample for an earlier one that was confirmed, when its time comes again', async () => {
    const confirmed = newest(await sampler.confirm(0, 0));
    expect(await sampler.confirm(confirmed, 0)).toEqual([]);
    node.clock_ms -= 2 * 60_000;
    for (let minute = 6; minute <= 9; minute += 1) await node.minute(sampler, minute);
    expect(grown(await sampler.confirm(confirmed, 0))).toEqual([6, 7, 8, 9]);
    expect(grown(await peek(sampler))).toEqual([6, 7, 8, 9]);
  });

  it('wait for a delivery without confirmation that is under way', async () => {
    const delivery = await sampler.take(2);
    const confirmed = sampler.confirm(0, 1);
    await delivery.wanted;
    await delivery.delivered();
    expect(grown(await confirmed)).toEqual([3]);
    expect(grown(await peek(sampler))).toEqual([3, 4, 5]);
  });
});
