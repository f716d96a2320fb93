import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Server } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { hostname } from 'node:os';
import { type FastifyInstance, type FastifyReply, type FastifyRequest, fastify } from 'fastify';
import type { Logger } from 'pino';
import { type Caller, toldOf } from '../core/call.ts';
import type { Dispatch } from '../core/dispatch.ts';
import { createAdmission, refuse } from './admit.ts';
import type { Authenticate } from './auth.ts';
import { Connections } from './connections.ts';
import { addressUsed } from './own-address.ts';
import { ReadProofs } from './read-proofs.ts';
import { createSoapRoute } from './soap-route.ts';
import { Tally } from './tally.ts';
import type { TlsMaterial } from './tls.ts';
import { watchAnswer } from './written.ts';

/** What a server grants its clients. */
export interface HttpLimits {
  readonly body_bytes: number;
  /** For the request's header, and for a TLS handshake. */
  readonly header_ms: number;
  /** For the whole request. */
  readonly request_ms: number;
  readonly keep_alive_ms: number;
  /** For the client to take its answer. */
  readonly answer_ms: number;
  /** For the client to close first, where its answer carries something to be delivered. */
  readonly close_first_ms: number;
  /** For the client to show that it has read such an answer, while another caller waits. */
  readonly proof_ms: number;
  readonly connections: number;
  /** Of one address, or one IPv6 /64, or /48. */
  readonly connections_per_address: number;
  /** Calls under way at once of one user who is not the admin, whether the client still waits or not. */
  readonly user_calls: number;
}

const LIMITS: HttpLimits = {
  body_bytes: 256 * 1024,
  header_ms: 10_000,
  request_ms: 30_000,
  keep_alive_ms: 30_000,
  answer_ms: 60_000,
  close_first_ms: 2_000,
  proof_ms: 5_000,
  connections: 256,
  connections_per_address: 96,
  user_calls: 16,
};

/** What a server is made of. */
export interface HttpServerOptions {
  readonly config: {
    readonly listen_address: string;
    readonly listen_port: number;
    readonly admin_user: string;
    readonly node_name: string;
  };
  /** Reads the certificate, at the start and at every reload. */
  readonly tls: () => Promise<TlsMaterial>;
  readonly authenticate: Authenticate;
  readonly dispatch: Dispatch;
  /** The WSDL of a server at this address. */
  readonly wsdl: (address: string) => string;
  readonly log: Logger;
  readonly limits?: Partial<HttpLimits>;
}

/** The SOAP server: `POST /` and `/soap`, `GET /?wsdl`, `GET /healthz`. */
export interface HttpServer {
  listen(): Promise<{ readonly address: string; readonly port: number }>;
  /** Takes no new calls and answers those under way; what is left after `limit_ms` is cut. */
  close(limit_ms?: number): Promise<void>;
  /** Takes a new certificate into use; connections stay. One that cannot be used leaves the old one: false. */
  reload(): Promise<boolean>;
  /** Whether a request comes through: it is handed in behind the connections, of which a flood may leave none. */
  healthy(): Promise<boolean>;
}

const SOAP_PATHS = ['/', '/soap'];
/** Stands in the WSDL, which is generated once, for the address that each caller used. */
const ANY_ADDRESS = 'https://any-address.invalid/';
const EXPIRY_WARNING_MS = 30 * 86_400_000;

/** The status for what breaks HTTP; undefined where the connection itself broke, or its TLS handshake did. */
function statusOfClientError(code = ''): number | undefined {
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') return 408;
  if (code === 'HPE_HEADER_OVERFLOW') return 431;
  return code.startsWith('HPE_') ? 400 : undefined;
}

/** Answers what is not HTTP, or does not come to its end, and ends the connection. */
function onClientError(error: NodeJS.ErrnoException, socket: Socket): void {
  const status = statusOfClientError(error.code);
  if (status === undefined || !socket.writable) {
    socket.destroy();
    return;
  }
  socket.write(`HTTP/1.1 ${status} Refused\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`);
  socket.destroySoon();
}

/** Makes the server; it takes no connection before `listen`. */
export function createHttpServer(options: HttpServerOptions): HttpServer {
  const { config, log } = options;
  const limits = { ...LIMITS, ...options.limits };
  const connections = new Connections(limits);
  const callers = new WeakMap<FastifyRequest, Caller>();
  const content_types = new WeakMap<FastifyRequest, string | undefined>();
  const awaited_continue = new WeakSet<object>();
  const proofs = new ReadProofs(limits, log);
  const under_way = new Tally();
  const soap = createSoapRoute(options.dispatch, log);
  let app: FastifyInstance<Server> | undefined;
  let draining = false;
  let wsdl: string | undefined;

  async function readTls(): Promise<TlsMaterial> {
    const material = await options.tls();
    if (material.expires.getTime() < Date.now() + EXPIRY_WARNING_MS) {
      log.warn({ expires: material.expires }, 'the certificate ends soon, or has ended');
    }
    return material;
  }

  async function answerSoap(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const caller = callers.get(request);
    if (!caller) throw new Error('a SOAP call without a caller');
    if (!(await caller.stillKnown())) {
      log.warn(toldOf(caller), 'a password was changed while a request with it was on its way');
      return refuse(reply, 401);
    }
    if (caller.user !== config.admin_user && under_way.count(caller.user) >= limits.user_calls) {
      return refuse(reply, 503, 1);
    }
    const writing = watchAnswer(reply.raw);
    const body = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0);
    const end = under_way.begin(caller.user);
    const media = {
      content_type: content_types.get(request),
      content_encoding: request.headers['content-encoding'],
    };
    const answer = await soap(body, media, caller).finally(end);
    const { socket } = request.raw;
    const tcp = connections.pipelined(socket) ? undefined : connections.tcp(socket);
    proofs.expect(reply.raw, writing.done, tcp, answer);
    writing.limit(limits.answer_ms);
    return reply.code(answer.status).header('content-type', answer.content_type).send(answer.body);
  }

  function answerWsdl(request: FastifyRequest, reply: FastifyReply): FastifyReply {
    const [path = '/', query = ''] = request.url.split('?');
    if (!/^wsdl(?:=|$)/i.test(query)) return refuse(reply, 404);
    wsdl ??= options.wsdl(ANY_ADDRESS);
    const own_host = `${config.node_name || hostname()}:${request.raw.socket.localPort}`;
    const address = addressUsed(request.headers.host, own_host, path);
    return reply.type('text/xml; charset=utf-8').send(wsdl.replaceAll(ANY_ADDRESS, () => address));
  }

  function build(tls: TlsMaterial): FastifyInstance<Server> {
    const { expires: _, ...context } = tls;
    const built = fastify({
      https: {
        ...context,
        // Some clients offer HTTP/1.0 alone, and end the handshake where nothing of theirs is taken (RFC 7301).
        ALPNProtocols: ['http/1.1', 'http/1.0'],
        handshakeTimeout: limits.header_ms,
        headersTimeout: limits.header_ms,
        connectionsCheckingInterval: Math.min(1_000, limits.header_ms / 2),
      },
      bodyLimit: limits.body_bytes,
      requestTimeout: limits.request_ms,
      keepAliveTimeout: limits.keep_alive_ms,
      logger: false,
      return503OnClosing: false,
      forceCloseConnections: false,
      exposeHeadRoutes: true,
      clientErrorHandler: onClientError,
      frameworkErrors: (_error, _request, reply) => refuse(reply as unknown as FastifyReply, 400),
    });
    connections.watch(built.server);
    built.server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) => {
      awaited_continue.add(request);
      built.server.emit('request', request, response);
    });
    built.server.on('checkExpectation', (request: IncomingMessage, response: ServerResponse) => {
      built.server.emit('request', request, response);
    });

    built.addHook('onRequest', async (request, reply) => {
      reply.raw.once('close', connections.begin(request.raw.socket));
      await proofs.requestCame(request.raw.socket);
      // The server itself would refuse what is no media type; clients send whatever they like, and mean text/xml.
      content_types.set(request, request.headers['content-type']);
      request.raw.headers['content-type'] = 'text/xml';
      if (draining) return refuse(reply, 503, 5);
      return request.is404 ? refuse(reply, 404) : undefined;
    });
    built.addHook('onSend', async (_request, reply) => {
      if (draining) reply.header('connection', 'close');
    });
    built.setNotFoundHandler((_request, reply) => refuse(reply, 404));
    built.setErrorHandler((error: { statusCode?: number }, _request, reply) => {
      const status = error.statusCode ?? 500;
      if (status >= 500) log.error({ err: error }, 'defect');
      return refuse(reply, status);
    });
    built.removeAllContentTypeParsers();
    built.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body));

    const onRequest = createAdmission(options.authenticate, callers, awaited_continue, ({ user, address }) =>
      connections.loggedIn(address, user === config.admin_user ? 'admin' : 'user'),
    );
    for (const path of SOAP_PATHS) {
      built.post(path, { onRequest }, answerSoap);
      built.get(path, answerWsdl);
    }
    built.get('/healthz', (_request, reply) => reply.type('text/plain; charset=utf-8').send('ok'));
    return built;
  }

  return {
    async listen() {
      app = build(await readTls());
      const { listen_address, listen_port } = config;
      const host = listen_address === 'localhost' ? '127.0.0.1' : listen_address;
      await app.listen({ host, port: listen_port });
      const { address, port } = app.server.address() as AddressInfo;
      return { address, port };
    },
    async close(limit_ms = 30_000) {
      draining = true;
      const timer = setTimeout(() => connections.cutAll(), limit_ms);
      try {
        await proofs.close();
        connections.cutIdle();
        await app?.close();
        await proofs.settled();
      } finally {
        clearTimeout(timer);
      }
    },
    async reload() {
      try {
        const { expires, ...context } = await readTls();
        app?.server.setSecureContext(context);
        log.info({ expires }, 'the certificate was read again');
        return true;
      } catch (error) {
        log.error({ err: error }, 'the new certificate cannot be used; the old one stays in use');
        return false;
      }
    },
    async healthy() {
      if (!app?.server.listening) return false;
      return (await app.inject('/healthz')).statusCode === 200;
    },
  };
}
