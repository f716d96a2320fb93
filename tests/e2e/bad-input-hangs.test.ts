// Bad input that takes its time: programs that hang, and a request that never ends. All at once, each to its own limit.
import { connect } from 'node:tls';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Site, startSite } from '../site.ts';
import { DIALECTS, fieldsOf, good, type Told, type Watched, watch } from './bad-calls.ts';

let site: Site;
let agent: Watched;
beforeAll(async () => {
  site = await startSite();
  agent = watch(site);
});
afterAll(() => site.stop());

/** A call in both dialects at once, with the time it took. */
async function timed(operation: string, vps: string): Promise<{ answers: readonly Told[]; ms: number }> {
  const started = performance.now();
  const answers = await Promise.all(
    DIALECTS.map((dialect) => agent.asks(dialect, operation, fieldsOf(good(operation, vps)))),
  );
  return { answers, ms: performance.now() - started };
}

/** Half a body, with the right password; after how many ms the agent closed, and what it said. */
function halfARequest(): Promise<{ ms: number; said: string }> {
  const started = performance.now();
  const { user, password, ca } = site.endpoint();
  const basic = Buffer.from(`${user}:${password}`).toString('base64');
  return new Promise((resolve) => {
    let said = '';
    const socket = connect({ port: site.daemon().port, host: '127.0.0.1', servername: 'localhost', ca }, () =>
      socket.write(
        `POST / HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic ${basic}\r\nContent-Length: 1000\r\n\r\n<e:Env`,
      ),
    );
    socket.on('data', (chunk: Buffer) => {
      said += chunk.toString('latin1');
    });
    socket.on('error', () => socket.destroy());
    socket.on('close', () => resolve({ ms: performance.now() - started, said }));
  });
}

it('xl and LVM that hang are killed and told; half a request is closed; nothing is changed', async () => {
  await agent.unchanged(async () => {
    await site.node.setFault({ match: 'xl list', mode: 'hang' });
    await site.node.setFault({ match: 'lvs', mode: 'hang' });
    await site.node.setFault({ match: 'vgs', mode: 'hang' });
    const half = halfARequest();
    const asksXl = ['listStartedVPS', 'getVPSState', 'getCPUUsage'].map((name) => timed(name, 'xen01'));
    const room = timed('getFreeSpace', 'xen01');
    // Two dialects at once on one VPS: the one that comes second finds it busy.
    const change = timed('killVPS', 'xen01');
    const disks = timed('setupLVMDisks', 'xen02');
    expect(await site.legacy('testVPSServer')).toBe('OK');

    // Who comes while a listing is under way waits for the next one, and so for the limit of the call.
    const limit =
      /^(NOTOK - )?(xl list did not end within 20 s and was killed|\w+ did not end within 30 s: .*)\.$/;
    for (const { answers, ms } of await Promise.all(asksXl)) {
      expect(ms).toBeGreaterThan(19_000);
      expect(ms).toBeLessThan(34_000);
      for (const { message } of answers) expect(message).toMatch(limit);
    }
    for (const [running, sentence] of [
      [change, /xl list did not end within 20 s and was killed\.$/],
      [disks, /vgs did not end within 30 s and was killed\.$/],
    ] as const) {
      const messages = (await running).answers.map(({ message }) => message).sort();
      expect(messages.filter((message) => sentence.test(message))).toHaveLength(1);
      expect(messages.filter((message) => /is busy: held by/.test(message))).toHaveLength(1);
    }
    for (const { message } of (await room).answers) {
      expect(message).toMatch(
        /^(NOTOK - )?(vgs did not end within 30 s and was killed|getFreeSpace did not end .*)\.$/,
      );
    }
    const { ms, said } = await half;
    expect(ms).toBeLessThan(65_000);
    expect(said).toMatch(/^(HTTP\/1\.1 408 |$)/);
    await site.node.clearFaults();
  });
}, 120_000);
