// An admin's image, an appliance on it, guests that install themselves and a new root password, through the running daemon
// with the real scripts.
import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Site, startSite } from '../site.ts';
import { copyPrograms, TEMPLATES } from './small-root.ts';

const VPS = { vpsname: 'xen01' };
let site: Site;
let images: string;

function makeImage(name: string): void {
  const tree = join(images, 'tree');
  copyPrograms(tree, ['sh', 'cat', 'date', 'sync', 'rm']);
  for (const folder of ['etc/ssh', 'root', 'usr/lib/systemd/system', 'mnt', 'media']) {
    mkdirSync(join(tree, folder), { recursive: true });
  }
  writeFileSync(join(tree, 'etc/shadow'), 'root:*:19000:0:99999:7:::\n', { mode: 0o640 });
  writeFileSync(join(tree, 'etc/passwd'), 'root:x:0:0::/root:/bin/sh\n');
  writeFileSync(join(tree, 'etc/machine-id'), 'the machine of the image\n');
  writeFileSync(join(tree, 'etc/ssh/ssh_host_rsa_key'), 'the key of the image\n');
  writeFileSync(join(tree, 'usr/sbin/init'), '');
  execFileSync('tar', ['-C', tree, '-czf', join(images, `${name}.tar.gz`), '.']);
  const sum = execFileSync('sha256sum', [`${name}.tar.gz`], { cwd: images });
  writeFileSync(join(images, `${name}.sha256`), sum);
}

/** Runs a command in the root of the VPS, mounted where nobody else sees it. */
function inRoot(...command: string[]): string {
  const image = join(site.folder.path, 'mnt/xen01.img');
  const shell = 'mount -o loop "$1" /mnt && shift && chroot /mnt "$@"';
  return execFileSync(
    'unshare',
    ['--mount', '--propagation', 'slave', 'sh', '-c', shell, 'sh', image, ...command],
    { encoding: 'utf8' },
  );
}

async function reinstall(ostype: string, password = 'one'): Promise<string> {
  const network = { nics: '192.0.2.10,,', gateway: '', dns: '' };
  await site.modern('reinstallVPSos', { ...VPS, ostype, ramsize: 128, password, ...network });
  const { state, message } = await site.jobEnd('xen01');
  const log = await site.modern('getVPSInstallLog', { ...VPS, numlines: 40 });
  expect(state, JSON.stringify(log)).toBe('succeeded');
  return message;
}

beforeAll(async () => {
  images = mkdtempSync(join(tmpdir(), 'images-'));
  makeImage('small');
  const kernel = join(images, 'netbsd-INSTALL');
  writeFileSync(kernel, '');
  site = await startSite({ config: { image_dir: images, bsd_install_kernel_path: kernel } });
  cpSync(TEMPLATES, join(site.folder.path, 'os'), { recursive: true });
  const forum = join(site.folder.path, 'app/forum');
  mkdirSync(join(forum, 'setup-folder'), { recursive: true });
  writeFileSync(join(forum, 'depends'), 'image-small\n');
  writeFileSync(join(forum, 'setup-script'), '#!/bin/sh\ncat setup-folder/note\n');
  chmodSync(join(forum, 'setup-script'), 0o755);
  writeFileSync(join(forum, 'setup-folder/note'), 'the forum is set up\n');
  await site.modern('setupLVMDisks', { ...VPS, hddsize: 64, swapsize: 16, imagetype: 'vbd' });
}, 120_000);
afterAll(async () => {
  await site.stop();
  rmSync(images, { recursive: true });
});

it('lists templates with their variants, and images', async () => {
  expect((await site.modern('getInstallableOS'))['os']).toEqual([
    ...['debian', 'debian-bookworm', 'debian-trixie', 'image-small'],
    ...['rocky', 'rocky-10', 'rocky-8', 'rocky-9', 'slow', 'tiny'],
    ...['ubuntu', 'ubuntu-jammy', 'ubuntu-noble'],
  ]);
});

it('installs an image, as a machine of its own', async () => {
  expect(await reinstall('image-small')).toMatch(/^image-small is installed on xen01; startVPS boots it\./);
  expect(inRoot('cat', '/etc/hostname')).toBe('xen01\n');
  expect(inRoot('cat', '/etc/machine-id')).toBe('');
  expect(inRoot('cat', '/etc/ssh/ssh_host_rsa_key')).toContain('BEGIN OPENSSH PRIVATE KEY');
  expect(inRoot('cat', '/etc/systemd/system/dtc-xen-growfs.service')).toContain('grow-root');
  expect(site.mounts()).toEqual([]);
}, 300_000);

it('changes the root password of the stopped VPS', async () => {
  const hash = () => /^root:([^:]*)/.exec(inRoot('cat', '/etc/shadow'))?.[1] ?? '';
  const before = hash();
  await site.modern('changeVPSrootPassword', { ...VPS, password: 'quite: another' });
  const [, , salt = ''] = hash().split('$');
  const again = spawnSync('openssl', ['passwd', '-6', '-salt', salt, '-stdin'], { input: 'quite: another' });
  expect(again.stdout.toString().trim()).toBe(hash());
  expect(hash()).not.toBe(before);
  expect(JSON.stringify(site.daemon().logs())).not.toContain('another');
}, 300_000);

it('sets up an appliance at the first boot', async () => {
  expect(await reinstall('forum')).toMatch(/^forum is installed on xen01; startVPS boots it\./);
  expect(inRoot('/usr/lib/dtc-xen/first-boot/run')).toContain('the forum is set up\n');
  expect(inRoot('sh', '-c', 'echo /etc/systemd/system/dtc-xen-*')).toBe(
    '/etc/systemd/system/dtc-xen-growfs.service\n',
  );
}, 300_000);

it('gives an appliance that wants it the root password, and leaves it nowhere else', async () => {
  const forum = join(site.folder.path, 'app/forum');
  writeFileSync(join(forum, 'wants-root-password'), '');
  writeFileSync(join(forum, 'setup-script'), '#!/bin/sh\necho "root has $1"\n');
  expect(await reinstall('forum', 'one-for-all')).toMatch(/^forum is installed/);
  const found = spawnSync('grep', ['-r', '-l', '-s', '--exclude=*.img', 'one-for-all', site.folder.path], {
    encoding: 'utf8',
  });
  expect([found.status, found.stdout]).toEqual([1, '']);
  expect(inRoot('/usr/lib/dtc-xen/first-boot/run')).toContain('root has one-for-all\n');
  expect(inRoot('sh', '-c', 'echo /root/.dtc*')).toBe('/root/.dtc*\n');
}, 300_000);

it.each([
  ['xenhvm', 'type = "hvm"'],
  ['netbsd', 'netbsd-INSTALL'],
])(
  '%s is configured, and its disks stay as they are',
  async (ostype, line) => {
    const before = inRoot('cat', '/etc/shadow');
    expect(await reinstall(ostype)).toContain('its disks were not touched');
    expect(readFileSync(join(site.folder.path, 'xen/xen01'), 'utf8')).toContain(line);
    expect(inRoot('cat', '/etc/shadow')).toBe(before);
  },
  60_000,
);

it.each(['image', 'image-nosuch', 'debian-nosuch', 'nosuch', 'forum2'])(
  'refuses %s before anything is touched',
  async (ostype) => {
    mkdirSync(join(site.folder.path, 'app/forum2'), { recursive: true });
    writeFileSync(join(site.folder.path, 'app/forum2/depends'), 'nosuch\n');
    const before = await site.snapshot();
    await expect(reinstall(ostype)).rejects.toMatchObject({ code: 'unknown_os' });
    expect(await site.snapshot()).toEqual(before);
    expect(existsSync(join(site.folder.path, 'mnt/01'))).toBe(false);
  },
);
