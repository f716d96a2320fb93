import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { removeFilled, request, startSamplesServer, timestamps } from './samples-server.ts';

const SAMPLES = 120;
type Server = Awaited<ReturnType<typeof startSamplesServer>>;
let shared: Server;
let own: Server | undefined;
let server: Server;
beforeAll(async () => {
  shared = await startSamplesServer(SAMPLES, { keep_alive_ms: 1_000 });
});
beforeEach(() => {
  server = shared;
});
afterEach(async () => {
  await own?.stop();
  own = undefined;
  await shared.again();
});
afterAll(async () => {
  await shared.stop();
  removeFilled();
});
/** A server for one test. */
async function start(...options: Parameters<typeof startSamplesServer>): Promise<Server> {
  own = await startSamplesServer(...options);
  server = own;
  return own;
}
const CLOSE = { headers: ['Connection: close'] };
const gone = (ms = 6_000) => expect.poll(() => server.left(), { timeout: ms, interval: 20 }).toBe(0);
/** Nothing is deleted, neither now nor when what may wait for anything has come to its end. */
async function kept(ms = 1_500): Promise<void> {
  await sleep(ms);
  expect(server.left()).toBe(SAMPLES);
}
/** The answer has been in the client's kernel for a while. */
const arrived = () => sleep(400);

describe('samples are delivered at most once, not at least once', () => {
  test('a client that read 0 bytes and hung up', async () => {
    const { client } = server;
    const panel = await client();
    await panel.order('send', request());
    await arrived();
    await panel.order('close');
    await kept();
  });

  test.each([
    ['read 0 bytes and hung up, and had asked for the end of the connection', CLOSE, ['close']],
    ['read a part', {}, ['read 1000', 'close']],
    ['read a part, and ended TLS in order before it hung up', {}, ['read 1000', 'close_notify', 'close']],
    ['read nothing, and ended TLS in order before it hung up', CLOSE, ['close_notify', 'close']],
    ['was killed before it read', {}, ['die']],
    ['ended its sending side of TCP, and hung up unread', {}, ['half_close_and_close']],
    ['read all, and was reset', {}, ['read_answer', 'reset']],
  ])('a client that %s', async (_title, how, orders) => {
    const { client } = server;
    const panel = await client();
    await panel.order('send', request(how));
    await arrived();
    for (const order of orders) {
      const [name = '', size] = order.split(' ');
      await panel.order(name, ...(size ? [Number(size)] : []));
    }
    await kept();
  });

  test('a client that never reads, when another asks', async () => {
    const { client } = await start(SAMPLES, { proof_ms: 1_000 });
    const silent = await client();
    await silent.order('send', request());
    await arrived();
    const other = await client();
    const asked = performance.now();
    await other.order('send', request(CLOSE));
    expect(timestamps(await other.order('read_answer'))).toHaveLength(SAMPLES);
    expect(performance.now() - asked).toBeLessThan(4_500);
    await other.order('close');
    await gone();
  });

  test('a client that ended TLS, kept TCP, and went without having read', async () => {
    const { client } = server;
    const panel = await client();
    await panel.order('send', request());
    await arrived();
    await panel.order('close_notify');
    await kept(2_500);
    await panel.order('close');
    await kept();
  });

  test('a client that ended its sending side before the answer was there', async () => {
    const { client } = server;
    const panel = await client();
    await panel.order('send', request());
    await panel.order('half_close');
    await kept();
  });

  test('a client that sends its calls one behind the other, and reads none', async () => {
    const { client } = server;
    const panel = await client();
    await panel.order('send', request() + request());
    await arrived();
    await panel.order('close');
    await kept();
    const next = await client();
    await next.order('send', request());
    expect(timestamps(await next.order('read_answer'))).toHaveLength(SAMPLES);
  });

  test('the server ends before the client has shown that it read', async () => {
    const { client, server: http } = await start(SAMPLES);
    const panel = await client();
    await panel.order('send', request());
    await panel.order('read_answer');
    const began = performance.now();
    await http.close();
    expect(performance.now() - began).toBeLessThan(3_000);
    await kept();
  });
});

describe('samples that were read are delivered once', () => {
  test.each([
    ['reads, and closes at once', {}, ['read_answer', 'close']],
    ['reads, ends TLS, and closes', {}, ['read_answer', 'close_notify', 'close']],
    ['asked for the end of the connection, and closes first', CLOSE, ['read_answer', 'close']],
    ['speaks HTTP/1.0, and closes first', { version: '1.0' as const }, ['read_answer', 'close']],
    ['reads to the end of file', CLOSE, ['read_all', 'close']],
    ['speaks HTTP/1.0, and reads to the end of file', { version: '1.0' as const }, ['read_all', 'close']],
    [
      'reads, ends its sending side, waits for ours, and closes',
      {},
      ['read_answer', 'half_close', 'read_all', 'close'],
    ],
    [
      'reads, ends TLS, and keeps TCP for a while',
      {},
      ['read_answer', 'close_notify', 'sleep 2000', 'close'],
    ],
    [
      'asked for the end of the connection, and takes 0.7 s to close',
      CLOSE,
      ['read_answer', 'sleep 700', 'close'],
    ],
    ['keeps the connection for longer than an idle one is kept', {}, ['read_answer', 'sleep 2500', 'close']],
  ])('a client that %s', async (_title, how, orders) => {
    const { client } = server;
    const panel = await client();
    await panel.order('send', request(how));
    for (const order of orders) {
      const [name = '', ms] = order.split(' ');
      if (name === 'sleep') await sleep(Number(ms));
      else {
        const answer = await panel.order(name);
        if (name === 'read_answer' || (name === 'read_all' && how !== undefined && orders[0] === name))
          expect(timestamps(answer)).toHaveLength(SAMPLES);
      }
    }
    await gone();
    await panel.end();
    const next = await client();
    await next.order('send', request());
    expect(timestamps(await next.order('read_answer'))).toEqual([]);
  });

  test('the next call on the connection brings the next samples, and waits for nothing', async () => {
    const { client, left } = server;
    const panel = await client();
    const seen: string[] = [];
    const began = performance.now();
    for (let call = 0; call < 3; call += 1) {
      await panel.order('send', request({ count: 40 }));
      seen.push(...timestamps(await panel.order('read_answer')));
      expect(left()).toBe(SAMPLES - call * 40);
    }
    expect(performance.now() - began).toBeLessThan(4_000);
    expect(new Set(seen).size).toBe(SAMPLES);
    await panel.order('send', 'GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n');
    expect(await panel.order('read_answer')).toBe('ok');
    expect(left()).toBe(0);
  });

  test('another caller does not wait for one that closes when it is asked to', async () => {
    const { client } = server;
    const pooled = await client();
    await pooled.order('send', request({ count: 100 }));
    await pooled.order('read_answer');
    // It notices that we closed, as whoever looks before using a connection again.
    const told = pooled.order('read', 1).then(() => pooled.order('close'));
    const other = await client();
    const asked = performance.now();
    await other.order('send', request());
    expect(timestamps(await other.order('read_answer'))).toHaveLength(20);
    expect(performance.now() - asked).toBeLessThan(2_500);
    await told;
  });

  test('a server that ends lets its clients close first', async () => {
    const { client, server: http } = await start(SAMPLES);
    const panel = await client();
    await panel.order('send', request());
    await panel.order('read_answer');
    const closing = http.close();
    await panel.order('read', 1);
    await panel.order('close');
    await closing;
    await gone(10);
  });

  test('answers that carry nothing end their connection at once, as before', async () => {
    const { client } = await start(0);
    const panel = await client();
    await panel.order('send', request(CLOSE));
    const began = performance.now();
    expect(await panel.order('read_all')).toMatch(/^HTTP\/1\.1 200 /);
    expect(performance.now() - began).toBeLessThan(1_500);
  });
});
