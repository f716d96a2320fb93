import { cpSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createTestNode, expectExact, peek, type TestNode, WARN } from './node.ts';

const UNFETCHED = 600;
const DAY_MS = 86_400_000;
let filled: TestNode;
let node: TestNode;
beforeAll(async () => {
  filled = createTestNode();
  const sampler = filled.sampler();
  for (let minute = 0; minute < UNFETCHED; minute += 1) await filled.minute(sampler, 1);
});
afterAll(() => filled.remove());
beforeEach(() => {
  node = createTestNode();
  cpSync(filled.perfdata, node.perfdata, { recursive: true });
  Object.assign(node, { clock_ms: filled.clock_ms, counter: filled.counter });
});
afterEach(() => node.remove());

/** Every sample that was taken is there, in the order of taking, each with what the counters grew by. */
async function expectAll(taken: number): Promise<void> {
  expect(node.files().filter((name) => name.startsWith('sample'))).toHaveLength(taken);
  const rows = (await peek(node.sampler())).flatMap(({ guests }) => [...guests]);
  expect(rows).toHaveLength(taken);
  expectExact(rows);
  expect(node.lines.filter(({ level }) => level >= WARN)).toEqual([]);
}

describe('retention by the wall clock', () => {
  it.each([
    ['in 2099', () => Date.UTC(2099, 0, 1)],
    ['eight days ahead', () => node.clock_ms + 8 * DAY_MS],
    ['in 1970', () => 60_000],
  ])(
    'deletes none of 600 unfetched samples while the clock is %s for one minute, nor after',
    async (_title, wrong) => {
      const sampler = node.sampler();
      const right_ms = node.clock_ms;
      node.clock_ms = wrong();
      await node.minute(sampler, 1);
      await expectAll(UNFETCHED + 1);
      node.clock_ms = right_ms + 60_000;
      for (let minute = 0; minute < 3; minute += 1) await node.minute(sampler, 1);
      await expectAll(UNFETCHED + 4);
    },
  );

  it('deletes none of 600 unfetched samples that were taken in 1970, when the clock of the node is set', async () => {
    const right_ms = node.clock_ms;
    const shifted_ms = right_ms - UNFETCHED * 60_000 - 60_000;
    for (const name of node.files().filter((file) => file.startsWith('sample'))) {
      const serial = Number(/[0-9]+/.exec(name)?.[0]);
      const then = serial - shifted_ms;
      const text = node
        .read(name)
        .replaceAll(`"serial":${serial}`, `"serial":${then}`)
        .replaceAll(`"timestamp":${serial / 1000}`, `"timestamp":${then / 1000}`);
      writeFileSync(join(node.perfdata, `sample-${String(then).padStart(15, '0')}.json`), text);
      rmSync(join(node.perfdata, name));
    }
    const last = node.read('last-counters.json').replace(String(right_ms), String(right_ms - shifted_ms));
    writeFileSync(join(node.perfdata, 'last-counters.json'), last);
    const sampler = node.sampler();
    await node.minute(sampler, 1);
    await node.minute(sampler, 1);
    await expectAll(UNFETCHED + 2);
  });
});
