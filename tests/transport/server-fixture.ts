/** A running HTTPS server with a real htpasswd file, and clients that can misbehave. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { Agent, type RequestOptions, request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, type TLSSocket } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { pino } from 'pino';
import * as z from 'zod';
import type { Caller, SoapCall } from '../../src/core/call.ts';
import type { Dispatch } from '../../src/core/dispatch.ts';
import { defineOperation } from '../../src/core/operation.ts';
import { ensureCertificate } from '../../src/drivers/certificate.ts';
import { createFileLocks } from '../../src/drivers/flock.ts';
import { createPasswordFile } from '../../src/drivers/htpasswd.ts';
import { createPasswordHasher } from '../../src/drivers/htpasswd-hash.ts';
import { createRunner } from '../../src/drivers/run.ts';
import { type AuthOptions, createAuthenticator } from '../../src/transport/auth.ts';
import { createHttpServer, type HttpLimits } from '../../src/transport/http.ts';
import { readTls } from '../../src/transport/tls.ts';

export const CRYPT_PROGRAM = fileURLToPath(new URL('../../scripts/dtc-xen-crypt', import.meta.url));
export const runner = createRunner({ path: '/usr/bin:/bin' });

/** `dtc-xen` has the password `secret`, `xen01` has `owner`, both bcrypt at cost 4. */
const HTPASSWD = readFileSync(new URL('./fixtures/htpasswd', import.meta.url), 'utf8');

export function passwordFileIn(folder: string) {
  return createPasswordFile({
    path: join(folder, 'htpasswd'),
    hasher: createPasswordHasher(runner, CRYPT_PROGRAM),
    locks: createFileLocks(runner),
    lock_path: join(folder, 'htpasswd.lock'),
  });
}

const echo = defineOperation({
  name: 'echo',
  summary: 'Answers with the caller.',
  who: 'user',
  input: z.object({}),
  output: z.object({ text: z.string().meta({ xsd: 'xsd:string', doc: 'The text.' }) }),
  legacy: ({ text }) => text,
  lock: 'none',
  changes: false,
  timeout_ms: 1000,
  errors: [],
  handler: async () => ({ text: '' }),
});

export interface FixtureOptions {
  readonly limits?: Partial<HttpLimits>;
  readonly auth?: Partial<AuthOptions>;
  /** The text that a call is answered with. */
  readonly answer?: (call: SoapCall, caller: Caller) => Promise<string>;
  /** Told of every answer whether the client has read it; without it, answers carry nothing to be delivered. */
  readonly answered?: (read: boolean) => void;
  /** Stands in for the dispatch that `answer` and `answered` make. */
  readonly dispatch?: Dispatch;
}

export async function startServer(options: FixtureOptions = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'dtc-xen-http-'));
  writeFileSync(join(folder, 'htpasswd'), HTPASSWD, { mode: 0o600 });
  await ensureCertificate({ etc_dir: folder, node_name: 'node1.example.com', passphrase: '', runner });
  const lines: Record<string, unknown>[] = [];
  const log = pino({ level: 'trace' }, { write: (line: string) => lines.push(JSON.parse(line)) });
  const answer = options.answer ?? (async (_call, caller) => `${caller.user} ${caller.address}`);
  const calls: SoapCall[] = [];
  const dispatch: Dispatch = async (call, caller) => {
    calls.push(call);
    if (options.dispatch) return options.dispatch(call, caller);
    const answered = async (read: boolean) => options.answered?.(read);
    const carried = options.answered ? { carried: { wanted: new Promise<void>(() => undefined) } } : {};
    const output = { text: await answer(call, caller) };
    return { ok: true, operation: echo, input: {}, output, answered, ...carried };
  };
  const passwords = passwordFileIn(folder);
  const server = createHttpServer({
    config: {
      listen_address: '127.0.0.1',
      listen_port: 0,
      admin_user: 'dtc-xen',
      node_name: 'node1.example.com',
    },
    tls: () => readTls(folder, ''),
    authenticate: createAuthenticator({ passwords, log, ...options.auth }),
    dispatch,
    wsdl: (address) => `<definitions location="${address}"/>`,
    log,
    ...(options.limits ? { limits: options.limits } : {}),
  });
  const { port } = await server.listen();
  return {
    folder,
    port,
    server,
    passwords,
    calls,
    lines,
    messages: () => lines.map((line) => String(line['msg'])),
    async stop(limit_ms = 2_000) {
      await server.close(limit_ms);
      rmSync(folder, { recursive: true });
    },
  };
}

export const basic = (user: string, password: string) =>
  `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;

export const ADMIN = basic('dtc-xen', 'secret');

export const ENVELOPE =
  '<Envelope xmlns="http://schemas.xmlsoap.org/soap/envelope/"><Body><echo xmlns="urn:dtc-xen"/></Body></Envelope>';

export interface HttpAnswer {
  readonly status: number;
  readonly headers: Record<string, string | string[] | undefined>;
  readonly body: string;
  readonly ms: number;
}

/** A well-behaved client. */
export function ask(
  port: number,
  options: RequestOptions & { readonly body?: string | Buffer } = {},
): Promise<HttpAnswer> {
  const started = performance.now();
  const { body, ...more } = options;
  return new Promise((resolve, reject) => {
    const outgoing = request(
      { host: '127.0.0.1', port, path: '/', method: 'POST', rejectUnauthorized: false, ...more },
      (incoming) => {
        const chunks: Buffer[] = [];
        incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
        incoming.on('error', reject);
        incoming.on('end', () =>
          resolve({
            status: incoming.statusCode ?? 0,
            headers: incoming.headers,
            body: Buffer.concat(chunks).toString(),
            ms: performance.now() - started,
          }),
        );
      },
    );
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}

export const soap = (port: number, authorization = ADMIN, more: RequestOptions = {}) =>
  ask(port, { headers: { authorization, 'content-type': 'text/xml' }, body: ENVELOPE, ...more });

export const keepAliveAgent = () => new Agent({ keepAlive: true, maxSockets: 1, rejectUnauthorized: false });

/** A TLS connection that is written to by hand. */
export async function rawConnection(port: number) {
  const socket: TLSSocket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false });
  const chunks: Buffer[] = [];
  let failure: NodeJS.ErrnoException | undefined;
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  socket.on('error', (error) => {
    failure = error;
  });
  const started = performance.now();
  const closed = new Promise<number>((resolve) =>
    socket.on('close', () => resolve(performance.now() - started)),
  );
  await new Promise<void>((resolve, reject) => {
    socket.once('secureConnect', resolve);
    socket.once('error', reject);
  });
  const text = () => Buffer.concat(chunks).toString('latin1');
  return {
    socket,
    text,
    /** Milliseconds until the connection was closed. */
    closed,
    failure: () => failure,
    async until(pattern: RegExp, ms = 5_000): Promise<string> {
      const end = performance.now() + ms;
      while (!pattern.test(text())) {
        if (performance.now() > end) throw new Error(`no ${pattern} in: ${text()}`);
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
      return text();
    },
  };
}

/** The header of a SOAP request, for {@link rawConnection}. */
export const head = (lines: readonly string[], authorization = ADMIN) =>
  ['POST / HTTP/1.1', 'Host: localhost', `Authorization: ${authorization}`, ...lines, '', ''].join('\r\n');
