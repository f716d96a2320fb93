import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { peerEnd, type TcpEnds, tcpEnds } from './tcp-end.ts';

/** How long is waited for what shows that a client has read its answer. */
export interface ProofLimits {
  /** For the client to close its connection first. */
  readonly close_first_ms: number;
  /** While another caller waits for what the answer carries. */
  readonly proof_ms: number;
  /** For the client's next request, before our side of the connection is ended. */
  readonly keep_alive_ms: number;
  /** For TCP's end after TLS's. */
  readonly answer_ms: number;
}

/** What a proof is about. */
export interface ProofOptions {
  readonly response: ServerResponse;
  readonly socket: Socket;
  /** The TCP connection under TLS. */
  readonly tcp: Socket;
  /** Whether the answer was handed to the connection in full. */
  readonly written: Promise<boolean>;
  /** Resolves when another caller waits for what the answer carries. */
  readonly wanted: Promise<void>;
  readonly limits: ProofLimits;
}

/** A client that ends its side before it has read shows the reset of its unread data within this time, or is taken to have read. */
const QUIET_MS = 250;
const POLL_MS = { first: 10, last: 500 } as const;

/**
 * Finds out whether a client has read its answer. That the kernel took it says nothing, nor does that the client's kernel has it.
 *
 *   written --> the client's next request  -------------------------------> read
 *           --> the client closes TCP in order, and no reset comes after -> read
 *           --> a reset, a timeout, anything else ------------------------> not known to have read
 *
 * A client closes in order where it has read all (Linux sends a reset for what lies unread), so our own close_notify must not lie
 * there unread: our side is held open. A client that was told the connection's end has `close_first_ms` to close first; only then
 * close_notify and FIN are sent, for clients that read to the end of file. An idle connection's end is a FIN without
 * close_notify, which counts as nothing unread.
 */
export class ReadProof {
  /** Whether the client is known to have read. */
  readonly read: Promise<boolean>;
  readonly #options: ProofOptions;
  readonly #ends: TcpEnds;
  readonly #end: Socket['end'];
  readonly #destroySoon: Socket['destroySoon'];
  readonly #timers = new Set<NodeJS.Timeout>();
  #resolve: (read: boolean) => void = () => undefined;
  #open = true;
  /** The client was told that the connection ends with this answer. */
  #last = false;
  #ours_ended = false;
  #watching = false;

  /** Make it before the answer is sent. */
  constructor(options: ProofOptions) {
    const { socket } = options;
    this.#options = options;
    this.#ends = tcpEnds(socket);
    this.#end = socket.end.bind(socket);
    this.#destroySoon = socket.destroySoon.bind(socket);
    this.read = new Promise((resolve) => {
      this.#resolve = resolve;
    });
    this.#hold();
    void this.#begin();
  }

  get #finished(): boolean {
    return this.#options.response.writableFinished;
  }

  /** Whether the answer was written, and no more is waited for than the client. */
  get waiting(): boolean {
    return this.#open && this.#finished;
  }

  /** A request has come in on the connection. One that came before the answer was out shows nothing. */
  async requestCame(): Promise<void> {
    if (!this.#finished) return this.#decide(false);
    const end = await peerEnd(this.#ends);
    this.#decide(end !== 'unread' && end !== 'reset');
  }

  /** Somebody waits: the client is asked to close, and is given up after `limit_ms`. */
  async hurry(limit_ms: number): Promise<void> {
    await this.#options.written;
    this.#after(Math.min(this.#options.limits.close_first_ms, limit_ms / 2), () => this.#endOurs());
    this.#after(limit_ms, () => this.#giveUp());
  }

  async #begin(): Promise<void> {
    const { socket, written, wanted, limits } = this.#options;
    if (!(await written) || socket.readableEnded) return this.#decide(false);
    if (!this.#open) return;
    socket.setTimeout(0);
    socket.once('end', this.#watch);
    socket.once('close', this.#watch);
    if (socket.destroyed) void this.#watch();
    this.#after(this.#last ? limits.close_first_ms : limits.keep_alive_ms, () => this.#endOurs());
    await wanted;
    await this.hurry(limits.proof_ms);
  }

  /** Until it is known, nobody ends our side. */
  #hold(): void {
    const { socket } = this.#options;
    socket.end = ((...args: []) => (this.#finished ? socket : this.#end(...args))) as Socket['end'];
    socket.destroySoon = () => {
      if (!this.#finished) return this.#destroySoon();
      this.#last = true;
    };
  }

  #endOurs(): void {
    const { socket, tcp } = this.#options;
    if (this.#ours_ended || socket.destroyed) return;
    this.#ours_ended = true;
    if (this.#last && !socket.readableEnded) this.#end();
    else tcp.end();
  }

  /** TLS has come to its end: TCP tells how. */
  readonly #watch = async (): Promise<void> => {
    if (this.#watching) return;
    this.#watching = true;
    const { socket, limits } = this.#options;
    this.#after(limits.close_first_ms, () => this.#endOurs());
    this.#after(limits.answer_ms, () => this.#giveUp());
    let quiet = false;
    for (let pause_ms: number = POLL_MS.first; this.#open; pause_ms = Math.min(2 * pause_ms, POLL_MS.last)) {
      const end = await peerEnd(this.#ends);
      if (end === 'reset') return this.#giveUp();
      const closed = end === 'closed' || end === 'unknown';
      if (closed && quiet) return this.#closed(!socket.errored);
      quiet = closed;
      await sleep(quiet ? QUIET_MS : pause_ms);
    }
  };

  /** The client is gone in order: so is our side, as it would have been at once. */
  #closed(read: boolean): void {
    this.#decide(read);
    const { socket } = this.#options;
    if (this.#ours_ended) socket.destroy();
    else socket.destroySoon();
  }

  #giveUp(): void {
    if (!this.#open) return;
    this.#decide(false);
    this.#options.socket.destroy();
  }

  #after(ms: number, act: () => void): void {
    if (this.#open) this.#timers.add(setTimeout(act, ms));
  }

  #decide(read: boolean): void {
    if (!this.#open) return;
    this.#open = false;
    const { socket } = this.#options;
    for (const timer of this.#timers) clearTimeout(timer);
    socket.off('end', this.#watch);
    socket.off('close', this.#watch);
    socket.end = this.#end;
    socket.destroySoon = this.#destroySoon;
    this.#resolve(read);
  }
}
