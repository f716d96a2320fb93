import type { Server } from 'node:https';
import type { Socket } from 'node:net';
import { addressGroups, plainAddress } from './auth/address.ts';
import { Places } from './places.ts';
import { Tally } from './tally.ts';

const LINGER_MS = 2_000;
const LINGER_BYTES = 8 * 1024 * 1024;
const LINGER_CHECK_MS = 25;

/**
 * Makes the end of a connection gentle (RFC 9112, section 9.6): after the last answer our side is closed, and what the
 * client still sends is thrown away for a short while; the buffers of both kernels alone may hold some megabytes of it. Closed
 * at once, the kernel would answer the rest of a refused body with a reset, and the client would lose the 401 or 413 that it
 * has not read yet.
 */
function lingerAtEnd(socket: Socket): void {
  socket.destroySoon = () => {
    const given_up_at = performance.now() + LINGER_MS;
    const bytes_at_most = socket.bytesRead + LINGER_BYTES;
    socket.end();
    socket.resume();
    const watch = setInterval(() => {
      if (performance.now() > given_up_at || socket.bytesRead > bytes_at_most) socket.destroy();
    }, LINGER_CHECK_MS);
    socket.once('close', () => clearInterval(watch));
  };
}

const peer = (socket: Socket) => `${socket.remoteAddress} ${socket.remotePort}`;

/** Knows every connection, in the TLS handshake or after it, and which of them have a request under way. */
export class Connections {
  readonly #open = new Map<string, Socket>();
  readonly #busy = new Tally();
  readonly #places: Places<Socket>;

  constructor(limits: { readonly connections: number; readonly connections_per_address: number }) {
    this.#places = new Places(limits, (socket) => this.#busy.count(peer(socket)) === 0);
  }

  watch(server: Server): void {
    server.on('connection', (socket: Socket) => {
      const { is_in, put_out } = this.#places.come(socket, addressGroups(plainAddress(socket.remoteAddress)));
      put_out?.destroy();
      if (!is_in) {
        socket.destroy();
        return;
      }
      const name = peer(socket);
      this.#open.set(name, socket);
      socket.once('close', () => {
        this.#open.delete(name);
        this.#places.leave(socket);
      });
    });
    server.on('secureConnection', lingerAtEnd);
  }

  /** Somebody has logged in from an address: when there are no places left, its connections come before those of others. */
  loggedIn(address: string, as: 'admin' | 'user'): void {
    this.#places.trust(addressGroups(address), as === 'admin' ? 2 : 1);
  }

  /** The TCP connection under TLS; undefined where it is gone. */
  tcp(socket: Socket): Socket | undefined {
    return this.#open.get(peer(socket));
  }

  /** A request has come in; the function returned says that it is through, as does the connection's end. */
  begin(socket: Socket): () => void {
    const end = this.#busy.begin(peer(socket));
    let under_way = true;
    const through = () => {
      if (under_way) end();
      under_way = false;
      socket.off('close', through);
    };
    socket.once('close', through);
    return through;
  }

  /** Whether more than one request is under way on a connection: its client does not wait for answers. */
  pipelined(socket: Socket): boolean {
    return this.#busy.count(peer(socket)) > 1;
  }

  /** Cuts the connections that no request is under way on. */
  cutIdle(): void {
    for (const [name, socket] of this.#open) if (this.#busy.count(name) === 0) socket.destroy();
  }

  cutAll(): void {
    for (const socket of this.#open.values()) socket.destroy();
  }
}
