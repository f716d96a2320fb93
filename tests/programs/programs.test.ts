// The programs that an admin calls by hand, by their names, beside a running daemon.
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseClientArguments } from '../../src/client/arguments.ts';
import { PROGRAMS, runProgram } from '../../src/programs/run.ts';
import { agentProgram } from '../daemon.ts';
import { type Site, startSite } from '../site.ts';

const AGENT = agentProgram();
const NIC = '192.0.2.10,255.255.255.0,192.0.2.255';

let site: Site;
let bin: string;
beforeAll(async () => {
  bin = mkdtempSync(join(tmpdir(), 'dtc-xen-programs-'));
  for (const name of Object.keys(PROGRAMS)) symlinkSync(AGENT.at(-1) ?? '', join(bin, name));
  const kernel = join(bin, 'netbsd');
  writeFileSync(kernel, '');
  site = await startSite({ config: { bsd_kernel_path: kernel } });
});
afterAll(async () => {
  await site?.stop();
  rmSync(bin, { recursive: true, force: true });
});

interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly said: string;
}

async function program(name: string, args: readonly string[], input = ''): Promise<Ended> {
  const words = [...AGENT.slice(0, -1), join(bin, name), ...args];
  const child = spawn(process.execPath, [...words, '--config', site.daemon().config_file]);
  child.stdin.end(input);
  const ended = new Promise<number | null>((done) => child.once('close', done));
  const [out, said] = await Promise.all([text(child.stdout), text(child.stderr)]);
  return { code: await ended, out, said };
}
/** The same in this process: what comes to nothing before there is an agent. */
async function wordsOf(name: string, args: readonly string[]): Promise<Ended> {
  const [input, output, messages] = [new PassThrough(), new PassThrough(), new PassThrough()];
  const terminal = { input, output, messages } as unknown as Parameters<typeof runProgram>[3];
  const open = () => Promise.reject(new Error('there is no agent'));
  const code = await runProgram(name, args, open, terminal);
  for (const stream of [output, messages]) stream.end();
  return { code, out: await text(output), said: await text(messages) };
}
const setup = (vps: string) => program('dtc_setup_vps_disk', [vps, '64', '16', 'lvm']);
const guest = (vps: string) => readFileSync(join(site.folder.path, 'xen', vps), 'utf8');
const options = (vps: string) => [
  '-vpsid',
  vps,
  '-ram',
  '128',
  '-nic',
  NIC,
  '-os',
  'tiny',
  '-gw',
  '192.0.2.1',
];

describe('disks', () => {
  it('are made, and again; other sizes are refused as the daemon does', async () => {
    expect(await setup('01')).toEqual({ code: 0, out: 'Made the disks of xen01\n', said: '' });
    expect(await setup('xen01')).toMatchObject({ code: 0, out: 'xen01 has these disks already\n' });
    expect(await program('dtc_setup_vps_disk', ['01', '65', '16'])).toEqual({
      code: 1,
      out: '',
      said: expect.stringMatching(
        /^dtc_setup_vps_disk: xen01 has disks of other sizes .*Remove it with killVPS/,
      ),
    });
    expect(await program('dtc_kill_vps_disk', ['01', 'loopback'])).toMatchObject({
      code: 1,
      said: expect.stringContaining('has lvm disks, and imagetype is vbd'),
    });
    expect(await program('dtc_kill_vps_disk', ['01'])).toMatchObject({
      code: 0,
      out: 'Deleted xen01 with its lvm disks\n',
    });
  });

  it('are in the volume group that dtc-xen-volgroup prints', async () => {
    expect(await program('dtc-xen-volgroup', [])).toEqual({ code: 0, out: 'vg0\n', said: '' });
  });
});

describe('dtc_reinstall_os', () => {
  it('installs with the old options, prints the log, and ends when the installation does', async () => {
    await setup('02');
    const { code, out, said } = await program('dtc_reinstall_os', ['-v', ...options('02')], 'geheim\nmore');
    expect(out).toMatch(/^OK, started mkos\.[\s\S]*installing tiny\n[\s\S]*is installed on/);
    expect([code, said]).toEqual([0, '']);
    expect(guest('xen02')).toMatch(/^memory = 128$/m);
  });

  it('installs with the older arguments, and says what is wrong with a password among them', async () => {
    await setup('03');
    const older = ['03', '64', '96', '192.0.2.11 192.0.2.12', 'tiny', 'lvm'];
    const { code, out, said } = await program('dtc_reinstall_os', [...older, '-pass', 'geheim']);
    expect([code, said]).toEqual([0, expect.stringContaining('give it by standard input')]);
    expect(out).not.toContain('installing tiny');
    expect(guest('xen03')).toMatch(/192\.0\.2\.12/);
  });

  it('tells what is refused, and a job that fails', async () => {
    const password = join(bin, 'password');
    writeFileSync(password, 'geheim\n');
    expect(await program('dtc_reinstall_os', [...options('04'), '--pass-file', password])).toMatchObject({
      code: 1,
      said: expect.stringMatching(/^dtc_reinstall_os: xen04 has no/),
    });
    mkdirSync(join(site.folder.path, 'os/broken'));
    writeFileSync(join(site.folder.path, 'os/broken/install_os'), '#!/bin/sh\nexit 3\n', { mode: 0o755 });
    await setup('04');
    const broken = options('04').map((word) => (word === 'tiny' ? 'broken' : word));
    expect(await program('dtc_reinstall_os', broken, 'geheim\n')).toMatchObject({
      code: 1,
      said: expect.stringMatching(/^The reinstall of xen04 failed in step bootstrap/),
    });
    expect(await program('dtc_reinstall_os', options('04'), '')).toMatchObject({
      code: 1,
      said: expect.stringContaining('password'),
    });
  });

  it('waits for nobody: what the daemon does with a VPS keeps others off', async () => {
    await setup('05');
    const slow = options('05').map((word) => (word === 'tiny' ? 'slow' : word));
    const running = program('dtc_reinstall_os', slow, 'geheim\n');
    await expect
      .poll(() => site.modern('getVPSState', { vpsname: 'xen05' }), { timeout: 120_000 })
      .toMatchObject({ state: 'mkos' });
    expect(await program('dtc_kill_vps_disk', ['05'])).toMatchObject({
      code: 1,
      said: expect.stringContaining('xen05 is busy: a reinstall'),
    });
    writeFileSync(join(site.folder.path, 'go'), '');
    expect(await running).toMatchObject({ code: 0 });
  });
});

describe('configurations', () => {
  it('of fully virtualized guests are written, with the password of standard input', async () => {
    await setup('06');
    const words = ['06', '512', '192.0.2.13 192.0.2.14', '-', 'hdd'];
    expect(await program('dtc_write_xenhvm_conf', words, 'geheim\n')).toEqual({
      code: 0,
      out: expect.stringMatching(/^Wrote the configuration of xen06\. Its screen is at port 5906 .*\n$/),
      said: '',
    });
    expect(guest('xen06')).toContain('geheim');
    words[3] = 'no_vnc';
    expect(await program('dtc_write_xenhvm_conf', words)).toMatchObject({ code: 0, said: '' });
    expect(guest('xen06')).not.toContain('geheim');
    words[3] = 'seen';
    expect(await program('dtc_write_xenhvm_conf', words)).toMatchObject({
      code: 0,
      said: expect.stringContaining('seen by everybody'),
    });
  });

  it('of BSD guests are written', async () => {
    await setup('07');
    const words = ['07', '256', 'normal', '192.0.2.15'];
    expect(await program('dtc_change_bsd_kernel', words)).toMatchObject({ code: 0 });
    expect(guest('xen07')).toContain('netbsd');
  });
});

describe('a command line that is wrong', () => {
  it.each([
    ['dtc_setup_vps_disk', ['01', '64'], 'takes 3 or 4 arguments, not 2.'],
    ['dtc_setup_vps_disk', ['01', '64', '16', '--force'], "Unknown option '--force'"],
    ['dtc-xen-volgroup', ['vg0'], 'takes 0 arguments, not 1.'],
    ['dtc_reinstall_os', ['-vpsid', '01'], '-nic is missing.'],
    ['dtc_reinstall_os', ['-nic', NIC, '-vpsid', '01', '-ram', '64'], '-os is missing.'],
    ['dtc_reinstall_os', [...options('01'), '--kernel', '/boot/x'], '--kernel is said by KERNELPATH'],
    ['dtc_reinstall_os', [...options('01'), '--virt-type', 'vz'], '--virt-type must be xen.'],
    ['dtc_reinstall_os', ['01', '64', '64'], 'takes options, or 5 or 6 arguments.'],
  ])('%s %j', async (name, args, message) => {
    const { code, out, said } = await wordsOf(name, args);
    expect([code, out]).toEqual([2, '']);
    expect(said).toContain(`${name}: ${message}`);
    expect(said).toContain(`Usage: ${name}`);
  });

  it.each(Object.keys(PROGRAMS))('%s --help says how it is right', async (name) => {
    const { code, out, said } = await wordsOf(name, ['--help']);
    expect([code, said]).toEqual([0, '']);
    expect(out).toMatch(new RegExp(`^Usage: ${name}`));
  });
});

it("dtc-xen-client takes user and password in the URL, as DTC-Xen's did", () => {
  const given = parseClientArguments(['https://me:p%40ss@node1:8089/', 'startVPS', 'xen01'], {});
  expect(given).toMatchObject({ url: 'https://node1:8089/', user: 'me', password: 'p@ss', args: ['xen01'] });
});
