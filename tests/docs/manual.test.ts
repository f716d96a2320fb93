// The manual pages as man shows them and Debian's checker reads them, and the completions as bash uses them.
import { execFile, execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { manual, USAGES } from '../../scripts/dev/manual.ts';
import { configSchema } from '../../src/config/schema.ts';
import { operations } from '../../src/operations/index.ts';

const ROOT = join(import.meta.dirname, '../..');
const run = promisify(execFile);
const pages = readdirSync(join(ROOT, 'man')).filter((file) => /\.[1-8]$/.test(file));
const text = (file: string) => readFileSync(join(ROOT, file), 'utf8');

/** The pages as they are installed, so that one may stand for another. */
let place: string;
beforeAll(() => {
  place = mkdtempSync(join(tmpdir(), 'dtc-xen-man-'));
  for (const page of pages) {
    const folder = join(place, `man${page.at(-1)}`);
    mkdirSync(folder, { recursive: true });
    symlinkSync(join(ROOT, 'man', page), join(folder, page));
  }
});
afterAll(() => rmSync(place, { recursive: true, force: true }));

async function shown(page: string, ...options: string[]): Promise<{ stdout: string; stderr: string }> {
  const env = {
    PATH: process.env['PATH'],
    LC_ALL: 'C.UTF-8',
    MANWIDTH: '100',
    MANROFFOPT: '',
    MAN_KEEP_STDERR: '1',
  };
  return run('man', ['--warnings', '-E', 'UTF-8', ...options, '-l', `man${page.at(-1)}/${page}`], {
    env,
    cwd: place,
  });
}

describe('manual pages', () => {
  it('are what is generated, and nothing else', () => {
    for (const [path, content] of manual()) expect(text(path), path).toBe(content);
    expect(pages.sort()).toEqual(
      [...manual().keys()].flatMap((path) => path.match(/^man\/(.*)/)?.[1] ?? []).sort(),
    );
  });

  it('are there for every program and every file', () => {
    const programs = [...Object.keys(USAGES), 'dtc-xen', 'dtc-xen_userconsole'];
    expect(programs.filter((name) => !pages.some((page) => page.replace(/\.[18]$/, '') === name))).toEqual(
      [],
    );
    expect(pages).toEqual(
      expect.arrayContaining(['dtc-xen.conf.5', 'dtc-xen-firewall.conf.5', 'dtc-xen-templates.7']),
    );
  });

  it.each(pages)('%s has a name that can be looked for, and no mistake in its language', async (page) => {
    const [{ stdout }, { stderr }] = await Promise.all([
      run('lexgrog', [`man${page.at(-1)}/${page}`], { cwd: place }),
      shown(page, '-Tutf8', '-Z'),
    ]);
    expect(stdout).toMatch(/: "\S+ - \S/);
    expect(stderr).toBe('');
  });

  it('say every key, every operation, every option', async () => {
    const [keys, list] = await Promise.all([shown('dtc-xen.conf.5'), shown('dtc-xen-operations.7')]);
    for (const key of Object.keys(configSchema.shape)) expect(keys.stdout).toContain(key);
    for (const { name } of operations) expect(list.stdout).toContain(name);
    expect((await shown('dtc_reinstall_os.8')).stdout).toMatch(
      /^ +--pass-file FILE\n +read the root password/m,
    );
    expect((await shown('dtc-xen.8')).stdout).toContain('dtc-xen-agent - SOAP server');
  });

  it('name one another rightly', () => {
    for (const page of pages) {
      for (const [, name, section] of text(`man/${page}.md`).matchAll(/\b(dtc[\w.-]+)\((\d)\)/g))
        expect(pages, page).toContain(`${name}.${section}`);
    }
  });
});

/** What a Tab after these words offers. */
function offers(file: string, ...words: string[]): string[] {
  const script = `. "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
    called=$(complete -p "$1"); called=\${called#*-F }; "\${called%% *}"; printf '%s\\n' "\${COMPREPLY[@]}"`;
  return execFileSync('bash', ['-euc', script, 'bash', join(ROOT, file), ...words], { encoding: 'utf8' })
    .split('\n')
    .filter((word) => word !== '');
}

describe('completion', () => {
  const agent = (...words: string[]) => offers('completions/dtc-xen-agent', 'dtc-xen-agent', ...words);

  it('knows commands, operations, keys and options', () => {
    expect(agent('ch')).toEqual(['check-config']);
    expect(agent('call', 'getFree')).toEqual(['getFreeSpace']);
    expect(agent('--config', 'x', 'config', 'get', 'perf_r')).toEqual(['perf_retention']);
    expect(agent('base', '')).toEqual(['list', 'refresh', 'drop']);
    expect(agent('base', 'drop', '')).toEqual(['all']);
    expect(agent('--')).toEqual(['--config', '--help', '--version']);
    expect(agent('--config', '/etc/host')).toContain('/etc/hosts');
    expect(offers('completions/dtc-xen', 'dtc-xen', 'pass')).toEqual(['passwd']);
    expect(offers('completions/dtc-xen-client', 'dtc-xen-client', 'https://x/', 'startV')).toEqual([
      'startVPS',
    ]);
    expect(offers('completions/dtc_setup_vps_disk', 'dtc_setup_vps_disk', '1', '2', '3', '')).toEqual([
      'lvm',
      'vbd',
    ]);
    expect(offers('completions/dtc_reinstall_os', 'dtc_reinstall_os', '--disk-type', 'l')).toEqual(['lvm']);
    const firewall = 'firewall/completions/dtc-xen-firewall';
    expect(offers(firewall, 'dtc-xen-firewall', 'set', 'soap_l')).toEqual(['soap_limit']);
  });

  it('offers nothing where anything may stand', () => {
    expect(agent('call', 'getVPSState', '')).toEqual([]);
    expect(offers('completions/dtc_setup_vps_disk', 'dtc_setup_vps_disk', '')).toEqual([]);
  });

  it('is bash without a mistake', () => {
    const files = [...manual().keys()].filter((path) => path.includes('completions/'));
    expect(files).toHaveLength(Object.keys(USAGES).length + 1);
    execFileSync('shellcheck', ['-s', 'bash', ...files], { cwd: ROOT });
  });
});
