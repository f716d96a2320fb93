// Runs every command of the README as it stands there: on a machine of its own as far as the commands can see (mounts,
// network, host name and processes), with the fake Xen's programs and the agent installed.
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createFakeNode, type FakeNode } from '../fakes/fake-node.ts';
import { buildNusoap } from '../interop/tools.ts';

const ROOT = join(import.meta.dirname, '../..');
const README = readFileSync(join(ROOT, 'README.md'), 'utf8');

/** The fenced blocks of a section, by their language. */
function blocks(section: string, language: string): string[] {
  const text = README.split(/^## /m).find((part) => part.startsWith(`${section}\n`)) ?? '';
  return [...text.matchAll(/^```(\w*)\n([\s\S]*?)^```$/gm)]
    .filter(([, fence]) => fence === language)
    .map(([, , code = '']) => code);
}

const ADMIN = blocks('For the admin of a node', 'sh');
const PANEL = blocks('For the panel', 'php');
const SCRIPTS = blocks('For scripts', 'sh');
const BASE = README.match(/`(dtc-xen base [^`]+)`/)?.[1] ?? '';
const BY_HAND = README.match(/`(dtc-xen-agent call [^`]+)`/)?.[1] ?? '';

let work: string;
let node: FakeNode;
let out: Record<string, string>;

beforeAll(async () => {
  work = mkdtempSync(join(tmpdir(), 'dtc-xen-readme-'));
  node = await createFakeNode({ root: join(work, 'node') });
  for (const folder of ['nusoap', 'client', 'out']) mkdirSync(join(work, folder));
  buildNusoap(join(work, 'nusoap'));
  writeFileSync(join(work, 'panel.php'), PANEL[0] ?? '');
  for (const [i, block] of [ADMIN[0] ?? '', ...SCRIPTS].entries())
    writeFileSync(join(work, `block-${i}.sh`), block);
  writeFileSync(join(work, 'by-hand.sh'), BY_HAND);
  writeFileSync(join(work, 'base.sh'), BASE);
  const house = join(import.meta.dirname, 'readme-house');
  const namespaces = [
    '--mount',
    '--net',
    '--uts',
    '--pid',
    '--fork',
    '--kill-child',
    '--mount-proc',
    '--',
    house,
  ];
  await promisify(execFile)('unshare', [...namespaces, ROOT, work, node.bin], { timeout: 100_000 });
  out = Object.fromEntries(
    ['panel', 'by-hand', 'base', ...SCRIPTS.map((_, i) => `scripts-${i + 1}`)].map((name) => [
      name,
      readFileSync(join(work, 'out', name), 'utf8'),
    ]),
  );
});
afterAll(() => rmSync(work, { recursive: true, force: true }));

describe('README', () => {
  it('has the blocks that are run here, and no others', () => {
    expect([ADMIN.length, PANEL.length, SCRIPTS.length]).toEqual([1, 1, 4]);
    expect(BY_HAND).toBe('dtc-xen-agent call getFreeSpace');
    expect(README.match(/^```\w/gm)).toHaveLength(7);
    expect(blocks('Two commands', 'sh')).toEqual(['make demo\nmake test\n']);
  });

  it('names make targets that exist', () => {
    const makefile = readFileSync(join(ROOT, 'Makefile'), 'utf8');
    for (const [, target] of README.matchAll(/make ([a-z-]+)[`\n]/g))
      expect(makefile).toMatch(new RegExp(`^${target}:`, 'm'));
  });

  it('links to files that exist', () => {
    const links = [...README.matchAll(/\]\((?!https?:)([^)#]+)\)/g)].map(([, path = '']) => path);
    expect(links.length).toBeGreaterThan(3);
    expect(links.filter((path) => !existsSync(join(ROOT, path)))).toEqual([]);
  });

  it('calls from PHP as a panel does', () => expect(out['panel']).toBe('Not running\n'));

  it('does an operation by hand', () => {
    expect(JSON.parse(out['by-hand'] ?? '')).toEqual({
      disk_mb: expect.any(Number),
      memory_mb: expect.any(Number),
    });
  });

  it('lists the bases that are kept', () => {
    expect(BASE).toBe('dtc-xen base list');
    expect(out['base']).toMatch(/no base|none/i);
  });

  it('calls from a script with curl', () => {
    expect(out['scripts-2']).toContain('<getVPSStateResponse xmlns="urn:dtc-xen"><state>stopped</state>');
    expect(out['scripts-4']).toBe('ok');
  });

  it('calls with the client', () => {
    expect(out['scripts-3']).toMatch(/^changeBSDkernel vpsname ramsize kerneltype allipaddrs$/m);
    expect(out['scripts-3']).toMatch(/"state": "stopped"/);
    expect(out['scripts-3']).toMatch(/"result": "Made the disks of xen02"/);
  });
});
