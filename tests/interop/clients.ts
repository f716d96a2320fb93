// The clients: how each is run, and how each reads an answer.
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { type CurlLine, readAnswer } from './answer-xml.ts';
import { type Call, type Line, tabbed } from './calls.ts';
import type { Reading } from './values.ts';

const CLIENTS = join(import.meta.dirname, 'clients');
/** Debian's python3-zeep and python3-suds belong to this one, whichever comes first in PATH. */
const PYTHON = '/usr/bin/python3';
const CALLS_LIMIT_MS = 60_000;

/** Where a client calls, and what it needs besides. */
export interface Endpoint {
  readonly url: string;
  readonly ca: string;
}

/** What was built for the clients that cannot be run as they are. */
export interface Tools {
  /** Folder of a NuSOAP that runs on this PHP. */
  readonly nusoap?: string;
  /** gSOAP's compiled client. */
  readonly gsoap?: string;
  /** The compiled client of .NET's formatter. */
  readonly dotnet?: string;
}

/** A SOAP client of this world. */
export interface Client {
  readonly name: string;
  readonly dialect: 'legacy' | 'modern';
  readonly command: (endpoint: Endpoint, tools: Tools) => readonly [program: string, ...args: string[]];
  readonly input: 'json' | 'values' | 'names';
  readonly reading: Reading;
  /** The SOAP 1.2 names for whose fault it is. */
  readonly soap12?: true;
  /** Makes calls by hand, so that it can ask for what no WSDL has. */
  readonly without_wsdl?: true;
  /** A refused password, in this client's words. */
  readonly unauthorized: string;
  readonly readLine?: (line: CurlLine) => Line;
}

const php =
  (file: string, mode: string): Client['command'] =>
  ({ url, ca }, { nusoap = '' }) => ['php', join(CLIENTS, file), url, ca, mode, nusoap];
const python =
  (file: string): Client['command'] =>
  ({ url, ca }) => [PYTHON, join(CLIENTS, file), url, ca];
const curl =
  (dialect: string, ...option: readonly string[]): Client['command'] =>
  ({ url, ca }) => [join(CLIENTS, 'curl.sh'), url, ca, dialect, ...option];

const TAGGED: Reading = { numbers: 'tagged' };

/** The clients that speak the legacy dialect. */
export const LEGACY_CLIENTS: readonly Client[] = [
  {
    name: 'NuSOAP, as the panel uses it',
    dialect: 'legacy',
    command: php('nusoap.php', 'rpc'),
    input: 'json',
    reading: TAGGED,
    without_wsdl: true,
    unauthorized: 'HTTP Error: HTTP authentication failed',
  },
  {
    name: 'PHP SoapClient, named parameters',
    dialect: 'legacy',
    command: php('phpsoap.php', 'rpc'),
    input: 'json',
    reading: TAGGED,
    without_wsdl: true,
    unauthorized: 'Unauthorized',
  },
  {
    name: "PHP SoapClient, uri='' and positional parameters",
    dialect: 'legacy',
    command: php('phpsoap.php', 'rpc-positional'),
    input: 'json',
    reading: TAGGED,
    without_wsdl: true,
    unauthorized: 'Unauthorized',
  },
  {
    name: 'SOAP::Lite of Perl, parameters by position',
    dialect: 'legacy',
    command: ({ url, ca }) => [join(CLIENTS, 'soaplite.pl'), url, ca],
    input: 'values',
    reading: { numbers: 'text' },
    without_wsdl: true,
    unauthorized: '401 Unauthorized',
  },
  {
    name: ".NET's formatter, as Mono has it",
    dialect: 'legacy',
    command: ({ url, ca }, { dotnet = '' }) => ['mono', dotnet, url, ca],
    input: 'names',
    reading: TAGGED,
    without_wsdl: true,
    unauthorized: 'HTTP 401',
    readLine: (line) => readAnswer('legacy', line),
  },
  {
    name: 'curl, by hand',
    dialect: 'legacy',
    command: curl('legacy'),
    input: 'names',
    reading: TAGGED,
    without_wsdl: true,
    unauthorized: 'HTTP 401',
    readLine: (line) => readAnswer('legacy', line),
  },
  {
    name: 'curl, by hand, in HTTP/1.0, which its handshake offers',
    dialect: 'legacy',
    command: curl('legacy', '--http1.0'),
    input: 'names',
    reading: TAGGED,
    without_wsdl: true,
    unauthorized: 'HTTP 401',
    readLine: (line) => readAnswer('legacy', line),
  },
];

/** The clients that read the WSDL, and curl, which writes what they would. */
export const MODERN_CLIENTS: readonly Client[] = [
  {
    name: 'NuSOAP with the WSDL',
    dialect: 'modern',
    command: php('nusoap.php', 'wsdl'),
    input: 'json',
    reading: { numbers: 'text', one_is_no_list: true },
    unauthorized: 'HTTP Error: HTTP authentication failed',
  },
  {
    name: 'PHP SoapClient with the WSDL, SOAP 1.1',
    dialect: 'modern',
    command: php('phpsoap.php', 'wsdl11'),
    input: 'json',
    reading: TAGGED,
    unauthorized: 'Unauthorized',
  },
  {
    name: 'PHP SoapClient with the WSDL, SOAP 1.2',
    dialect: 'modern',
    command: php('phpsoap.php', 'wsdl12'),
    input: 'json',
    reading: TAGGED,
    soap12: true,
    unauthorized: 'Unauthorized',
  },
  {
    name: 'zeep, strict',
    dialect: 'modern',
    command: python('zeep_client.py'),
    input: 'json',
    reading: { numbers: 'tagged', unwraps: true, absent_is_null: true },
    unauthorized: 'HTTP 401',
  },
  {
    name: 'suds',
    dialect: 'modern',
    command: python('suds_client.py'),
    input: 'json',
    reading: { numbers: 'tagged', unwraps: true },
    unauthorized: 'HTTP 401',
  },
  {
    name: 'gSOAP, compiled from the WSDL',
    dialect: 'modern',
    command: ({ url, ca }, { gsoap = '' }) => [gsoap, url, ca],
    input: 'values',
    reading: TAGGED,
    unauthorized: 'HTTP 401',
  },
  {
    name: "the soap library's client",
    dialect: 'modern',
    command: ({ url, ca }) => [
      process.execPath,
      '--import',
      import.meta.resolve('tsx'),
      join(CLIENTS, 'soap-client.ts'),
      url,
      ca,
    ],
    input: 'json',
    reading: { numbers: 'number' },
    unauthorized: 'HTTP 401',
  },
  {
    name: 'curl, by hand, in urn:dtc-xen',
    dialect: 'modern',
    command: curl('modern'),
    input: 'names',
    reading: { numbers: 'text', one_is_no_list: true },
    without_wsdl: true,
    unauthorized: 'HTTP 401',
    readLine: (line) => readAnswer('modern', line),
  },
];

const inputOf = ({ input }: Client, calls: readonly Call[]) =>
  input === 'json'
    ? JSON.stringify(calls)
    : calls.map((call) => `${tabbed(call, input === 'names')}\n`).join('');

/**
 * Has a client make the calls.
 *
 * @throws Error where it fails otherwise than on a call
 */
export async function runClient(
  client: Client,
  endpoint: Endpoint,
  tools: Tools,
  login: { readonly user: string; readonly password: string },
  calls: readonly Call[],
): Promise<Line[]> {
  const [program, ...args] = client.command(endpoint, tools);
  const child = spawn(program, args, {
    env: { ...process.env, SOAP_USER: login.user, SOAP_PASSWORD: login.password },
    timeout: CALLS_LIMIT_MS,
  });
  child.stdin.end(inputOf(client, calls));
  const ended = new Promise<string>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => resolve(String(code ?? signal)));
  });
  const [out, errors, exit] = await Promise.all([text(child.stdout), text(child.stderr), ended]);
  if (exit !== '0') throw new Error(`${client.name} ended with ${exit}:\n${out}\n${errors}`);
  const lines = out
    .split('\n')
    // Mono remarks on a scheduling policy that it does not know, such as that of `chrt -i`.
    .filter((line) => line !== '' && !line.startsWith('mono_'))
    .map((line) => JSON.parse(line));
  return client.readLine ? (lines as CurlLine[]).map(client.readLine) : (lines as Line[]);
}
