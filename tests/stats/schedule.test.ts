import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createSchedule, type Schedule } from '../../src/stats/schedule.ts';

const MINUTE_MS = 60_000;
const START = Date.UTC(2026, 10, 22, 12, 0, 10);
const log = pino({ level: 'silent' });
let schedule: Schedule;
let calls: string[] = [];
let last_ms = 0;

beforeEach(async () => {
  vi.useFakeTimers({ now: START });
  calls = [];
  schedule = createSchedule(
    '* * * * *',
    async () => {
      calls.push(new Date().toISOString().slice(0, 19));
    },
    log,
  );
  await schedule.start();
});
afterEach(async () => {
  await schedule.stop();
  vi.useRealTimers();
});
const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms);

describe('a schedule', () => {
  it('calls at every full minute, and not after its stop', async () => {
    await pass(3 * MINUTE_MS);
    expect(calls).toEqual(['2026-11-22T12:01:00', '2026-11-22T12:02:00', '2026-11-22T12:03:00']);
    await schedule.stop();
    await pass(3 * MINUTE_MS);
    expect(calls).toHaveLength(3);
  });

  it.each([
    ['in 2099 for one minute', '2099-01-01T00:00:30Z'],
    ['eight days ahead for one minute', '2026-11-30T12:01:00Z'],
    ['an hour behind for one minute', '2026-11-22T11:01:00Z'],
    ['in 1970 for one minute', '1970-01-01T00:00:20Z'],
  ])('goes on at every minute after a clock that was %s', async (_title, wrong) => {
    await pass(MINUTE_MS);
    vi.setSystemTime(new Date(wrong));
    await pass(MINUTE_MS);
    vi.setSystemTime(START + 2 * MINUTE_MS);
    calls.length = 0;
    await pass(5 * MINUTE_MS);
    expect(calls.length).toBeGreaterThanOrEqual(5);
    expect(calls.length).toBeLessThanOrEqual(6);
    expect(calls.at(-1)).toBe('2026-11-22T12:07:00');
  });

  it('goes on at once when the clock of a node that came up in 1970 is set', async () => {
    vi.setSystemTime(0);
    await pass(2 * MINUTE_MS);
    calls.length = 0;
    last_ms = performance.now();
    vi.setSystemTime(START);
    await pass(MINUTE_MS);
    expect(performance.now() - last_ms).toBe(MINUTE_MS);
    expect(calls.length).toBeGreaterThanOrEqual(1);
    expect(calls.length).toBeLessThanOrEqual(2);
  });

  it('skips a call while the one before goes on', async () => {
    let finish: () => void = () => undefined;
    let begun = 0;
    const slow = createSchedule(
      '* * * * *',
      () => {
        begun += 1;
        return new Promise<void>((resolve) => {
          finish = resolve;
        });
      },
      log,
    );
    await slow.start();
    await pass(3 * MINUTE_MS);
    expect(begun).toBe(1);
    finish();
    await pass(MINUTE_MS);
    expect(begun).toBe(2);
    await slow.stop();
  });
});
