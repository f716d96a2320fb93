import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { bootId, createSteadyClock } from '../../src/core/steady-clock.ts';

let state_dir: string;
const kernel = { boot_id: 'a', uptime_s: 100 };
beforeEach(() => {
  state_dir = mkdtempSync(join(tmpdir(), 'clock-'));
  Object.assign(kernel, { boot_id: 'a', uptime_s: 100 });
});
afterEach(() => rmSync(state_dir, { recursive: true }));

const clock = () =>
  createSteadyClock({ state_dir }, { uptime_s: () => kernel.uptime_s, bootId: async () => kernel.boot_id });

it('grows with the time that the node is up, over its boots, and never goes back', async () => {
  expect(await clock().now_s()).toBe(0);
  await clock().save();
  kernel.uptime_s = 400;
  expect(await clock().now_s()).toBe(300);
  await clock().save();
  // Killed half an hour after it was noted: that time is not counted.
  kernel.uptime_s = 2_200;
  expect(await clock().now_s()).toBe(2_100);
  Object.assign(kernel, { boot_id: 'b', uptime_s: 20 });
  expect(await clock().now_s()).toBe(300);
  await clock().save();
  kernel.uptime_s = 60;
  expect(await clock().now_s()).toBe(340);
});

it('begins anew where its note is damaged, whatever stands there', async () => {
  for (const text of ['', '{', '[]', '{"total_s":-1,"boot_id":"a","uptime_s":0}', '{"total_s":"9"}']) {
    writeFileSync(join(state_dir, 'uptime.json'), text);
    expect(await clock().now_s()).toBe(0);
    await clock().save();
    expect(await clock().now_s()).toBe(0);
  }
});

it("reads the kernel's own", async () => {
  expect(await bootId()).toMatch(/^[0-9a-f-]{36}$/);
  const real = createSteadyClock({ state_dir });
  await real.save();
  const first = await real.now_s();
  expect(await real.now_s()).toBeGreaterThanOrEqual(first);
});
