// Calls that the agent must refuse: sent in both dialects as raw XML, since no client library would send most of them.

import { Agent, request } from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';
import { ERRORS, type ErrorCode } from '../../src/core/errors.ts';
import type { Endpoint, HttpAnswer } from '../legacy-client.ts';
import type { Site } from '../site.ts';

/** A parameter: its name and a text, or what stands between (or is) its tags as XML. */
export type Field = readonly [name: string, value: string | { readonly xml: string }];
/** Parameters by name, for calls that have each once. */
export type Params = Readonly<Record<string, string | number>>;
export type Dialect = 'legacy' | 'modern';
export const DIALECTS: readonly Dialect[] = ['legacy', 'modern'];

const escapeXml = (text: string) => text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);

const fieldsXml = (fields: readonly Field[], prefix: string) =>
  fields
    .map(([name, value]) =>
      typeof value === 'string'
        ? `<${prefix}${name}>${escapeXml(value)}</${prefix}${name}>`
        : value.xml.replaceAll('NAME', `${prefix}${name}`),
    )
    .join('');

/** A request's envelope; the prefixes xsi, xsd and enc are declared. */
export function envelope(dialect: Dialect, operation: string, fields: readonly Field[]): string {
  const prefix = dialect === 'modern' ? 'd:' : '';
  const style =
    dialect === 'legacy'
      ? ' e:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/"'
      : ' xmlns:d="urn:dtc-xen"';
  return (
    `<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"${style}` +
    ` xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:xsd="http://www.w3.org/2001/XMLSchema"` +
    ` xmlns:enc="http://schemas.xmlsoap.org/soap/encoding/">` +
    `<e:Body><${prefix}${operation}>${fieldsXml(fields, prefix)}</${prefix}${operation}></e:Body></e:Envelope>`
  );
}

const connections = new Agent({ keepAlive: true });

/** Posts a body as it is, over connections that are kept. */
export function send(
  at: Endpoint,
  body: string | Buffer,
  headers: Readonly<Record<string, string>> = {},
): Promise<HttpAnswer> {
  return new Promise((resolve, reject) => {
    const call = request(at.url, {
      method: 'POST',
      ca: at.ca,
      agent: connections,
      auth: `${at.user}:${at.password}`,
      headers: {
        'content-type': 'text/xml; charset=utf-8',
        'content-length': Buffer.byteLength(body),
        ...headers,
      },
    });
    call.on('error', reject);
    call.on('response', (answer) => {
      const chunks: Buffer[] = [];
      answer.on('error', reject);
      answer.on('data', (chunk: Buffer) => chunks.push(chunk));
      answer.on('end', () =>
        resolve({
          status: answer.statusCode ?? 0,
          headers: answer.headers,
          body: Buffer.concat(chunks).toString(),
        }),
      );
    });
    call.end(body);
  });
}

/** What an answer told: a fault's code and sentence, or the value of a legacy answer. */
export interface Told {
  readonly status: number;
  readonly code: string | undefined;
  readonly message: string;
}

const NAMED: Readonly<Record<string, string>> = { lt: '<', gt: '>', amp: '&', quot: '"', apos: "'" };
const plain = (text: string) => text.replace(/&(\w+);/g, (whole, name: string) => NAMED[name] ?? whole);
const inner = (xml: string, element: RegExp) => plain(element.exec(xml)?.[1] ?? '');

/** Reads an answer of either dialect. */
export function told({ status, body }: HttpAnswer): Told {
  const fault = inner(body, /<faultstring>([^<]*)</);
  if (fault === '') return { status, code: undefined, message: inner(body, /<Result [^>]*>([^<]*)</) };
  return { status, code: inner(body, /<code>([^<]*)</), message: fault };
}

/** What the daemon's own care holds a VPS for (src/jobs/systems/keeper.ts). */
const HOUSEKEEPING =
  /is busy: held by (?:finishing a reinstall|looking after saved memory|deleting an (?:unfinished|old) system|starting a guest whose reboot was lost),/;

/** No file of ours, stack or version stands in what a caller is told. */
function requirePlainSentence(message: string): void {
  expect(message).toMatch(/^[\x20-\x7e]{10,600}$/);
  expect(message).not.toMatch(/\.[jt]s\b|node_modules|node:|\bat [\w.]+ \(|undefined|\[object|NaN/);
}

/** The room that is free, and whether a guest idles, changes from one call to the next. */
const sameMoment = (answer: Told): Told => ({
  ...answer,
  message: answer.message.replace(/\d+ MB free/, 'some MB free').replace(/state [-r][-b]----/, 'some state'),
});

/** A site and what is asked of it after every bad input. */
export function watch(site: Site, secrets: readonly string[] = []) {
  const once = (dialect: Dialect, operation: string, fields: readonly Field[], at = site.endpoint()) =>
    send(at, envelope(dialect, operation, fields)).then(told);

  /** The agent looks after its VPSes from time to time, under the lock of each: whom it is busy with is asked for again. */
  async function asks(...call: Parameters<typeof once>): Promise<Told> {
    for (;;) {
      const answer = await once(...call);
      if (!HOUSEKEEPING.test(answer.message)) return answer;
      await sleep(100);
    }
  }

  return {
    asks,

    /**
     * Calls in both dialects at once or in turn; each is refused with this code, as its dialect tells it, in the same words.
     *
     * @returns the sentence
     */
    async refused(code: ErrorCode, operation: string, params: Params | readonly Field[]): Promise<string> {
      const fields = Array.isArray(params)
        ? (params as readonly Field[])
        : Object.entries(params).map(([name, value]) => [name, String(value)] as const);
      const modern = await asks('modern', operation, fields);
      expect(modern, `${operation} ${JSON.stringify(fields).slice(0, 200)}`).toMatchObject({
        status: 500,
        code,
      });
      requirePlainSentence(modern.message);
      const legacy = await asks('legacy', operation, fields);
      const expected =
        ERRORS[code].legacy === 'fault'
          ? modern
          : { status: 200, code: undefined, message: `NOTOK - ${modern.message}` };
      expect(sameMoment(legacy)).toEqual(sameMoment(expected));
      return modern.message;
    },

    /** Does the work; then everything is as it was, and the agent as well. */
    async unchanged<T>(work: () => Promise<T>): Promise<T> {
      const before = await site.snapshot();
      const result = await work();
      expect(await site.snapshot()).toEqual(before);
      await this.healthy();
      return result;
    },

    /** The agent answers, nothing is mounted, and its log holds no defect, stack or secret. */
    async healthy(): Promise<void> {
      expect(await site.legacy('testVPSServer')).toBe('OK');
      expect(site.mounts()).toEqual([]);
      const log = site.daemon().logs();
      const told = log.filter(({ level }) => level !== 'debug');
      expect(told.filter(({ msg, err }) => msg === 'defect' || err !== undefined)).toEqual([]);
      expect(JSON.stringify(told)).not.toMatch(/\\n\s+at /);
      const text = JSON.stringify(log);
      const hidden = [site.endpoint().password, ...secrets];
      for (const secret of hidden) expect(text).not.toContain(JSON.stringify(secret).slice(1, -1));
    },
  };
}

/** See {@link watch}. */
export type Watched = ReturnType<typeof watch>;

/** A call of each operation with values that are well-formed, for a VPS. */
export const GOOD: Readonly<Record<string, (vps: string) => Params>> = {
  testVPSServer: () => ({}),
  startVPS: (vpsname) => ({ vpsname }),
  shutdownVPS: (vpsname) => ({ vpsname }),
  destroyVPS: (vpsname) => ({ vpsname }),
  listStartedVPS: () => ({}),
  getVPSState: (vpsname) => ({ vpsname }),
  setupLVMDisks: (vpsname) => ({ vpsname, hddsize: 64, swapsize: 16, imagetype: 'lvm' }),
  killVPS: (vpsname) => ({ vpsname, imagetype: 'lvm' }),
  reinstallVPSos: (vpsname) => ({
    vpsname,
    ostype: 'tiny',
    ramsize: 128,
    password: 'a good one',
    nics: '192.0.2.10,,',
    gateway: '192.0.2.1',
    dns: '192.0.2.2',
  }),
  rollbackVPSos: (vpsname) => ({ vpsname }),
  getVPSJob: (vpsname) => ({ vpsname }),
  cancelVPSJob: (vpsname) => ({ vpsname }),
  getVPSInstallLog: (vpsname) => ({ vpsname, numlines: 10 }),
  getVPSConsoleLog: (vpsname) => ({ vpsname, numlines: 10 }),
  fsckVPSpartition: (vpsname) => ({ vpsname }),
  changeVPSrootPassword: (vpsname) => ({ vpsname, password: 'a good one' }),
  changeVPSxmPassword: (vpsname) => ({ vpsname, password: 'a good one' }),
  changeVPSsoapPassword: (vpsname) => ({ vpsname, password: 'a good one' }),
  changeVPSsshKey: (vpsname) => ({ vpsname, keystring: 'ssh-ed25519 AAAA' }),
  reportInstalledIso: (vpsname) => ({ vpsname }),
  writeXenHVMconf: (vpsname) => ({
    vpsname,
    ramsize: 128,
    allipaddrs: '192.0.2.10',
    vncpassword: 'no_vnc',
    howtoboot: 'hdd',
  }),
  changeBSDkernel: (vpsname) => ({ vpsname, ramsize: 128, kerneltype: 'normal', allipaddrs: '192.0.2.10' }),
  getInstallableOS: () => ({}),
  getInstallableAPP: () => ({}),
  getCollectedPerformanceData: () => ({ count: 1 }),
  getNetworkUsage: (vpsname) => ({ vpsname }),
  getIOUsage: (vpsname) => ({ vpsname }),
  getCPUUsage: (vpsname) => ({ vpsname }),
  getFreeSpace: () => ({}),
};

/** The values of {@link GOOD} for an operation. */
export function good(operation: string, vps = 'xen01'): Params {
  const params = GOOD[operation]?.(vps);
  if (!params) throw new Error(`bad-calls.ts has no good call of ${operation}; add one.`);
  return params;
}

/** As fields, to be bent. */
export const fieldsOf = (params: Params): Field[] =>
  Object.entries(params).map(([name, value]) => [name, String(value)]);
