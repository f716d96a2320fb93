import type { Server } from 'node:https';
import type { Socket } from 'node:net';

const LINGER_MS = 1_000;
const LINGER_BYTES = 256 * 1024;
const LINGER_CHECK_MS = 25;

/**
 * Makes the end of a connection gentle (RFC 9112, section 9.6): after the last answer our side is closed, and what the
 * client still sends is thrown away for a short while. Closed at once, the kernel would answer the rest of a refused body
 * with a reset, and the client would lose the 401 that it has not read yet.
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
  readonly #busy = new Map<string, number>();

  watch(server: Server): void {
    server.on('connection', (socket: Socket) => {
      const name = peer(socket);
      this.#open.set(name, socket);
      socket.once('close', () => this.#open.delete(name));
    });
    server.on('secureConnection', lingerAtEnd);
  }

  /** A request has come in; the function returned says that it is through. */
  begin(socket: Socket): () => void {
    const name = peer(socket);
    this.#busy.set(name, (this.#busy.get(name) ?? 0) + 1);
    return () => {
      const left = (this.#busy.get(name) ?? 1) - 1;
      if (left > 0) this.#busy.set(name, left);
      else this.#busy.delete(name);
    };
  }

  /** Cuts the connections that no request is under way on. */
  cutIdle(): void {
    for (const [name, socket] of this.#open) if (!this.#busy.has(name)) socket.destroy();
  }

  cutAll(): void {
    for (const socket of this.#open.values()) socket.destroy();
  }
}
