import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { shareFresh } from '../../src/drivers/fresh-share.ts';

function countedReading() {
  let begun = 0;
  const read = shareFresh(async () => {
    begun += 1;
    const mine = begun;
    await sleep(30);
    if (mine === 2) throw new Error('the second fails');
    return mine;
  });
  return { read, begun: () => begun };
}

it('shares one reading between those who ask at once', async () => {
  const { read, begun } = countedReading();
  expect(await Promise.all([read(), read(), read()])).toEqual([1, 1, 1]);
  expect(begun()).toBe(1);
});

it('never hands out a reading that began before the caller asked; late callers share the next', async () => {
  const { read, begun } = countedReading();
  const first = read();
  await sleep(10);
  const late = [read(), read()].map((reading) => reading.catch((error: Error) => error.message));
  expect(await first).toBe(1);
  expect(await Promise.all(late)).toEqual(['the second fails', 'the second fails']);
  expect(await read()).toBe(3);
  expect(begun()).toBe(3);
});
