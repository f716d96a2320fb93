// What every program says of itself, and without words.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { PROGRAMS } from '../../src/programs/run.ts';
import { agentProgram } from '../daemon.ts';

const ROOT = join(import.meta.dirname, '../..');
const AGENT = agentProgram();
const bin = mkdtempSync(join(tmpdir(), 'dtc-xen-version-'));
afterAll(() => rmSync(bin, { recursive: true }));

const [, VERSION = ''] =
  /^dtc-xen-agent \(([^)~]+)/.exec(readFileSync(join(ROOT, 'debian/changelog'), 'utf8')) ?? [];
const CLIENT = [...AGENT.slice(0, -1), (AGENT.at(-1) ?? '').replace('dtc-xen-agent', 'dtc-xen-client')];
const client = AGENT.length > 1 ? [...AGENT.slice(0, -1), join(ROOT, 'src/client/main.ts')] : CLIENT;
const words = new Map<string, readonly string[]>([
  ['dtc-xen-agent', [process.execPath, ...AGENT]],
  ['dtc-xen-client', [process.execPath, ...client]],
  ['dtc-xen-firewall', [join(ROOT, 'firewall/dtc-xen-firewall')]],
]);
for (const name of Object.keys(PROGRAMS)) {
  symlinkSync(AGENT.at(-1) ?? '', join(bin, name));
  words.set(name, [process.execPath, ...AGENT.slice(0, -1), join(bin, name)]);
}
function run(name: string, args: readonly string[]) {
  const [program = '', ...before] = words.get(name) ?? [];
  const { status, stdout, stderr } = spawnSync(program, [...before, ...args], { encoding: 'utf8' });
  return { code: status, out: stdout, said: stderr };
}

test.each([...words.keys()])('%s --version prints the version of the package', (name) => {
  expect(VERSION).toMatch(/^\d/);
  expect(run(name, ['--version'])).toEqual({ code: 0, out: `${name} ${VERSION}\n`, said: '' });
});

/** They take none, and answer. */
const WITHOUT = ['dtc-xen-volgroup', 'vgdisplay_free_size', 'xm_info_free_memory'];
test.each([...words.keys()].filter((name) => !WITHOUT.includes(name)))(
  '%s without arguments says how it is used, and does nothing',
  (name) => {
    const { code, out, said } = run(name, []);
    expect({ code, out }).toEqual({ code: 2, out: '' });
    expect(said).toBe(run(name, ['--help']).out);
    expect(said).toMatch(new RegExp(`^Usage: ${name} `));
  },
);
