import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { peerEnd, tcpEnds } from '../../src/transport/tcp-end.ts';

let server: Server | undefined;
let client: Socket | undefined;
let ours: Socket | undefined;
afterEach(() => {
  client?.destroy();
  ours?.destroy();
  server?.close();
});

/** Our side and the peer's of a connection. */
async function connection(listen: string, host: string): Promise<readonly [Socket, Socket]> {
  server = createServer({ allowHalfOpen: true, pauseOnConnect: true });
  server.listen(0, listen);
  await once(server, 'listening');
  const accepted = once(server, 'connection') as Promise<[Socket]>;
  const peer = connect({ host, port: (server.address() as AddressInfo).port, allowHalfOpen: true });
  peer.on('error', () => peer.destroy());
  const [own] = await accepted;
  own.on('error', () => own.destroy());
  [client, ours] = [peer, own];
  return [own, peer];
}

describe.each([
  ['IPv4', '127.0.0.1', '127.0.0.1'],
  ['IPv6', '::1', '::1'],
  ['IPv4 on a socket of both', '::', '127.0.0.1'],
])("the peer's end of a connection over %s", (_title, listen, host) => {
  test('open, closed in order, reset', async () => {
    const [own, peer] = await connection(listen, host);
    const ends = tcpEnds(own);
    expect(await peerEnd(ends)).toBe('open');
    peer.end();
    await expect.poll(() => peerEnd(ends)).toBe('closed');
    peer.resetAndDestroy();
    await expect.poll(() => peerEnd(ends)).toBe('reset');
  });

  test('closed in order, after we have gone', async () => {
    const [own, peer] = await connection(listen, host);
    const ends = tcpEnds(own);
    own.end();
    await once(peer.resume(), 'end');
    // The peer's kernel acknowledges our FIN in its own time.
    await expect.poll(() => peerEnd(ends)).toBe('open');
    own.destroy();
    peer.end();
    await expect.poll(() => peerEnd(ends)).toBe('closed');
  });

  test('not all that was sent is taken', async () => {
    const [own, peer] = await connection(listen, host);
    const ends = tcpEnds(own);
    own.write(Buffer.alloc(32 << 20));
    await expect.poll(() => peerEnd(ends)).toBe('unread');
    peer.end();
    expect(await peerEnd(ends)).toBe('unread');
  });

  test('of a connection that never was', async () => {
    const [own] = await connection(listen, host);
    expect(await peerEnd({ ...tcpEnds(own), remote_port: 1 })).toBe('reset');
  });
});
