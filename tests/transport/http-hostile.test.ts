import { connect as connectTcp } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import {
  ADMIN,
  ask,
  basic,
  ENVELOPE,
  type FixtureOptions,
  head,
  rawConnection,
  soap,
  startServer,
} from './server-fixture.ts';

let server: Awaited<ReturnType<typeof startServer>> | undefined;
async function start(options: FixtureOptions = {}) {
  server = await startServer(options);
  return server;
}
afterEach(async () => {
  await server?.stop(500);
  server = undefined;
});

const WRONG = basic('dtc-xen', 'wrong');
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

describe('the password comes before the body', () => {
  test.each([
    ['Content-Length: 100000', WRONG],
    ['Transfer-Encoding: chunked', WRONG],
    ['Content-Length: 50000000', 'Basic bm9ib2R5Og=='],
    ['Content-Length: 5', 'Bearer abc'],
    ['Content-Length: 5', 'Basic ???'],
  ])('%s that never comes, with %s: 401 at once, and the connection ends', async (length, authorization) => {
    const { port } = await start();
    const connection = await rawConnection(port);
    connection.socket.write(head([length], authorization));
    await connection.until(/\r\n\r\n/);
    expect(connection.text()).toMatch(/^HTTP\/1\.1 401 /);
    expect(connection.text()).toMatch(/\r\nwww-authenticate: Basic realm="dtc-xen", charset="UTF-8"\r\n/i);
    expect(connection.text()).toMatch(/\r\ncontent-length: 0\r\n/);
    expect(connection.text()).toMatch(/\r\nconnection: close\r\n/);
    expect(await connection.closed).toBeLessThan(2_000);
    expect(connection.text()).toMatch(/\r\n\r\n$/);
  });

  test('a client in the middle of 50 MB gets its 401, and is not read to the end', async () => {
    const { port } = await start();
    const connection = await rawConnection(port);
    connection.socket.write(head(['Content-Length: 50000000'], WRONG));
    const megabyte = Buffer.alloc(1 << 20, 'a');
    const feeding = (async () => {
      for (let sent = 0; sent < 48 && !connection.socket.destroyed; sent += 1) {
        if (!connection.socket.write(megabyte)) await Promise.race([pause(200), connection.closed]);
      }
    })();
    await connection.until(/^HTTP\/1\.1 401 /);
    expect(await connection.closed).toBeLessThan(3_000);
    await feeding;
    expect(connection.socket.bytesWritten).toBeLessThan(50_000_000);
  });

  test('100 Continue is said to those alone who may go on', async () => {
    const { port } = await start();
    const refused = await rawConnection(port);
    refused.socket.write(head(['Expect: 100-continue', 'Content-Length: 5'], WRONG));
    await refused.closed;
    expect(refused.text()).toMatch(/^HTTP\/1\.1 401 /);
    const admitted = await rawConnection(port);
    admitted.socket.write(head(['Expect: 100-continue', `Content-Length: ${ENVELOPE.length}`]));
    await admitted.until(/^HTTP\/1\.1 100 Continue\r\n\r\n$/);
    admitted.socket.write(ENVELOPE);
    await admitted.until(/HTTP\/1\.1 200 [\s\S]*dtc-xen 127/);
    admitted.socket.destroy();
  });
});

describe('sizes', () => {
  test('a body beyond the limit is 413, told or not', async () => {
    const { port, calls } = await start();
    const headers = { authorization: ADMIN };
    const told = await ask(port, { headers, body: Buffer.alloc(300_000, 'a') });
    expect([told.status, told.body, told.headers['connection']]).toEqual([
      413,
      'request too large\n',
      'close',
    ]);
    const untold = await rawConnection(port);
    untold.socket.write(head(['Transfer-Encoding: chunked']));
    const chunk = `10000\r\n${'a'.repeat(65_536)}\r\n`;
    for (let sent = 0; sent < 5; sent += 1) untold.socket.write(chunk);
    await untold.until(/^HTTP\/1\.1 413 /);
    expect(await untold.closed).toBeLessThan(3_000);
    expect(calls).toHaveLength(0);
  });

  test('a body at the limit is read', async () => {
    const { port } = await start();
    const body = ' '.repeat(256 * 1024);
    expect((await ask(port, { headers: { authorization: ADMIN }, body })).body).toContain('Fault');
    expect((await ask(port, { headers: { authorization: ADMIN }, body: `${body} ` })).status).toBe(413);
  });

  test('50 MB with the right password: 413, and little of it is read', async () => {
    const { port } = await start();
    const before = process.memoryUsage().rss;
    const connection = await rawConnection(port);
    connection.socket.write(head(['Content-Length: 50000000']));
    await connection.until(/^HTTP\/1\.1 413 /);
    await connection.closed;
    expect(process.memoryUsage().rss - before).toBeLessThan(30 << 20);
  });

  test('a gzip body is a fault that says so; identity is fine', async () => {
    const { port } = await start();
    const coded = (coding: string) =>
      ask(port, { headers: { authorization: ADMIN, 'content-encoding': coding }, body: ENVELOPE });
    expect(await coded('gzip')).toMatchObject({
      status: 500,
      body: expect.stringMatching(/gzip.*not supported/),
    });
    expect((await coded('identity')).status).toBe(200);
  });

  test('a huge header is 431', async () => {
    const { port } = await start();
    const connection = await rawConnection(port);
    connection.socket.write(head([`X: ${'a'.repeat(40_000)}`]));
    await connection.until(/^HTTP\/1\.1 431 /);
    await connection.closed;
  });

  test('what is not HTTP is 400 and no more', async () => {
    const { port } = await start();
    const connection = await rawConnection(port);
    connection.socket.write('SSH-2.0-hello\r\n\r\n');
    await connection.closed;
    expect(connection.text()).toMatch(
      /^HTTP\/1\.1 400 Refused\r\nContent-Length: 0\r\nConnection: close\r\n\r\n$/,
    );
  });
});

describe('time', () => {
  const limits = { header_ms: 300, request_ms: 600 };

  test('half a request that never ends is closed', async () => {
    const { port } = await start({ limits });
    const connection = await rawConnection(port);
    connection.socket.write(`${head(['Content-Length: 1000'])}half`);
    expect(await connection.closed).toBeLessThan(3_000);
    expect(connection.text()).toMatch(/^(HTTP\/1\.1 408 |$)/);
  });

  test('a body of one byte now and then is closed too', async () => {
    const { port } = await start({ limits });
    const connection = await rawConnection(port);
    connection.socket.write(head(['Content-Length: 100000']));
    const drip = setInterval(() => connection.socket.write('a'), 20);
    expect(await connection.closed).toBeLessThan(3_000);
    clearInterval(drip);
  });

  test('so is half a header, a silent connection, and one that never begins TLS', async () => {
    const { port } = await start({ limits });
    const half = await rawConnection(port);
    half.socket.write('POST / HTTP/1.1\r\nHost: a\r\n');
    const silent = await rawConnection(port);
    const tcp = connectTcp(port, '127.0.0.1');
    const tcp_closed = new Promise<void>((resolve) => tcp.on('close', () => resolve()));
    tcp.on('error', () => tcp.destroy());
    tcp.resume();
    const started = performance.now();
    await Promise.all([half.closed, silent.closed, tcp_closed]);
    expect(performance.now() - started).toBeLessThan(4_000);
  });

  test('a long call outlives the limits of its request', async () => {
    const { port } = await start({
      limits,
      answer: async () => {
        await pause(2_500);
        return 'late';
      },
    });
    expect((await soap(port)).body).toContain('late');
  });
});

describe('whether a client has read its answer', () => {
  test('true for one that was read', async () => {
    const written: boolean[] = [];
    const { port } = await start({ answered: (ok) => written.push(ok) });
    await soap(port, ADMIN, { agent: false });
    await expect.poll(() => written, { timeout: 90_000 }).toEqual([true]);
  });

  test('false where the client hangs up while the call runs', async () => {
    const written: boolean[] = [];
    const { port, calls } = await start({
      answered: (ok) => written.push(ok),
      answer: async () => {
        await pause(200);
        return 'nobody reads this';
      },
    });
    for (const hangUp of ['destroy', 'end'] as const) {
      const connection = await rawConnection(port);
      connection.socket.write(`${head([`Content-Length: ${ENVELOPE.length}`])}${ENVELOPE}`);
      await expect.poll(() => calls.length).toBe(hangUp === 'destroy' ? 1 : 2);
      connection.socket[hangUp]();
    }
    await expect.poll(() => written, { timeout: 90_000 }).toEqual([false, false]);
  });

  test('false where the client reads a part and hangs up, or never reads', async () => {
    const written: boolean[] = [];
    const { port } = await start({
      limits: { answer_ms: 1_500 },
      answered: (ok) => written.push(ok),
      answer: async () => 'x'.repeat(40 << 20),
    });
    const reader = await rawConnection(port);
    reader.socket.write(`${head([`Content-Length: ${ENVELOPE.length}`])}${ENVELOPE}`);
    await reader.until(/xxxx/);
    reader.socket.destroy();
    await expect.poll(() => written, { timeout: 90_000 }).toEqual([false]);
    const idler = await rawConnection(port);
    idler.socket.pause();
    idler.socket.write(`${head([`Content-Length: ${ENVELOPE.length}`])}${ENVELOPE}`);
    await expect.poll(() => written, { timeout: 90_000 }).toEqual([false, false]);
    idler.socket.destroy();
  });

  test('a client that hangs up in the middle of its request leaves nothing behind', async () => {
    const { port, calls, messages } = await start();
    for (const part of [
      head(['Content-Length: 1000']),
      `${head(['Content-Length: 1000'])}<Env`,
      'POST / HT',
    ]) {
      const connection = await rawConnection(port);
      connection.socket.write(part);
      await pause(30);
      connection.socket.destroy();
    }
    expect((await soap(port)).status).toBe(200);
    expect(calls).toHaveLength(1);
    expect(messages()).not.toContain('defect');
  });
});

describe('connections', () => {
  test('beyond the cap they are turned away, and room comes back', async () => {
    const { port } = await start({ limits: { connections: 5 } });
    const held = await Promise.all(Array.from({ length: 5 }, () => rawConnection(port)));
    await expect(soap(port)).rejects.toThrow();
    for (const { socket } of held) socket.destroy();
    await Promise.all(held.map(({ closed }) => closed));
    await expect
      .poll(() =>
        soap(port).then(
          ({ status }) => status,
          () => 0,
        ),
      )
      .toBe(200);
  });
});

describe('what one caller may take', () => {
  test('no address takes every connection', async () => {
    const { port } = await start({ limits: { connections_per_address: 3 } });
    const held = await Promise.all(Array.from({ length: 3 }, () => rawConnection(port)));
    await expect(rawConnection(port)).rejects.toThrow();
    held[0]?.socket.destroy();
    await held[0]?.closed;
    await expect
      .poll(() =>
        soap(port).then(
          ({ status }) => status,
          () => 0,
        ),
      )
      .toBe(200);
  });

  test("no VPS's user takes every call, not by hanging up either; the admin may", async () => {
    let finish: () => void = () => undefined;
    const until = new Promise<void>((resolve) => {
      finish = resolve;
    });
    const { port, calls } = await start({
      limits: { user_calls: 2 },
      answer: async () => {
        await until;
        return 'done';
      },
    });
    const owner = basic('xen01', 'owner');
    const first = await rawConnection(port);
    first.socket.write(`${head([`Content-Length: ${ENVELOPE.length}`], owner)}${ENVELOPE}`);
    const second = soap(port, owner);
    await expect.poll(() => calls.length).toBe(2);
    first.socket.destroy();
    await first.closed;
    const refused = await soap(port, owner);
    expect([refused.status, refused.headers['retry-after']]).toEqual([503, '1']);
    const admins = [soap(port), soap(port), soap(port)];
    await expect.poll(() => calls.length).toBe(5);
    finish();
    expect((await second).status).toBe(200);
    expect((await Promise.all(admins)).map(({ status }) => status)).toEqual([200, 200, 200]);
    expect((await soap(port, owner)).status).toBe(200);
  });
});

describe('the end', () => {
  test('running calls are answered, new ones are 503, idle connections end', async () => {
    let finish = () => {};
    const gate = new Promise<void>((resolve) => {
      finish = resolve;
    });
    const {
      port,
      server: http,
      calls,
    } = await start({
      answer: async () => {
        await gate;
        return 'done after all';
      },
    });
    const idle = await rawConnection(port);
    const busy = await rawConnection(port);
    const request = `${head([`Content-Length: ${ENVELOPE.length}`])}${ENVELOPE}`;
    busy.socket.write(request);
    await expect.poll(() => calls.length).toBe(1);
    const closing = http.close(5_000);
    await idle.closed;
    await expect(soap(port)).rejects.toThrow(/ECONNREFUSED/);
    busy.socket.write(request);
    await pause(50);
    finish();
    await closing;
    await busy.closed;
    expect(busy.text()).toMatch(/^HTTP\/1\.1 200 [\s\S]*connection: close[\s\S]*done after all/);
    expect(calls).toHaveLength(1);
  });

  test('it does not wait for ever', async () => {
    const { port, server: http, calls } = await start({ answer: () => new Promise(() => {}) });
    const stuck = await rawConnection(port);
    stuck.socket.write(`${head([`Content-Length: ${ENVELOPE.length}`])}${ENVELOPE}`);
    await expect.poll(() => calls.length).toBe(1);
    const started = performance.now();
    await http.close(300);
    expect(performance.now() - started).toBeLessThan(1_500);
    await stuck.closed;
  });
});
