import type { Server } from 'node:https';
import type { Socket } from 'node:net';
import { addressGroup, plainAddress } from './auth/address.ts';
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
  readonly #of_address = new Tally();
  readonly #per_address: number;

  /** @param per_address how many an address (an IPv6 address's /64) may have, so that none takes every place */
  constructor(per_address: number) {
    this.#per_address = per_address;
  }

  watch(server: Server): void {
    server.on('connection', (socket: Socket) => {
      const name = peer(socket);
      const address = addressGroup(plainAddress(socket.remoteAddress));
      if (this.#of_address.count(address) >= this.#per_address) {
        socket.destroy();
        return;
      }
      const leave = this.#of_address.begin(address);
      this.#open.set(name, socket);
      socket.once('close', () => {
        this.#open.delete(name);
        leave();
      });
    });
    server.on('secureConnection', lingerAtEnd);
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
