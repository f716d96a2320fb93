// Bad input: what is no request, and clients that do not come to an end.
import { appendFileSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect, type TLSSocket } from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { legacyEnvelope } from '../legacy-client.ts';
import { type Site, startSite } from '../site.ts';
import { HOSTILE } from '../transport/soap/hostile-requests.ts';
import { DIALECTS, envelope, fieldsOf, good, send, told, type Watched, watch } from './bad-calls.ts';

const MIB = 1 << 20;
const BODY_LIMIT = 256 * 1024;

let site: Site;
let agent: Watched;
let half_header: { closed: Promise<number> };
beforeAll(async () => {
  site = await startSite();
  agent = watch(site);
  // These take their time: they are begun first, and looked at last.
  half_header = await open('POST / HTTP/1.1\r\nHost: localhost\r\nX-Half: ');
});
afterAll(() => site.stop());

/** A connection with something written to it; `closed` says after how many ms the agent had enough of it. */
async function open(
  text: string,
): Promise<{ socket: TLSSocket; received: () => string; closed: Promise<number> }> {
  const started = performance.now();
  const socket = connect({
    port: site.daemon().port,
    host: '127.0.0.1',
    servername: 'localhost',
    ca: site.endpoint().ca,
  });
  let received = '';
  socket.on('data', (chunk: Buffer) => {
    received += chunk.toString('latin1');
  });
  const closed = new Promise<number>((resolve) => {
    socket.on('error', () => socket.destroy());
    socket.on('close', () => resolve(performance.now() - started));
  });
  await new Promise<void>((resolve) => socket.once('secureConnect', () => resolve()));
  socket.write(text);
  return { socket, received: () => received, closed };
}

/** The head of a call whose body has this length. */
function head(length: number, ...more: string[]): string {
  const { user, password } = site.endpoint();
  const basic = Buffer.from(`${user}:${password}`).toString('base64');
  return [
    'POST / HTTP/1.1',
    'Host: localhost',
    `Authorization: Basic ${basic}`,
    'Content-Type: text/xml; charset=utf-8',
    ...(more.length > 0 ? more : [`Content-Length: ${length}`]),
    '\r\n',
  ].join('\r\n');
}

const refusedAsMalformed = async (body: string | Buffer, headers: Record<string, string> = {}) => {
  const answer = told(await send(site.endpoint(), body, headers));
  expect(answer).toMatchObject({ status: 500, code: 'malformed_request' });
  expect(answer.message).toMatch(/^The request['a-z A-Z]+[\x20-\x7e]+\.$/);
  return answer.message;
};

describe('what is no SOAP call', () => {
  it('everything that the reader is tested with', async () => {
    await agent.unchanged(async () => {
      for (const [what, text] of Object.entries(HOSTILE)) {
        // A lone surrogate has no bytes of its own; it stands below.
        if (/lone surrogate/.test(what)) continue;
        if (Buffer.byteLength(text) <= BODY_LIMIT) await refusedAsMalformed(text);
        else expect((await send(site.endpoint(), text)).status, what).toBe(413);
      }
    });
  });

  it('100,000 levels', async () => {
    const deep = (levels: number) => `${'<a>'.repeat(levels)}${'</a>'.repeat(levels)}`;
    await agent.unchanged(async () => {
      expect((await send(site.endpoint(), deep(100_000))).status).toBe(413);
      const message = await refusedAsMalformed('<a>'.repeat(87_000));
      expect(message).toMatch(/no SOAP envelope|nested too deeply/);
      const [before = '', after = ''] = envelope('legacy', 'startVPS', [['vpsname', 'HERE']]).split('HERE');
      expect(await refusedAsMalformed(before + deep(30_000) + after)).toContain('nested too deeply');
    });
  });

  it('an entity bomb costs no memory and no time', async () => {
    const entities = Array.from(
      { length: 30 },
      (_, i) => `<!ENTITY e${i + 1} "&e${i};&e${i};&e${i};&e${i};">`,
    );
    const bomb = `<!DOCTYPE a [<!ENTITY e0 "ha">${entities.join('')}]>${legacyEnvelope('startVPS', { vpsname: 'BOMB' })}`;
    await agent.unchanged(async () => {
      const started = performance.now();
      for (let i = 0; i < 20; i++) {
        expect(await refusedAsMalformed(bomb.replace('BOMB', '&e30;'))).toContain('DOCTYPE is not allowed');
      }
      expect(performance.now() - started).toBeLessThan(3000);
    });
  });

  it.each([
    [
      'a charset that nobody knows',
      'text/xml; charset=utf-16',
      Buffer.from(envelope('modern', 'testVPSServer', []), 'utf16le'),
    ],
    ['a charset that is no word', 'text/xml; charset="%s%n"', Buffer.from('x')],
    ['EBCDIC by its declaration', 'text/xml', Buffer.from(`<?xml version="1.0" encoding="IBM037"?><a/>`)],
    ['UTF-7', 'text/xml; charset=utf-7', Buffer.from('+ADw-a/+AD4-')],
    [
      'UTF-8 that is none',
      'text/xml; charset=utf-8',
      Buffer.from(`${envelope('legacy', 'testVPSServer', [])}\xe9`, 'latin1'),
    ],
    ['an overlong form', 'text/xml; charset=utf-8', Buffer.from([0x3c, 0xc0, 0xaf, 0x3e])],
    ['a surrogate in UTF-8', 'text/xml; charset=utf-8', Buffer.from([0x3c, 0xed, 0xa0, 0x80, 0x3e])],
    ['ASCII that is none', 'text/xml; charset=us-ascii', Buffer.from('<a>\u00e9</a>')],
    [
      'UTF-16 with its mark',
      'text/xml',
      Buffer.concat([Buffer.from([0xff, 0xfe]), Buffer.from('<a/>', 'utf16le')]),
    ],
  ])('%s', async (_what, type, body) => {
    await agent.unchanged(() => refusedAsMalformed(body, { 'content-type': type }));
  });

  it('a password of another charset is another password, and not a broken daemon', async () => {
    const at = { ...site.endpoint(), password: '\u00ff\u00fe' };
    expect(await send(at, envelope('modern', 'testVPSServer', []))).toMatchObject({ status: 401, body: '' });
    await agent.healthy();
  });
});

describe('a body of 50 MB', () => {
  const MEGABYTE = 'a'.repeat(MIB);
  const memory = (field: 'VmRSS' | 'VmHWM') => {
    const status = readFileSync(`/proc/${site.daemon().pid}/status`, 'utf8');
    return (Number(new RegExp(`${field}:\\s+(\\d+) kB`).exec(status)?.[1]) * 1024) / MIB;
  };
  /** Peak memory from here on (proc(5), clear_refs). */
  const forgetPeak = () => writeFileSync(`/proc/${site.daemon().pid}/clear_refs`, '5');

  /** Sends as much of the 50 MB as the agent lets it. */
  async function offer({ socket, closed }: Awaited<ReturnType<typeof open>>, chunk: string) {
    for (let sent = 0; sent < 50 && !socket.destroyed; sent += 1) {
      if (!socket.write(chunk)) {
        await Promise.race([new Promise((resolve) => socket.once('drain', resolve)), closed]);
      }
    }
  }

  it.each([
    ['told beforehand', 'Content-Length: 52428800', MEGABYTE],
    ['in chunks', 'Transfer-Encoding: chunked', `100000\r\n${MEGABYTE}\r\n`],
  ])('%s is refused early', async (_what, header, chunk) => {
    await agent.unchanged(async () => {
      forgetPeak();
      const before = memory('VmRSS');
      const client = await open(head(0, header));
      await offer(client, chunk);
      expect(await client.closed).toBeLessThan(5_000);
      expect(client.received()).toMatch(/^HTTP\/1\.1 413 [\s\S]*\r\n\r\nrequest too large\n$/);
      expect(client.socket.bytesWritten).toBeLessThan(50 * MIB);
      expect(memory('VmHWM') - before).toBeLessThan(30);
    });
  });

  // What has been thrown away stays in memory until V8's next collection, some 30 MB of it: 100 are far from that, and from 500.
  it('ten at once are not kept in memory', async () => {
    forgetPeak();
    const before = memory('VmRSS');
    const all = await Promise.all(Array.from({ length: 10 }, () => open(head(52_428_800))));
    await Promise.all(all.map((client) => offer(client, MEGABYTE)));
    for (const { received, closed } of all) {
      expect(await closed).toBeLessThan(8_000);
      expect(received()).toMatch(/^HTTP\/1\.1 413 /);
    }
    expect(memory('VmHWM') - before).toBeLessThan(100);
    await agent.healthy();
  });
});

describe('a client that hangs up', () => {
  const BODY = envelope('modern', 'changeVPSsoapPassword', fieldsOf({ vpsname: 'xen40', password: 'half' }));

  it('in the middle of its request: nothing is done', async () => {
    await agent.unchanged(async () => {
      for (const part of [
        'POST / HT',
        head(1000).slice(0, 60),
        head(1000),
        head(BODY.length) + BODY.slice(0, -1),
        `${head(0, 'Transfer-Encoding: chunked')}${BODY.length.toString(16)}\r\n${BODY}\r\n`,
      ]) {
        for (const how of ['destroy', 'end'] as const) {
          const { socket, closed } = await open(part);
          await sleep(20);
          socket[how]();
          await closed;
        }
      }
    });
  });

  it('while its call runs: the change is made whole, and is in the log', async () => {
    await site.modern('setupLVMDisks', good('setupLVMDisks', 'xen41'));
    await site.modern('reinstallVPSos', good('reinstallVPSos', 'xen41'));
    expect(await site.jobEnd('xen41')).toMatchObject({ state: 'succeeded' });
    await site.node.setFault({ match: 'xl create', mode: 'slow', delay_ms: 500 });
    const body = envelope('legacy', 'startVPS', [['vpsname', 'xen41']]);
    const { socket } = await open(head(body.length) + body);
    await sleep(150);
    socket.destroy();
    const audited = () =>
      site
        .daemon()
        .logs()
        .find(({ operation, vps }) => operation === 'startVPS' && vps === 'xen41');
    await expect
      .poll(audited, { timeout: 90_000 })
      .toMatchObject({ vps: 'xen41', outcome: 'ok', audit: true });
    expect((await site.node.domains()).map(({ name }) => name)).toEqual(['xen41']);
    await site.node.clearFaults();
    await site.modern('destroyVPS', { vpsname: 'xen41' });
    await agent.healthy();
  });

  it('in the middle of its answer', async () => {
    const states = join(site.folder.path, 'state/states/xen41');
    const [job = ''] = readdirSync(states);
    appendFileSync(join(states, job, 'log'), `${'x'.repeat(99)}\n`.repeat(5000));
    await agent.unchanged(async () => {
      for (const dialect of DIALECTS) {
        const body = envelope(dialect, 'getVPSInstallLog', fieldsOf({ vpsname: 'xen41', numlines: 0 }));
        for (const how of ['destroy', 'end'] as const) {
          const { socket, closed } = await open(head(body.length) + body);
          await new Promise((resolve) => socket.once('data', resolve));
          socket.pause();
          socket[how]();
          if (how === 'end') socket.resume();
          await closed;
        }
      }
    });
  });
});

it('half a header that never ends is closed after ten seconds', async () => {
  const after_ms = await half_header.closed;
  expect(after_ms).toBeGreaterThan(5_000);
  expect(after_ms).toBeLessThan(20_000);
  await agent.healthy();
});
