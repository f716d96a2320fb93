// Installs a real Debian from the machine's own mirror onto image files, through the agent's job process.
import { execFileSync, spawn } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { loadConfig } from '../../src/config/load.ts';
import type { JobStatus, ReinstallRequest } from '../../src/core/ports.ts';
import { createDiskFiles } from '../../src/drivers/disk-files.ts';
import { createFileLocks, createVpsLocks } from '../../src/drivers/flock.ts';
import { createRunner } from '../../src/drivers/run.ts';
import { createJobs } from '../../src/jobs/jobs.ts';
import { createFakeNode, type FakeNode } from '../fakes/fake-node.ts';
import { SCRIPTS, vpsOf } from '../jobs/plan-harness.ts';
import { call, loopsOver, mountsBelow } from '../scripts/call.ts';

const MAIN = resolve(import.meta.dirname, '../../src/main.ts');
const vps = vpsOf('01');
const PASSWORD = `it's "secret" $HOME`;
const REQUEST: ReinstallRequest = {
  os: 'debian',
  memory_mb: 256,
  nics: [
    { ip: '192.0.2.10', netmask: '255.255.255.0', broadcast: '192.0.2.255' },
    { ip: '198.51.100.7', netmask: '255.255.255.255', broadcast: '198.51.100.7' },
  ],
  gateway: '192.0.2.1',
  dns: ['192.0.2.53', '192.0.2.54'],
  image_type: 'vbd',
};
const mirror = () => call('lib/apt-mirror', []).stdout.trim();
const hash = () =>
  execFileSync('openssl', ['passwd', '-6', '-stdin'], { input: PASSWORD, encoding: 'utf8' }).trim();

/** A node in a folder: its configuration, its disks, and jobs that the agent's own main runs. */
async function makeSite(node: FakeNode, root_mb: number, settings: Record<string, string> = {}) {
  const base = mkdtempSync(join(tmpdir(), 'reinstall-real-'));
  for (const folder of ['etc', 'xen/auto', 'state', 'run', 'mnt', 'os', 'app', 'modules/kernel']) {
    mkdirSync(join(base, folder), { recursive: true });
  }
  writeFileSync(join(base, 'etc/motd'), 'This is VPS_HOSTNAME.\n');
  writeFileSync(join(base, 'etc/authorized_keys2'), 'ssh-ed25519 AAAA the admin\n');
  for (const file of ['modules.order', 'modules.builtin']) writeFileSync(join(base, 'modules', file), '');
  const values = {
    provisioning_mount_point: `${base}/mnt`,
    etc_dir: `${base}/etc`,
    xen_dir: `${base}/xen`,
    state_dir: `${base}/state`,
    run_dir: `${base}/run`,
    os_dir: `${base}/os`,
    app_dir: `${base}/app`,
    scripts_dir: SCRIPTS,
    program_path: node.program_path,
    node_name: 'node1.example.com',
    job_runner: 'detached',
    KERNELPATH: node.kernel,
    INITRDPATH: node.initrd,
    KERNEL_RELEASE: '6.12.0-test',
    KMOD_PATH: `${base}/modules`,
    ...settings,
  };
  const config_file = join(base, 'dtc-xen.conf');
  writeFileSync(
    config_file,
    Object.entries(values)
      .map(([key, value]) => `${key}='${value}'\n`)
      .join(''),
  );
  const config = loadConfig(config_file);
  const runner = createRunner({ path: config.program_path });
  await createDiskFiles({ runner, config }).create(vps, { root_mb, swap_mb: 16 });
  const files = createFileLocks(runner);
  const locks = createVpsLocks({ run_dir: config.run_dir, locks: files });
  const jobs = createJobs({
    runner,
    locks: files,
    job_runner: 'detached',
    job_command: [
      process.execPath,
      '--import',
      import.meta.resolve('tsx'),
      MAIN,
      '--config',
      config_file,
      'job',
    ],
    program_path: config.program_path,
    state_dir: config.state_dir,
    mount_dir: config.provisioning_mount_point,
  });
  const site = {
    base,
    jobs,
    image: join(base, 'mnt/xen01.img'),
    async start(): Promise<JobStatus> {
      const lock = await locks.acquire(vps, 'a test');
      try {
        return await jobs.start('reinstall', vps, REQUEST, hash());
      } finally {
        await lock.release();
      }
    },
    async reached(step: string): Promise<void> {
      while ((await jobs.last(vps))?.steps.at(-1)?.name !== step) await sleep(50);
    },
    async ended(): Promise<JobStatus> {
      while (await jobs.current(vps)) await sleep(200);
      return (await jobs.last(vps)) as JobStatus;
    },
    log: () => jobs.installLog(vps, 0),
    /** What the installation left on the node besides its files: nothing. */
    left: () => ({
      mounts: mountsBelow(base),
      loops: loopsOver(base),
      processes: readdirSync('/proc').filter(
        (pid) => /^[0-9]+$/.test(pid) && Number(pid) !== process.pid && commandLine(pid).includes(base),
      ),
    }),
  };
  return site;
}
type Site = Awaited<ReturnType<typeof makeSite>>;

function commandLine(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1');
  } catch (error) {
    if (['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) return '';
    throw error;
  }
}

/** A job says that it has ended a moment before its process does. */
function nothingIsLeft({ left }: Site): Promise<void> {
  return vi.waitFor(() => expect(left()).toEqual({ mounts: [], loops: [], processes: [] }), 5_000);
}

let node: FakeNode;
/** The base that the first installation made. */
let bases: string;
beforeAll(async () => {
  node = await createFakeNode();
  bases = mkdtempSync(join(tmpdir(), 'reinstall-bases-'));
});
afterAll(async () => {
  rmSync(bases, { recursive: true });
  await node.cleanup();
});

describe('a real Debian', () => {
  let site: Site;
  let root = '';
  const text = (file: string) => readFileSync(join(root, file), 'utf8');

  beforeAll(async () => {
    site = await makeSite(node, 1024);
    await site.start();
    const ended = await site.ended();
    expect(ended.message, (await site.log())?.slice(-2000)).toBe(
      'Debian trixie is installed on xen01; startVPS boots it.',
    );
    expect(ended.state).toBe('succeeded');
    await nothingIsLeft(site);
    root = join(site.base, 'look');
    mkdirSync(root);
    execFileSync('mount', ['-o', 'loop,ro', site.image, root]);
  }, 180_000);
  afterAll(() => {
    if (root) execFileSync('umount', [root]);
    cpSync(join(site.base, 'state/base'), bases, { recursive: true });
    rmSync(site.base, { recursive: true });
  });

  it('has its packages, whole', () => {
    const list = execFileSync('chroot', [root, 'dpkg', '-l'], { encoding: 'utf8' }).split('\n').slice(5, -1);
    const packages = list.map((line) =>
      line
        .split(/[\s:]+/)
        .slice(0, 2)
        .join(' '),
    );
    for (const name of 'systemd-sysv udev ifupdown openssh-server kmod locales iproute2 login e2fsprogs'.split(
      ' ',
    )) {
      expect(packages).toContain(`ii ${name}`);
    }
    expect(packages.filter((line) => !line.startsWith('ii '))).toEqual([]);
    expect(existsSync(join(root, 'usr/sbin/policy-rc.d'))).toBe(false);
    expect(readdirSync(join(root, 'var/cache/apt/archives')).filter((name) => name.endsWith('.deb'))).toEqual(
      [],
    );
  });

  it('knows its disks, its name and its address', () => {
    expect(text('etc/fstab')).toMatch(
      /^\/dev\/xvda\t\/\text4\terrors=remount-ro\t0\t1\n\/dev\/xvdb\tnone\tswap/m,
    );
    expect(text('etc/hostname')).toBe('xen01\n');
    expect(text('etc/hosts')).toContain(
      '192.0.2.10\tmx.xen01.node1.example.com xen01.node1.example.com xen01\n',
    );
    expect(text('etc/network/interfaces')).toContain(
      'auto eth0\niface eth0 inet static\n\taddress 192.0.2.10\n\tnetmask 255.255.255.0\n\tbroadcast 192.0.2.255\n\tgateway 192.0.2.1\n\nauto eth0:1\niface eth0:1 inet static\n\taddress 198.51.100.7\n\tnetmask 255.255.255.255\n\tbroadcast 198.51.100.7\n',
    );
    expect(text('etc/resolv.conf')).toBe('nameserver 192.0.2.53\nnameserver 192.0.2.54\n');
    expect(text('etc/machine-id')).toBe('');
  });

  it('lets root in: with the password, and with the admin key', () => {
    const [, shadow = ''] =
      text('etc/shadow')
        .split('\n')
        .find((line) => line.startsWith('root:'))
        ?.split(':') ?? [];
    const [, , salt = ''] = shadow.split('$');
    const again = execFileSync('openssl', ['passwd', '-6', '-salt', salt, '-stdin'], {
      input: PASSWORD,
      encoding: 'utf8',
    });
    expect(again.trim()).toBe(shadow);
    expect(text('root/.ssh/authorized_keys')).toBe('ssh-ed25519 AAAA the admin\n');
    expect(statSync(join(root, 'root/.ssh/authorized_keys')).mode & 0o777).toBe(0o600);
    expect(statSync(join(root, 'root/.ssh')).mode & 0o777).toBe(0o700);
    expect(text('etc/motd')).toBe('This is mx.xen01.node1.example.com.\n');
    expect(readdirSync(join(root, 'etc/ssh')).filter((name) => name.endsWith('_key')).length).toBeGreaterThan(
      0,
    );
  });

  it('has a console, locales, modules and apt sources', () => {
    const getty = join(root, 'etc/systemd/system/getty.target.wants/serial-getty@hvc0.service');
    expect(existsSync(join(root, readlinkSync(getty)))).toBe(true);
    expect(text('etc/default/locale')).toContain('LANG=C.UTF-8');
    expect(execFileSync('chroot', [root, 'locale', '-a'], { encoding: 'utf8' })).toContain('en_US.utf8');
    expect(existsSync(join(root, 'lib/modules/6.12.0-test/modules.dep'))).toBe(true);
    expect(readlinkSync(join(root, 'etc/systemd/network/99-default.link'))).toBe('/dev/null');
    expect(text('etc/apt/sources.list.d/debian.sources')).toContain(
      `Types: deb\nURIs: ${mirror()}\nSuites: trixie trixie-updates\nComponents: main\n`,
    );
  });

  it('has a guest configuration and swap space; the log says how it went, without the password', async () => {
    expect(readFileSync(join(site.base, 'xen/xen01'), 'utf8')).toContain(`kernel = "${node.kernel}"`);
    expect(readlinkSync(join(site.base, 'xen/auto/xen01'))).toBe('../xen01');
    expect(
      execFileSync('blkid', ['-o', 'value', '-s', 'TYPE', join(site.base, 'mnt/xen01.swap.img')]).toString(),
    ).toBe('swap\n');
    expect(statSync(site.image).blocks * 512).toBeGreaterThanOrEqual(1024 * 1024 * 1024);
    const log = (await site.log()) ?? '';
    expect(log).toContain('reinstall-bootstrap: trixie is on');
    expect(log).not.toContain('secret');
    expect(log).not.toContain('$6$');
  });
});

describe('an installation that comes to nothing', () => {
  let site: Site | undefined;
  let server: Server | undefined;
  afterEach(() => {
    server?.closeAllConnections();
    server?.close();
    server = undefined;
    if (site) rmSync(site.base, { recursive: true });
    site = undefined;
  });

  async function fails({ configured = false } = {}): Promise<JobStatus> {
    const ended = await (site as Site).ended();
    expect(ended.state).toBe('failed');
    expect(ended.steps.at(-1)?.name).toBe('bootstrap');
    await nothingIsLeft(site as Site);
    expect(existsSync(join((site as Site).base, 'xen/xen01'))).toBe(configured);
    return ended;
  }

  /** The machine's mirror, until it is down after some packages. */
  async function dyingMirror(packages: number): Promise<string> {
    let served = 0;
    const upstream = mirror();
    server = createServer((request, response) => {
      const isPackage = request.url?.endsWith('.deb');
      if (isPackage) served += 1;
      if (isPackage && served > packages) {
        request.socket.destroy();
        return;
      }
      fetch(`${upstream}${request.url}`)
        .then(async (answer) => {
          response.writeHead(answer.status, { 'content-type': 'application/octet-stream' });
          response.end(Buffer.from(await answer.arrayBuffer()));
        })
        .catch(() => response.destroy());
    });
    await new Promise<void>((listening) => server?.listen(0, '127.0.0.1', listening));
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  it('the mirror is not there', async () => {
    site = await makeSite(node, 256, { debian_repo: 'http://127.0.0.1:9/debian' });
    await site.start();
    const { message } = await fails();
    expect(message).toMatch(/^The reinstall of xen01 failed in step bootstrap: .*reinstall it\.$/);
    expect(await site.log()).toContain('Connection refused');
  }, 300_000);

  it('the mirror goes down in the middle', async () => {
    site = await makeSite(node, 512, { debian_repo: await dyingMirror(20) });
    await site.start();
    const { message } = await fails();
    expect(message).toContain('Its disks were made anew and hold an unfinished system');
  }, 120_000);

  it('the mirror goes down in the middle, and there is a system already: it stays, byte for byte', async () => {
    site = await makeSite(node, 512, { debian_repo: await dyingMirror(20) });
    const [disk, config] = [join(site.base, 'mnt/xen01.img'), join(site.base, 'xen/xen01')];
    mkdirSync(join(site.base, 'old/etc'), { recursive: true });
    writeFileSync(join(site.base, 'old/etc/marker'), "the customer's data\n");
    execFileSync('mkfs.ext4', ['-q', '-F', '-d', join(site.base, 'old'), disk]);
    writeFileSync(config, 'name = "xen01"\n');
    const contents = () => execFileSync('sha256sum', [disk, config], { encoding: 'utf8' });
    const before = contents();
    await site.start();
    const { message } = await fails({ configured: true });
    expect(message).toMatch(/in step bootstrap: .*The system that was there is as it was\.$/);
    expect(contents()).toBe(before);
    expect(readdirSync(join(site.base, 'mnt')).filter((name) => name.includes('.new'))).toEqual([]);
  }, 120_000);

  it('the disk is full', async () => {
    site = await makeSite(node, 128);
    cpSync(bases, join(site.base, 'state/base'), { recursive: true });
    await site.start();
    await fails();
    expect(await site.log()).toMatch(/No space left on device|enough free space/);
  }, 120_000);

  it('the job is killed in the middle of the bootstrap', async () => {
    site = await makeSite(node, 512);
    const { id } = await site.start();
    await site.reached('bootstrap');
    await sleep(3000);
    const pids = readdirSync('/proc').filter((pid) => /^[0-9]+$/.test(pid));
    const jobs = pids.filter(
      (pid) => commandLine(pid).startsWith(process.execPath) && commandLine(pid).includes(id),
    );
    expect(jobs.length).toBe(1);
    process.kill(Number(jobs[0]), 'SIGKILL');
    const { message } = await fails();
    expect(message).toContain('was cut off in step bootstrap');
  }, 300_000);
});

describe('reinstall-bootstrap by hand', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'bootstrap-'));
    execFileSync('truncate', ['-s', '512M', join(folder, 'disk')]);
    expect(call('reinstall-mkfs', ['--root', join(folder, 'disk')]).exit_code).toBe(0);
    expect(
      call('reinstall-mount', ['--root', join(folder, 'disk'), '--on', join(folder, 'root')]).exit_code,
    ).toBe(0);
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  it.each(['mmdebstrap', 'debootstrap'])(
    'killed with -9 while %s works, it leaves no process and no mount of its own',
    async (tool) => {
      const root = join(folder, 'root');
      const script = spawn(
        join(SCRIPTS, 'reinstall-bootstrap'),
        ['--root', root, '--release', 'trixie', '--tool', tool],
        {
          stdio: 'ignore',
        },
      );
      const closed = new Promise((ended) => script.once('close', ended));
      while (!existsSync(join(root, 'var/lib/dpkg')) && script.exitCode === null) await sleep(50);
      expect(script.exitCode).toBeNull();
      script.kill('SIGKILL');
      await closed;
      const running = () =>
        readdirSync('/proc').filter((pid) => /^[0-9]+$/.test(pid) && commandLine(pid).includes(root));
      for (let tries = 0; running().length > 0 && tries < 100; tries += 1) await sleep(20);
      expect(running()).toEqual([]);
      expect(mountsBelow(folder)).toEqual([root]);
      expect(call('reinstall-umount', [root])).toMatchObject({ exit_code: 0, stderr: '' });
      expect([...mountsBelow(folder), ...loopsOver(folder)]).toEqual([]);
    },
    300_000,
  );
});
