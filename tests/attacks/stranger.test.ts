// A client without a password: wants that nobody else is answered.
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { ADMIN, ask, ENVELOPE, startServer } from '../transport/server-fixture.ts';

const held: Socket[] = [];
const servers: Awaited<ReturnType<typeof startServer>>[] = [];
afterEach(async () => {
  for (const socket of held.splice(0)) socket.destroy();
  for (const server of servers.splice(0)) await server.stop();
});

const call = (port: number) =>
  ask(port, { body: ENVELOPE, headers: { authorization: ADMIN, 'content-type': 'text/xml' }, agent: false });

/** Connections from one address that never begin their handshake. */
async function hold(port: number, from: string, count: number): Promise<void> {
  for (let number = 0; number < count; number += 1) {
    const socket = connect({ port, host: '127.0.0.1', localAddress: from });
    socket.on('error', () => undefined);
    held.push(socket);
    await once(socket, 'connect');
  }
}

test.each([
  ['that has called before', true],
  ['that calls for the first time', false],
])('three addresses without a handshake: a panel locked out, %s', async (_what, has_called) => {
  const server = await startServer();
  servers.push(server);
  const { port } = server;
  if (has_called) expect((await call(port)).status).toBe(200);
  for (const from of ['127.0.0.2', '127.0.0.3', '127.0.0.4']) await hold(port, from, 96);
  for (let number = 0; number < 5; number += 1) expect((await call(port)).status).toBe(200);
});
