// The programs that an admin calls by hand, by their names, beside a running daemon.
import { spawn } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
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
/** A file of /proc; nothing where its process has gone meanwhile. */
function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
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

describe("dtc_reinstall_os with DTC-Xen's options for one VPS", () => {
  /** A template that keeps what it was called with. */
  function keeping(): string {
    const said = join(bin, 'said');
    const folder = join(site.folder.path, 'os/keeping');
    mkdirSync(folder, { recursive: true });
    const tiny = join(site.folder.path, 'os/tiny/install_os');
    const lines = ['#!/bin/sh', `printf '%s ' "$@" >'${said}'`, `exec '${tiny}' "$@"`];
    writeFileSync(join(folder, 'install_os'), `${lines.join('\n')}\n`, { mode: 0o755 });
    for (const name of ['custom_os', 'setup_network'])
      writeFileSync(join(folder, name), '#!/bin/sh\n', { mode: 0o755 });
    return said;
  }
  const as = (vps: string, os: string) => options(vps).map((word) => (word === 'tiny' ? os : word));

  it('takes kernel, names, disks and MAC address as they are said, for this VPS alone', async () => {
    const said = keeping();
    const [kernel, initrd, modules] = ['own-kernel', 'own-initrd', 'own-modules'].map((name) =>
      join(bin, name),
    );
    for (const file of [kernel, initrd]) writeFileSync(file as string, '');
    mkdirSync(modules as string);
    await setup('08');
    const own = [
      ...['--kernel', kernel, '--initrd', initrd, '--kernel-release', '6.1-own', '--kmod-path', modules],
      ...['--mac', '00:16:3E:01:02:03', '--vps-fqdn', 'www.example.com', '--vps-domain', 'example.com'],
      ...['--node-fqdn', 'other.example.com', '--xen-domu-hdd-dev-type', 'sda', '--lvm-name', 'vg0'],
      ...['--virt-type', 'xen', '--vnc-pass', 'unused', '--boot-iso', 'unused.iso'],
    ] as string[];
    const { code, said: errors } = await program(
      'dtc_reinstall_os',
      [...as('08', 'keeping'), ...own],
      'geheim',
    );
    expect([code, errors]).toEqual([0, '']);
    const arguments_ = readFileSync(said, 'utf8');
    for (const pair of [
      ...[
        `--kernel ${kernel} `,
        `--initrd ${initrd} `,
        '--kernel-release 6.1-own ',
        `--kmod-path ${modules} `,
      ],
      ...['--mac 00:16:3e:01:02:03 ', '--vps-fqdn www.example.com ', '--vps-domain example.com '],
      ...['--node-fqdn other.example.com ', '--xen-domu-hdd-dev-type sd ', '--lvm-name vg0 '],
    ])
      expect(arguments_).toContain(pair);
    const written = guest('xen08');
    expect(written).toContain(`kernel = "${kernel}"`);
    expect(written).toContain(`ramdisk = "${initrd}"`);
    expect(written).toContain('mac=00:16:3e:01:02:03,');
    expect(written).toContain('root = "/dev/sda ro"');

    await setup('09');
    expect(await program('dtc_reinstall_os', as('09', 'keeping'), 'geheim')).toMatchObject({ code: 0 });
    expect(guest('xen09')).not.toContain(kernel);
    expect(guest('xen09')).toContain('root = "/dev/xvda ro"');
  });

  it.each([
    [['--kernel', '/none/kernel'], 'There is no kernel /none/kernel'],
    [['--kmod-path', '/none/modules'], 'There is no folder /none/modules of kernel modules'],
    [['--mac', '00:16:3e:01:02:03'], 'xen10 cannot have the MAC address 00:16:3e:01:02:03: '],
    [['--lvm-name', 'vg9'], '--lvm-name is vg9, and the disks of VPSes are in the volume group vg0'],
  ])('refuses what is not there or another VPS has, before anything is touched: %j', async (own, why) => {
    await setup('10');
    const { code, said } = await program('dtc_reinstall_os', [...options('10'), ...own], 'geheim');
    expect([code, said]).toEqual([1, expect.stringContaining(why)]);
    expect(existsSync(join(site.folder.path, 'xen/xen10'))).toBe(false);
  });

  it('gives a fully virtualized guest its screen and its iso', async () => {
    await setup('11');
    const password = join(bin, 'screen');
    writeFileSync(password, 's3cret\n');
    const screen = ['--vnc-pass-file', password, '--mac', '00:16:3e:01:02:0b'];
    expect(await program('dtc_reinstall_os', [...as('11', 'xenhvm'), ...screen], 'geheim')).toMatchObject({
      code: 0,
      said: '',
      out: expect.stringContaining('Wrote the configuration of xen11'),
    });
    expect(guest('xen11')).toMatch(/vncpasswd = "s3cret"/);
    expect(guest('xen11')).toContain('mac=00:16:3e:01:02:0b,');
    expect(
      await program('dtc_reinstall_os', [...as('11', 'xenhvm'), '--boot-iso', 'none.iso'], 'geheim'),
    ).toMatchObject({
      code: 1,
      said: expect.stringContaining('xen11 has no such iso'),
    });
  });
});

describe("the programs that old scripts call by DTC-Xen's names", () => {
  it('print how much is free, as a number alone', async () => {
    const { disk_mb, memory_mb } = await site.modern('getFreeSpace', {});
    expect(await program('vgdisplay_free_size', [])).toEqual({ code: 0, out: `${disk_mb}\n`, said: '' });
    expect(await program('xm_info_free_memory', [])).toEqual({ code: 0, out: `${memory_mb}\n`, said: '' });
  });

  /** FW_PARAMS as DTC-Xen made them, and the words of XENU_EXTRA_PARM last. */
  const forwarded = (vps: string, os: string) => [
    ...['--disk-type', 'lvm', '--xen-domu-hdd-dev-type', 'xvd', '-os', os, '-ram', '128', '-path', '/mnt/x'],
    ...['-vpsid', vps, '--node-fqdn', 'node1.example.com', '-nic', NIC, '-nic', NIC.replace('.10,', '.20,')],
    ...['-dns', '192.0.2.53', '-gw', '192.0.2.1', '--virt-type', 'xen', '--mac', `00:16:3e:0a:0a:${vps}`],
    ...['--kernel', site.node.kernel, '--kmod-path', '/none', '--vps-fqdn', `mx.xen${vps}.node1.example.com`],
    ...['--lvm-name', 'vg0', '--xenu_extra_parm', 'quiet', '4', 'TERM=xterm'],
  ];

  it('write the configuration of a stopped VPS, and its autostart link', async () => {
    await setup('12');
    expect(await program('dtc-xen_domU_gen_xen_conf', forwarded('12', 'lenny'))).toEqual({
      code: 0,
      out: 'Wrote the configuration of xen12\n',
      said: '',
    });
    expect(guest('xen12')).toContain('mac=00:16:3e:0a:0a:12,bridge=xenbr0,ip=192.0.2.10 192.0.2.20');
    expect(guest('xen12')).toContain('extra = "net.ifnames=0 quiet 4 TERM=xterm console=hvc0"');
    expect(existsSync(join(site.folder.path, 'xen/auto/xen12'))).toBe(true);
  });

  it('write those of BSD and of fully virtualized guests', async () => {
    await setup('13');
    const args = (os: string) => forwarded('13', os).slice(0, -4);
    expect(await program('dtc-xen_domU_gen_xen_conf', args('xenhvm'))).toMatchObject({ code: 0, said: '' });
    expect(guest('xen13')).toContain('type = "hvm"');
    expect(await program('dtc-xen_domU_gen_xen_conf', args('netbsd'))).toMatchObject({ code: 0, said: '' });
    expect(guest('xen13')).toContain('netbsd');
  });

  it('write nothing of a VPS that is being installed: that is done when its system is whole', async () => {
    const folder = join(site.folder.path, 'os/calling');
    mkdirSync(folder);
    const tiny = join(site.folder.path, 'os/tiny');
    const generate = join(bin, 'dtc-xen_domU_gen_xen_conf');
    const calls = `exec '${process.execPath}' '${generate}' "$@" --config '${site.daemon().config_file}'`;
    const lines = { install_os: `exec '${tiny}/install_os' "$@"`, custom_os: calls, setup_network: '' };
    for (const [name, line] of Object.entries(lines))
      writeFileSync(join(folder, name), `#!/bin/sh\n${line}\n`, { mode: 0o755 });
    await setup('14');
    const words = options('14').map((word) => (word === 'tiny' ? 'calling' : word));
    const { code, out } = await program('dtc_reinstall_os', ['-v', ...words], 'geheim');
    expect(out).toContain(
      'xen14 is being installed: the agent writes its configuration when the system is whole.',
    );
    expect(code).toBe(0);
    expect(guest('xen14')).toContain('name = "xen14"');
  });

  it('refuse what is running, and what has no disks', async () => {
    expect(await program('dtc-xen_domU_gen_xen_conf', forwarded('15', 'lenny'))).toMatchObject({
      code: 1,
      said: expect.stringContaining('xen15'),
    });
    await site.modern('startVPS', { vpsname: 'xen12' });
    expect(await program('dtc-xen_domU_gen_xen_conf', forwarded('12', 'lenny'))).toMatchObject({
      code: 1,
      said: expect.stringContaining('xen12 cannot be configured'),
    });
  });
});

describe('a password on the command line', () => {
  it('is in no argument list and no environment while the program works', async () => {
    rmSync(join(site.folder.path, 'go'), { force: true });
    await setup('16');
    const slow = options('16').map((word) => (word === 'tiny' ? 'slow' : word));
    const ended = program('dtc_reinstall_os', [...slow, '-pass', 'geheim-am-stueck']);
    await expect
      .poll(() => site.modern('getVPSState', { vpsname: 'xen16' }), { timeout: 120_000 })
      .toMatchObject({ state: 'mkos' });
    const seen = readdirSync('/proc')
      .filter((name) => /^[0-9]+$/.test(name) && name !== String(process.pid))
      .flatMap((pid) => ['cmdline', 'environ'].map((file) => join('/proc', pid, file)))
      .filter((file) => textOf(file).includes('geheim-am-stueck'));
    writeFileSync(join(site.folder.path, 'go'), '');
    expect(await ended).toMatchObject({ code: 0 });
    expect(seen).toEqual([]);
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
    ['dtc_reinstall_os', [...options('01'), '--kernel', 'boot/x'], '--kernel must be an absolute path.'],
    ['dtc_reinstall_os', [...options('01'), '--mac', '01:16:3e:00:00:01'], '--mac must not be a multicast'],
    ['dtc_reinstall_os', [...options('01'), '--mac', '00:16:3e'], '--mac must be an address'],
    ['dtc_reinstall_os', [...options('01'), '--vps-fqdn', 'a b'], '--vps-fqdn must be a host name.'],
    ['dtc_reinstall_os', [...options('01'), '--kernel-release', '../x'], '--kernel-release must be'],
    ['dtc-xen_domU_gen_xen_conf', ['-vpsid', '01', '-ram', '64'], '-nic is missing.'],
    ['dtc-xen_domU_gen_xen_conf', ['01', '-nic', NIC, '-ram', '64'], 'takes options alone: what is 01?'],
    ['vgdisplay_free_size', ['vg0'], 'takes 0 arguments, not 1.'],
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
