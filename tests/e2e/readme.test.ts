// Runs every command of the README, of the manual pages and of docs/ as it stands there: on a machine of its own as far as the
// commands can see (mounts, network, host name and processes), with the fake Xen's programs and the agent installed.
import { execFile } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { USAGES } from '../../scripts/dev/manual.ts';
import { createFakeNode, type FakeNode } from '../fakes/fake-node.ts';
import {
  documents,
  inlineCode,
  LANGUAGES,
  ROOT,
  RUN_ELSEWHERE,
  readDocument,
  scriptOf,
} from './documents.ts';

const README = readDocument('README.md').text;

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

const scripts = documents.flatMap((document) => {
  const found = document.path in RUN_ELSEWHERE ? undefined : scriptOf(document);
  return found ? [{ path: document.path, ...found }] : [];
});

/** What the house cannot have as the defaults say: device nodes of volumes in /dev and /sys, a kernel for guests. */
const configuration = (node: FakeNode, modules: string) =>
  Object.entries({
    dev_dir: node.dev_dir,
    sys_dir: node.sys_dir,
    KERNELPATH: node.kernel,
    INITRDPATH: node.initrd,
    KERNEL_RELEASE: '6.1.0-test',
    KMOD_PATH: modules,
    bsd_kernel_path: node.kernel,
    bsd_install_kernel_path: node.kernel,
  })
    .map(([key, value]) => `${key}=${value}\n`)
    .join('');

let work: string;
let node: FakeNode;
let out: Record<string, string>;

beforeAll(async () => {
  work = mkdtempSync(join(tmpdir(), 'dtc-xen-readme-'));
  node = await createFakeNode({ root: join(work, 'node'), size_mib: 1024 * 1024 });
  for (const folder of ['client', 'out', 'documents', 'modules']) mkdirSync(join(work, folder));
  writeFileSync(join(work, 'dtc-xen.conf'), configuration(node, join(work, 'modules')));
  for (const [i, { path, script, files }] of scripts.entries()) {
    const folder = join(work, 'documents', `${`${i}`.padStart(2, '0')}-${basename(path)}`);
    mkdirSync(folder);
    for (const [name, text] of [['script', script] as const, ...files])
      writeFileSync(join(folder, name), text);
  }
  writeFileSync(join(work, 'panel.php'), PANEL[0] ?? '');
  for (const [i, block] of [ADMIN[0] ?? '', ...SCRIPTS].entries())
    writeFileSync(join(work, `block-${i}.sh`), block);
  writeFileSync(join(work, 'by-hand.sh'), BY_HAND);
  writeFileSync(join(work, 'base.sh'), BASE);
  const house = join(import.meta.dirname, 'readme-house');
  const namespaces = [
    '--mount',
    '--propagation',
    'slave',
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

  it('calls from PHP as Debian has it, where nothing was mended for it', () =>
    expect(out['panel']).toBe('stopped\n'));

  it('does an operation by hand', () => {
    expect(JSON.parse(out['by-hand'] ?? '')).toEqual({
      disk_mb: expect.any(Number),
      memory_mb: expect.any(Number),
      waiting_mb: 0,
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

describe('manual pages and docs/', () => {
  it('never let PHP hand out a list of one as its item, and docs/panel.md says why', () => {
    const all = [readDocument('README.md'), ...documents].flatMap(({ blocks }) => blocks);
    const clients = all.filter(({ code }) => code.includes('new SoapClient('));
    expect(clients).toHaveLength(2);
    for (const { code } of clients) expect(code).toContain("'features' => SOAP_SINGLE_ELEMENT_ARRAYS");
    expect(readDocument('docs/panel.md').text).toMatch(
      /With one item[^\n]*\n?[^.]*\*\*set\s+`SOAP_SINGLE_ELEMENT_ARRAYS`\*\*/,
    );
  });

  it('say beside every command that takes samples away from a panel that it does', () => {
    const taking = /getCollectedPerformanceData(?![^\n]*confirm=)[^\n]*count=/;
    const found = [readDocument('README.md'), ...documents].filter(({ blocks }) =>
      blocks.some(({ code }) => taking.test(code)),
    );
    expect(found.map(({ path }) => path)).toEqual(['docs/panel.md']);
    for (const { text } of found)
      expect(text).toMatch(
        /takes billing samples away from the panel\*\*[^`]*```sh\n[^`]*getCollectedPerformanceData count=0/,
      );
  });

  it.each(scripts.map(({ path }, i) => [path, i] as const))(
    '%s: every command does what it is to do',
    (path, i) => {
      const name = join(work, 'out', `${`${i}`.padStart(2, '0')}-${basename(path)}`);
      expect(readFileSync(`${name}.code`, 'utf8'), readFileSync(`${name}.log`, 'utf8')).toBe('0\n');
    },
  );

  it('have no block of which it is not known whether it is commands', () => {
    for (const { path, text, blocks } of documents) {
      for (const { language } of blocks) expect(LANGUAGES, path).toContain(language);
      expect(text.match(/^```/gm) ?? [], path).toHaveLength(2 * blocks.length);
      expect(text.match(/^\n {4}\S.*/gm), `${path}: put it between \`\`\``).toBeNull();
    }
  });

  it('are run, every one with commands', () => {
    const commands = documents.filter(({ blocks }) => blocks.some(({ language }) => language === 'sh'));
    const run = [...scripts.map(({ path }) => path), ...Object.keys(RUN_ELSEWHERE)];
    expect(commands.map(({ path }) => path).sort()).toEqual(run.sort());
    expect(readdirSync(join(work, 'out')).filter((file) => file.endsWith('.code'))).toHaveLength(
      scripts.length,
    );
    for (const [path, elsewhere] of Object.entries(RUN_ELSEWHERE))
      expect(readFileSync(join(ROOT, elsewhere), 'utf8')).toContain(basename(path));
  });

  it('name programs, commands, units and make targets that exist', () => {
    const makefile = readFileSync(join(ROOT, 'Makefile'), 'utf8');
    const units = readdirSync(join(ROOT, 'systemd')).map((file) => file.replace(/\.service$/, ''));
    const usages: typeof USAGES = { ...USAGES, 'dtc-xen': USAGES['dtc-xen-agent'] ?? '' };
    const wrong = [readDocument('README.md'), ...documents].flatMap(inlineCode).filter((code) => {
      const [program = '', word = '', ...rest] = code.split(' ');
      if (program === 'make' && word !== '') return !new RegExp(`^${word}:`, 'm').test(makefile);
      if (program === 'systemctl') {
        const named = rest.filter((unit) => unit.startsWith('dtc-xen'));
        return named.some((unit) => !units.includes(unit));
      }
      const commands = /^dtc[-_]/.test(program) && /^[a-z|-]+$/.test(word) ? word.split('|') : [];
      return commands.some((command) => !new RegExp(`\\b${command}\\b`).test(usages[program] ?? ''));
    });
    expect(wrong).toEqual([]);
  });

  it('link to files that exist', () => {
    for (const { path, text } of documents) {
      const links = [...text.matchAll(/\]\((?!https?:)([^)#]+)\)/g)].map(([, to = '']) => to);
      const from = join(ROOT, path, '..');
      expect(
        links.filter((to) => !existsSync(join(from, to))),
        path,
      ).toEqual([]);
    }
  });

  it('quote sentences that the programs say', () => {
    const said = ['src', 'firewall', 'console', 'systemd']
      .flatMap((folder) =>
        readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true })
          .filter((entry) => entry.isFile())
          .map((entry) => readFileSync(join(entry.parentPath, entry.name), 'utf8')),
      )
      .join('\n');
    const first = [...readDocument('docs/troubleshooting.md').text.matchAll(/^\| ([^|]+) \|/gm)].flatMap(
      ([, cell = '']) =>
        [...cell.matchAll(/`([^`]+)`/g)].map(([, code = '']) => code).filter((code) => code.includes(' ')),
    );
    const fragments = first.flatMap((code) =>
      code.split('…').map((part) => part.replace(/^[\s.,;()]+|[\s.,;()]+$/g, '')),
    );
    expect(fragments.filter((part) => part.length > 3 && !said.includes(part))).toEqual([]);
    expect(first.length).toBeGreaterThan(25);
  });
});
