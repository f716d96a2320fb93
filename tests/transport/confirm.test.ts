import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { decodeAnswer, legacyEnvelope } from '../legacy-client.ts';
import { removeFilled, request, startSamplesServer, timestamps } from './samples-server.ts';
import { ADMIN, ask } from './server-fixture.ts';

const SAMPLES = 5;
let server: Awaited<ReturnType<typeof startSamplesServer>>;
beforeAll(async () => {
  server = await startSamplesServer(SAMPLES);
});
afterEach(() => server.again());
afterAll(async () => {
  await server.stop();
  removeFilled();
});

const call = async (count: number, confirm: string) => {
  const [head = '', body = ''] = request({ count, confirm }).split('\r\n\r\n');
  expect(head).toContain('POST');
  return ask(server.port, { headers: { authorization: ADMIN }, agent: false, body });
};
const modern = async (count: number, confirm: string) => timestamps((await call(count, confirm)).body);
const legacy = async (params: Record<string, string | number>) => {
  const answer = await ask(server.port, {
    headers: { authorization: ADMIN, 'content-type': 'text/xml; charset=ISO-8859-1' },
    agent: false,
    body: legacyEnvelope('getCollectedPerformanceData', params),
  });
  return decodeAnswer('getCollectedPerformanceData', answer) as { xen01: { timestamp: number } }[] | string;
};
const time = (ms: number) => (server.node.clock_ms - ms) / 1000;

describe('confirming over the wire', () => {
  test('neither the end of a connection nor the next call on it deletes what only a confirmation may', async () => {
    const panel = await server.client();
    for (let again = 0; again < 2; again += 1) {
      await panel.order('send', request({ count: 2, confirm: '0' }));
      expect(timestamps(await panel.order('read_answer'))).toHaveLength(2);
    }
    await panel.order('close');
    await sleep(500);
    expect(server.left()).toBe(SAMPLES);
  });

  test('page by page until the answer is empty', async () => {
    const seen: string[] = [];
    for (let page = await modern(2, '0.0'); page.length > 0; page = await modern(2, seen.at(-1) ?? '')) {
      seen.push(...page);
    }
    expect(new Set(seen).size).toBe(SAMPLES);
    expect(seen).toHaveLength(SAMPLES);
    expect(server.left()).toBe(0);
  });

  test.each([
    ['as it was written', (s: number) => `${s}.0`],
    ['as a whole number', (s: number) => `${s}`],
    ['with an exponent', (s: number) => s.toExponential().replace('e+', 'E')],
    ['with 17 digits', (s: number) => (s + 0.000_000_2).toPrecision(17)],
    ['a millisecond off', (s: number) => `${s - 0.001}`],
  ])('a timestamp %s', async (_title, written) => {
    expect(await modern(0, written(time(3 * 60_000)))).toHaveLength(3);
    expect(server.left()).toBe(3);
  });

  test('as the second parameter of the legacy dialect, by name and by position', async () => {
    const named = await legacy({ count: 2, confirm: 0 });
    expect(named).toHaveLength(2);
    const newest = typeof named === 'string' ? 0 : (named[1]?.xen01.timestamp ?? 0);
    expect(await legacy({ param0: 0, param1: newest })).toHaveLength(3);
    expect(server.left()).toBe(3);
  });

  test('what is no timestamp is refused, and deletes nothing', async () => {
    for (const wrong of ['', '-1', 'NaN', 'INF', '1e400', '0x10', '1,5', 'now', '1 2', '1e12']) {
      const { status, body } = await call(1, wrong);
      expect([wrong, status]).toEqual([wrong, 500]);
      expect(body).toContain("confirm must be a sample's timestamp: seconds since 1970, or 0.");
      expect(await legacy({ count: 1, confirm: wrong })).toMatch(/^NOTOK - .*confirm must be/);
    }
    expect(server.left()).toBe(SAMPLES);
  });
});
