import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Caller } from '../core/call.ts';
import { plainAddress } from './auth/address.ts';
import type { Authenticate } from './auth.ts';

/** What a refusal says, beside its status. A 401's body stays empty: NuSOAP reports nonsense otherwise. */
const WORDS: Readonly<Record<number, string>> = Object.freeze({
  400: 'bad request\n',
  401: '',
  404: 'not found\n',
  413: 'request too large\n',
  429: 'too many failed logins\n',
  500: 'internal error\n',
  503: 'not available now\n',
});

/**
 * Refuses a request in a few words: no path, stack or version. Where more of it may come, the connection ends with the
 * answer. A status without words of its own is told as 400 or 500.
 */
export function refuse(reply: FastifyReply, status: number, retry_after_s?: number): FastifyReply {
  const told = status in WORDS ? status : status < 500 ? 400 : 500;
  const words = WORDS[told] ?? '';
  const { method } = reply.request;
  if (method !== 'GET' && method !== 'HEAD') reply.header('connection', 'close');
  if (told === 401) reply.header('www-authenticate', 'Basic realm="dtc-xen", charset="UTF-8"');
  if (retry_after_s !== undefined) reply.header('retry-after', String(retry_after_s));
  if (words !== '') reply.type('text/plain; charset=utf-8');
  return reply.code(told).send(words);
}

/** The callers of requests that were let in. */
export type Callers = WeakMap<FastifyRequest, Caller>;

/**
 * Makes the hook that stands before a SOAP call's body is read: who calls. Only then is a client that waits for `100 Continue` told to
 * go on.
 */
export function createAdmission(
  authenticate: Authenticate,
  callers: Callers,
  awaited: WeakSet<object>,
  onLogin: (caller: Caller) => void,
) {
  return async (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply | undefined> => {
    const address = plainAddress(request.raw.socket.remoteAddress);
    const known = await authenticate(request.headers.authorization, address);
    if (!known.ok) {
      return refuse(reply, known.status, known.status === 401 ? undefined : known.retry_after_s);
    }
    const caller = { user: known.user, address, stillKnown: known.stillKnown };
    callers.set(request, caller);
    onLogin(caller);
    if (awaited.has(request.raw)) reply.raw.writeContinue();
    return undefined;
  };
}
