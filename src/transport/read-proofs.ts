import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Logger } from 'pino';
import type { Outcome } from '../core/dispatch.ts';
import { type ProofLimits, ReadProof } from './read-proof.ts';

/** What an answer has to be told, and whether it carries anything that only a client which has read it may have for good. */
export type Carried = Pick<Extract<Outcome, { ok: true }>, 'answered' | 'carried'>;

/** For clients to close their connections when the server ends. */
const CLOSING_MS = 1_000;

/** Tells every answer's operation whether its client has it. */
export class ReadProofs {
  readonly #limits: ProofLimits;
  readonly #log: Logger;
  readonly #settling = new Set<Promise<void>>();
  readonly #open = new Map<Socket, { readonly proof: ReadProof; readonly settled: Promise<void> }>();
  #closing = false;

  constructor(limits: ProofLimits, log: Logger) {
    this.#limits = limits;
    this.#log = log;
  }

  /**
   * Call before the answer is sent.
   *
   * @param written whether it was handed to the connection in full
   * @param tcp the connection under TLS; undefined where nothing that comes on it can show what the client has read
   */
  expect(
    response: ServerResponse,
    written: Promise<boolean>,
    tcp: Socket | undefined,
    { answered, carried }: Carried,
  ): void {
    const { socket } = response.req;
    const { wanted } = carried ?? {};
    const proof =
      wanted && tcp && new ReadProof({ response, socket, tcp, written, wanted, limits: this.#limits });
    const settled = (proof?.read ?? (carried ? Promise.resolve(false) : written))
      .then(answered)
      .catch((error: unknown) =>
        this.#log.error({ err: error }, 'what an answer carried could not be settled'),
      )
      .finally(() => {
        this.#settling.delete(settled);
        if (this.#open.get(socket)?.settled === settled) this.#open.delete(socket);
      });
    this.#settling.add(settled);
    if (!proof) return;
    this.#open.set(socket, { proof, settled });
    if (this.#closing) void proof.hurry(CLOSING_MS);
  }

  /** A request has come in on a connection: what was answered on it before is settled when this resolves. */
  async requestCame(socket: Socket): Promise<void> {
    const open = this.#open.get(socket);
    await open?.proof.requestCame();
    await open?.settled;
  }

  /** The server ends: clients that have answers are asked to close, and given up soon. */
  async close(): Promise<void> {
    this.#closing = true;
    const open = [...this.#open.values()];
    for (const { proof } of open) void proof.hurry(CLOSING_MS);
    await Promise.all(open.filter(({ proof }) => proof.waiting).map(({ settled }) => settled));
  }

  /** Resolves when every answer of before has been settled. */
  async settled(): Promise<void> {
    await Promise.all(this.#settling);
  }
}
