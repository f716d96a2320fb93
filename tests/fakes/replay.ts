import { execFile, spawn } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import type { FakeNode } from './fake-node.ts';

export const FIXTURES = resolve(import.meta.dirname, 'fixtures');

/** A call of a program on a real Xen host, and what it answered. */
export interface Transcript {
  readonly name: string;
  readonly argv: readonly [string, ...string[]];
  readonly setup: string;
  readonly stdout: string;
  readonly stderr: string;
  readonly exit: number | 'timeout';
}

/** What a call of a fake answered; `timeout` where it had to be killed. */
export type Answer = Pick<Transcript, 'stdout' | 'stderr' | 'exit'>;

/** The records by their number, `001` and so on. */
export const transcripts: ReadonlyMap<string, Transcript> = new Map(
  readdirSync(join(FIXTURES, 'transcripts'))
    .sort()
    .map((file) => {
      const record = JSON.parse(readFileSync(join(FIXTURES, 'transcripts', file), 'utf8')) as Transcript;
      return [file.slice(0, 3), { ...record, name: file.replace('.json', '') }];
    }),
);

/** A text capture of fixtures/. */
export const capture = (file: string) => readFileSync(join(FIXTURES, file), 'utf8');

const same = (text: string, mark: string) => mark.padStart(text.length);

/**
 * Hides what no two hosts have alike: times, CPU seconds, UUIDs, process ids, dm numbers; event channels and ring
 * references, frames of memory; the size of a saved configuration, which has the node's paths; the CPU that a VCPU is on, and which of Domain-0's runs; three lines of `xl info` that are the host's own.
 * Domain ids, libxl's source lines, column widths, streams and exit codes are compared as they are.
 */
export function masked(text: string): string {
  return text
    .replace(/\b(?!0{8})[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b/g, 'UUID')
    .replace(/\b\w{6}(-\w{4}){5}-\w{6}\b/g, 'LVM-UUID')
    .replace(/ +\d+\.\d(?= |$)/gm, (match) => same(match, 'T'))
    .replace(/ +(\d+ days?, )?\d+:\d\d:\d\d$/gm, ' UPTIME')
    .replace(/(info 0x3\/0x0\/)\d+/g, '$1SIZE')
    .replace(/mfn 0x[0-9a-f]+/g, 'mfn N')
    .replace(/\[\d+\] exited/g, '[PID] exited')
    .replace(/\/dev\/dm-\d+/g, '/dev/dm-N')
    .replace(/^(\d{5} 0 {3}\d+ +[14] +)\d+ +\d+ +(?=\/)/gm, '$1EVENT RING ')
    .replace(/ \d+\/\d+ +(?=\/local)/g, ' RINGS ')
    .replace(/^(Domain-0 +0 +\d+ +)\d+ {3}(?:r--|-b-) /gm, '$1C   ST- ')
    .replace(/^(xen\d+ +\d+ +\d+ +)\d+(?= {3}[-rb][-b]-)/gm, '$1C')
    .replace(/^(cpu_mhz|hw_caps|xen_commandline)( +: ).*$/gm, '$1$2...');
}

/** The record's paths below the fake node's folder. */
export const inside = (node: FakeNode, text: string) =>
  text.replace(/(^|["':, ])(?=\/(?:etc\/xen|root|dev\/vg0|boot)\/)/g, `$1${node.root}`);

/** Runs a fake as the agent's runner does: fixed environment, standard input closed. */
export function call(node: FakeNode, argv: readonly string[], limit_ms = 60_000): Promise<Answer> {
  const [program = '', ...args] = argv;
  return new Promise((done) => {
    const child = spawn(join(node.bin, program), args, {
      env: { PATH: node.program_path, LC_ALL: 'C', HOME: '/root' },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const text = { stdout: '', stderr: '' };
    for (const stream of ['stdout', 'stderr'] as const) {
      child[stream].setEncoding('utf8').on('data', (chunk: string) => {
        text[stream] += chunk;
      });
    }
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      child.kill('SIGKILL');
    }, limit_ms);
    child.on('close', (code) => {
      clearTimeout(timer);
      done({ ...text, exit: late ? 'timeout' : (code ?? -1) });
    });
  });
}

/** Runs a record's call against the fake; the answer's paths are the record's again. */
export async function replay(node: FakeNode, number: string, limit_ms?: number): Promise<Answer> {
  const record = transcripts.get(number);
  if (!record) throw new Error(`There is no record ${number}.`);
  const argv = record.argv.map((each) => inside(node, each));
  const answer = await call(node, argv, record.exit === 'timeout' ? (limit_ms ?? 700) : limit_ms);
  return withoutRoot(node, answer);
}

export function withoutRoot(node: FakeNode, { stdout, stderr, exit }: Answer): Answer {
  return { stdout: stdout.replaceAll(node.root, ''), stderr: stderr.replaceAll(node.root, ''), exit };
}

function patched(base: readonly string[], hunks: readonly string[]): string[] {
  const lines = [...base];
  let at = 0;
  for (const hunk of hunks) {
    const [, first, action] = /^(\d+)([acd])/.exec(hunk) ?? [];
    if (first) at = Number(first) - (action === 'a' ? 0 : 1);
    else if (hunk.startsWith('< ')) lines.splice(at, 1);
    else if (hunk.startsWith('> ')) lines.splice(at, 0, hunk.slice(2));
  }
  return lines;
}

/** Writes the configurations of configs.txt, with their kernels, and xen03's, which names xen02's disk. */
export function writeConfigs(node: FakeNode): void {
  const write = (path: string, text: string) => {
    mkdirSync(dirname(node.root + path), { recursive: true });
    writeFileSync(node.root + path, inside(node, text));
  };
  let xen01: string[] = [];
  for (const section of capture('configs.txt').trim().split('\n\n')) {
    const [heading = '', ...lines] = section.split('\n');
    const path = heading.split(/[ :]/)[1] ?? '';
    const text = heading.includes('diff from') ? patched(xen01, lines) : lines;
    if (path === '/etc/xen/xen01') xen01 = lines;
    write(path, `${text.join('\n')}\n`);
    if (path === '/etc/xen/xen02')
      write('/root/xen03.cfg', `${text.join('\n').replace('"xen02"', '"xen03"')}\n`);
  }
  for (const file of [
    'vmlinuz-6.12.107+deb13-amd64',
    'initrd.img-6.12.107+deb13-amd64',
    'initrd-guest.img',
  ]) {
    write(`/boot/${file}`, `${file}\n`);
  }
}

/** Runs one of the machine's own programs to its end. */
export function system(program: string, ...args: string[]): Promise<void> {
  return new Promise((done, failed) => execFile(program, args, (error) => (error ? failed(error) : done())));
}
