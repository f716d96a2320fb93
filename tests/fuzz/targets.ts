// Every reader of bytes that somebody else chooses: a client, a guest, another node, whoever can write into a file. What a reader
// may do with nonsense is to say so by an error of the agent; anything else that it throws is a crash.
import { mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseManifest } from '../../src/base/manifest.ts';
import { ConfigError, parseConfig } from '../../src/config/load.ts';
import { bindParams } from '../../src/core/bind.ts';
import { AgentError } from '../../src/core/errors.ts';
import { readLogTail } from '../../src/core/log-tail.ts';
import { createRegistry } from '../../src/core/registry.ts';
import { parseSshKey } from '../../src/core/ssh-key.ts';
import { lostReboot } from '../../src/core/xl-log.ts';
import { parseUsers } from '../../src/drivers/htpasswd.ts';
import { bytesOf, parseLvmReport } from '../../src/drivers/parse/lvm-report.ts';
import { parseNetDev } from '../../src/drivers/parse/net-dev.ts';
import { parseBlockStat, parseVbdSectors, parseVolumeName } from '../../src/drivers/parse/vbd-statistics.ts';
import { parseXlInfo } from '../../src/drivers/parse/xl-info.ts';
import { parseXlList } from '../../src/drivers/parse/xl-list.ts';
import { describeGuest, renameGuest } from '../../src/migrate/guest-config.ts';
import { createFrameReader, frameHead, headerSchema, replySchema } from '../../src/migrate/wire.ts';
import { operations } from '../../src/operations/index.ts';
import { answerCall } from '../../src/transport/soap/answer.ts';
import { decodeBody } from '../../src/transport/soap/charset.ts';
import { readSoapCall } from '../../src/transport/soap/reader.ts';
import { readXml } from '../../src/transport/soap/xml.ts';

/** One reader. */
export interface Target {
  /** What it reads every day, to begin from. */
  readonly seeds: () => readonly Buffer[];
  /** Throws what is no error of the agent's own. */
  readonly read: (bytes: Buffer) => void | Promise<void>;
}

const TESTS = resolve(process.env['FUZZ_TESTS'] ?? join(import.meta.dirname, '..'));
const filesIn = (folder: string) =>
  readdirSync(join(TESTS, folder), { withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => readFileSync(join(TESTS, folder, entry.name)));
const latin1 = (bytes: Buffer) => bytes.toString('latin1');
const texts = (...all: readonly string[]) => all.map((text) => Buffer.from(text));

/** Does what may be refused. Returns what it gives; undefined where it was refused by the agent's own words. */
function tried<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch (error) {
    if ((error instanceof AgentError && error.code !== 'internal') || error instanceof ConfigError)
      return undefined;
    throw error;
  }
}

const registry = createRegistry(operations);

/** A request's body, up to what the handler of its operation gets: the first byte chooses what its headers say of it. */
const CONTENT_TYPES = [
  undefined,
  'text/xml',
  'text/xml; charset=utf-8',
  'text/xml; charset=ISO-8859-1',
  'application/soap+xml',
];
function request(bytes: Buffer): void {
  const call = tried(() =>
    readSoapCall(decodeBody(bytes.subarray(1), CONTENT_TYPES[(bytes[0] ?? 0) % CONTENT_TYPES.length])),
  );
  if (!call) return;
  const operation = registry.get(call.operation);
  const bound = operation && tried(() => bindParams(operation, call.params));
  if (bound) operation.input.safeParse(bound);
  const { body } = answerCall(call, new AgentError('invalid_value', latin1(bytes.subarray(0, 100))));
  readXml(body, () => {});
}

/** A parameter's value as an old panel sends it, for every operation in turn. */
function legacyValue(bytes: Buffer): void {
  const operation = operations[(bytes[0] ?? 0) % operations.length];
  if (!operation) return;
  const values = latin1(bytes.subarray(1)).split('\0');
  const params = Object.keys(operation.input.shape).map((name, at) => ({
    name,
    value: values[at % values.length] ?? '',
  }));
  const bound = tried(() => bindParams(operation, params));
  if (bound) operation.input.safeParse(bound);
  const older = tried(() =>
    bindParams(
      operation,
      values.map((value, at) => ({ name: `p${at}`, value })),
    ),
  );
  if (older) operation.input.safeParse(older);
}

async function* inPieces(bytes: Buffer): AsyncGenerator<Buffer> {
  const size = (bytes[0] ?? 0) + 1;
  for (let at = 1; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function wire(bytes: Buffer): Promise<void> {
  const frames = createFrameReader(inPieces(bytes), 60_000);
  try {
    await frames.message(headerSchema, 'a header');
    await frames.message(replySchema, 'a reply');
    for (;;) await frames.next();
  } catch (error) {
    tried(() => {
      throw error;
    });
  }
}

const folder = mkdtempSync(join(tmpdir(), 'fuzz-'));
async function consoleLog(bytes: Buffer): Promise<void> {
  const path = join(folder, 'guest-xen01.log');
  writeFileSync(path, bytes.subarray(1));
  const text = (await readLogTail(path, (bytes[0] ?? 0) % 8, 4096)) ?? '';
  if (/[^\n\x20-\x7e]/.test(text)) throw new Error('a character that steers a terminal is in what is told');
}

function guestConfig(bytes: Buffer): void {
  const text = latin1(bytes);
  const guest = tried(() => describeGuest(text));
  if (!guest) return;
  const renamed = renameGuest(text, 'xen77', new Map(guest.targets.map((path) => [path, '/dev/vg0/xen77'])));
  if (guest.name !== undefined && describeGuest(renamed).name !== 'xen77')
    throw new Error('the name was not given');
}

const message = (value: unknown) => {
  const body = Buffer.from(JSON.stringify(value));
  return Buffer.concat([Buffer.of(255), frameHead('message', body.length), body]);
};

/** The readers, by what they read. */
export const TARGETS: Readonly<Record<string, Target>> = {
  request: {
    seeds: () =>
      filesIn('transport/soap/fixtures/captures').map((capture) => {
        const at = capture.indexOf('\r\n\r\n');
        return Buffer.concat([Buffer.of(0), capture.subarray(at < 0 ? 0 : at + 4)]);
      }),
    read: request,
  },
  'legacy-values': {
    seeds: () =>
      [
        'xen01',
        '01',
        '192.0.2.1 192.0.2.2',
        '192.0.2.1,255.255.255.0,192.0.2.255',
        '4096',
        '-1',
        '1e3',
        '0x10',
        'lvm',
        'secret',
      ].flatMap((value) =>
        operations.map((_, at) => Buffer.concat([Buffer.of(at), Buffer.from(`xen01\0${value}\0${value}`)])),
      ),
    read: legacyValue,
  },
  htpasswd: {
    seeds: () =>
      texts(
        'dtc-xen:$apr1$abcdefgh$vXL8gRGQGzLbHVnWZDAvC0\n#x\n\nxen01:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\r\n',
        'a:b:c',
      ),
    read: (bytes) => void parseUsers(latin1(bytes), 'version'),
  },
  'dtc-xen.conf': {
    seeds: () => texts('listen_port=8089\nGATEWAY="192.0.2.1" # x\nexport DNS=\'192.0.2.2\'\n', 'a=b\\\nc\n'),
    read: (bytes) => void tried(() => parseConfig(bytes.toString('utf8'))),
  },
  'xl-output': {
    seeds: () => [
      ...filesIn('stats/fixtures'),
      ...texts(
        'Name                                        ID   Mem VCPUs\tState\tTime(s)\nDomain-0                                     0  1024     2     r-----    1200.5\nxen01                                        3   256     1     -b----      12.1\n',
        'host                   : node1\nnr_cpus                : 4\ntotal_memory           : 8191\nfree_memory            : 2048\n',
        'Waiting for domain xen01 (domid 3) to die [pid 7]\nDomain 3 has shut down, reason code 1 0x1\nAction for shutdown reason code 1 is restart\n',
      ),
    ],
    read(bytes) {
      const text = bytes.toString('utf8');
      for (const parse of [
        parseXlList,
        parseXlInfo,
        parseNetDev,
        parseBlockStat,
        parseVolumeName,
        lostReboot,
      ])
        tried(() => parse(text));
      const half = Math.floor(text.length / 2);
      tried(() => parseVbdSectors(text.slice(0, half), text.slice(half)));
    },
  },
  'lvm-report': {
    seeds: () =>
      texts(
        '{"report":[{"vg":[{"vg_name":"vg0","vg_uuid":"a-b","vg_free":"1024","vg_extent_size":"4194304"}]}],"log":[]}',
        '{"report":[{"lv":[{"lv_name":"xen01","lv_size":"67108864"}]}],"log":[{"log_type":"error","log_message":"x"}]}',
      ),
    read(bytes) {
      for (const kind of ['lv', 'vg'] as const) {
        const report = tried(() => parseLvmReport(bytes.toString('utf8'), kind));
        for (const row of report ?? []) tried(() => bytesOf(row, 'lv_size'));
      }
    },
  },
  'xl.cfg': {
    seeds: () => [
      ...filesIn('templates/fixtures/xl-dry-run'),
      ...texts(
        'name="xen01"\ndisk=[\'phy:/dev/vg0/xen01,xvda,w\',"file:/a b.img,xvdb,w"] # x\nvif=[\n"mac=a",\n]\n',
      ),
    ],
    read: guestConfig,
  },
  'ssh-key': {
    seeds: () =>
      texts(
        'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ1v7yqXxU8Yk4Wl1u5b0q4pY3uE6eUj3h2f9dYb0a1c me@host\n',
        'ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQC7 x',
      ),
    read(bytes) {
      const key = tried(() => parseSshKey(latin1(bytes)));
      if (key !== undefined && /[\n\r\0]/.test(key)) throw new Error('a key of more than one line');
    },
  },
  "migration's-wire": {
    seeds: () => [
      message({ protocol: 1 }),
      message({ reply: 'ready' }),
      Buffer.concat([Buffer.of(3), frameHead('zeros', 4096)]),
    ],
    read: wire,
  },
  'base-manifest': {
    seeds: () => texts('{"format":1,"name":"trixie-0123456789abcdef","release":"trixie"}'),
    read: (bytes) => void parseManifest(bytes.toString('utf8')),
  },
  'console-log': {
    seeds: () =>
      texts(
        '\x03[    0.0] Linux\r\r\n\x1b[0;1;32m  OK  \x1b[0m] a\r\n\x1b]0;title\x07x',
        '\x05\x1bPq\x1b\\\t\r\r\r\n',
      ),
    read: consoleLog,
  },
};
