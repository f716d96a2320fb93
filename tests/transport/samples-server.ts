/** A real server that hands out the samples of a real spool, and real TLS clients of it that do as they are told. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, rmSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseConfig } from '../../src/config/load.ts';
import type { Ports } from '../../src/core/context.ts';
import { createDispatch } from '../../src/core/dispatch.ts';
import { createRegistry } from '../../src/core/registry.ts';
import samplesCollect from '../../src/operations/samples-collect.ts';
import type { HttpLimits } from '../../src/transport/http.ts';
import { createTestNode, type TestNode } from '../stats/node.ts';
import { ADMIN, startServer } from './server-fixture.ts';

const CLIENT = fileURLToPath(new URL('fixtures/tls_client.py', import.meta.url));
const PYTHON = '/usr/bin/python3';

const filled = new Map<number, TestNode>();

/** The node whose spool holds samples of so many minutes; they are taken once for all tests of a file. */
async function nodeOf(count: number): Promise<TestNode> {
  const known = filled.get(count);
  if (known) return known;
  const source = createTestNode();
  filled.set(count, source);
  const sampler = source.sampler();
  for (let minute = 0; minute < count; minute += 1) await source.minute(sampler);
  return source;
}

async function nodeWith(count: number): Promise<TestNode> {
  const source = await nodeOf(count);
  const node = createTestNode();
  if (count > 0) cpSync(source.perfdata, node.perfdata, { recursive: true });
  return Object.assign(node, { clock_ms: source.clock_ms, counter: source.counter });
}

/** Removes what was made once for all tests. */
export function removeFilled(): void {
  for (const node of filled.values()) node.remove();
  filled.clear();
}

/** The server, with this many samples of xen01 in the spool. */
export async function startSamplesServer(count: number, limits: Partial<HttpLimits> = {}) {
  const node = await nodeWith(count);
  const sampler = node.sampler();
  const dispatch = createDispatch({
    registry: createRegistry([samplesCollect]),
    config: parseConfig(''),
    ports: { samples: sampler } as unknown as Ports,
    log: node.log,
  });
  const server = await startServer({ dispatch, limits });
  const clients: Client[] = [];
  return {
    ...server,
    node,
    sampler,
    /** How many samples lie in the spool. */
    left: () => node.files().filter((name) => name.startsWith('sample-')).length,
    async client(): Promise<Client> {
      const client = await startClient(server.port);
      clients.push(client);
      return client;
    },
    /** Ends the clients, waits until all that they were answered is settled, and fills the spool as it was. */
    async again() {
      for (const client of clients.splice(0)) await client.end();
      (await sampler.take(0)).kept();
      if (count === 0) return;
      rmSync(node.perfdata, { recursive: true });
      cpSync((await nodeOf(count)).perfdata, node.perfdata, { recursive: true });
    },
    async stop(limit_ms?: number) {
      for (const client of clients) await client.end();
      await server.stop(limit_ms);
      node.remove();
    },
  };
}

/** A client process (fixtures/tls_client.py), connected. */
export interface Client {
  readonly process: ChildProcess;
  /** Gives an order and waits until it is done; its answer. */
  order(name: string, ...values: (string | number)[]): Promise<unknown>;
  end(): Promise<void>;
}

async function startClient(port: number): Promise<Client> {
  const child = spawn(PYTHON, [CLIENT, String(port)], { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const ended = once(child, 'close');
  // One that was told to die takes no more orders.
  child.stdin.on('error', () => undefined);
  const answer = async () => {
    const { value, done } = await lines.next();
    return done ? 'ended' : (JSON.parse(value) as unknown);
  };
  await answer();
  return {
    process: child,
    order(name, ...values) {
      child.stdin.write(`${JSON.stringify([name, ...values])}\n`);
      return answer();
    },
    async end() {
      child.kill('SIGKILL');
      await ended;
    },
  };
}

interface Request {
  readonly count?: number;
  readonly confirm?: string;
  readonly version?: '1.0' | '1.1';
  readonly headers?: readonly string[];
}

/** A panel's request for samples. */
export function request({ count = 0, confirm, version = '1.1', headers = [] }: Request = {}): string {
  const confirmed = confirm === undefined ? '' : `<confirm>${confirm}</confirm>`;
  const body =
    '<Envelope xmlns="http://schemas.xmlsoap.org/soap/envelope/"><Body>' +
    `<getCollectedPerformanceData xmlns="urn:dtc-xen"><count>${count}</count>${confirmed}` +
    '</getCollectedPerformanceData></Body></Envelope>';
  return [
    `POST / HTTP/${version}`,
    'Host: localhost',
    `Authorization: ${ADMIN}`,
    ...headers,
    `Content-Length: ${body.length}`,
    '',
    body,
  ].join('\r\n');
}

/** The timestamps of an answer's samples, as they stand in it. */
export const timestamps = (answer: unknown): string[] =>
  [...String(answer).matchAll(/<timestamp>([^<]*)<\/timestamp>/g)].map(([, text = '']) => text);
