// Whoever made an image that an admin installs VPSes from: every file of it is theirs, its programs and links among them. Each test is
// named after what the attacker has where it passes.
import { execFileSync, spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { copyPrograms, makeMountedRoot } from '../templates/small-root.ts';

const SCRIPTS = resolve(import.meta.dirname, '../../scripts');
/** Stands for everything of dom0 that an image must not reach. */
const SECRET = 'of dom0';

let place: ReturnType<typeof makeMountedRoot>;
let root: string;
let outside: string;
beforeEach(() => {
  place = makeMountedRoot('256M');
  root = place.root;
  outside = join(place.folder, 'outside');
  mkdirSync(outside);
  writeFileSync(join(outside, 'file'), SECRET);
  copyPrograms(root, ['sh', 'cat', 'id', 'ls', 'mknod', 'mount', 'chown', 'sleep', 'timeout', 'nsenter']);
  symlinkSync('sh', join(root, 'usr/bin/bash'));
});
afterEach(() => {
  expect(readFileSync(join(outside, 'file'), 'utf8')).toBe(SECRET);
  place.remove();
});

const put = (path: string, text: string, mode = 0o755) => {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), text, { mode });
};
/** The script that gives an image its locales and modules. */
const adapt = (...more: string[]) =>
  spawnSync(
    join(SCRIPTS, 'reinstall-base-config'),
    [
      '--root',
      root,
      '--name',
      'xen01',
      '--fqdn',
      'a.example.com',
      '--ip',
      '192.0.2.1',
      '--etc-dir',
      '/nowhere',
      ...more,
    ],
    { encoding: 'utf8', timeout: 120_000, env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' } },
  );
/** An image whose locale-gen does this; what it leaves behind. */
function asLocaleGen(script: string): string {
  put('usr/sbin/locale-gen', `#!/bin/sh\nexec >/var/log/seen 2>&1\n${script}\nexit 0\n`);
  put('usr/sbin/update-locale', '#!/bin/sh\nexit 0\n');
  const { status, stderr } = adapt();
  expect([status, stderr]).toEqual([0, expect.any(String)]);
  return readFileSync(join(root, 'var/log/seen'), 'utf8');
}
/** Modules of a kernel as dom0 has them. */
function modules(release: string): string {
  const folder = join(place.folder, 'modules');
  mkdirSync(join(folder, 'kernel'), { recursive: true });
  writeFileSync(join(folder, 'kernel/a.ko'), 'a module');
  writeFileSync(join(folder, 'modules.order'), 'kernel/a.ko\n');
  writeFileSync(join(folder, 'modules.builtin'), '');
  mkdirSync(join(root, 'lib/modules', release), { recursive: true });
  return folder;
}

it('root of dom0: its programs have no capability, no network and no other process', () => {
  const seen = asLocaleGen(`
    cat /proc/self/status
    echo routes; cat /proc/net/dev
    echo processes; ls /proc
  `);
  expect(seen).toMatch(/^CapEff:\s*0+$/m);
  expect(seen).toMatch(/^CapPrm:\s*0+$/m);
  expect(seen).toMatch(/^NoNewPrivs:\s*1$/m);
  expect(seen.match(/^ *[a-z0-9]+:(?= *[0-9])/gm)?.map((name) => name.trim())).toEqual(['lo:']);
  const processes = seen.slice(seen.indexOf('processes')).match(/^[0-9]+$/gm) ?? [];
  expect(processes.map(Number).every((pid) => pid < 20)).toBe(true);
});

it("dom0's files, by the root of another process or a mount", () => {
  const seen = asLocaleGen(`
    cat /proc/1/root${outside}/file; cat ${outside}/file
    mount -t proc proc /tmp; mount --bind / /tmp
    nsenter --target 1 --mount cat ${outside}/file
    (echo changed >/proc/sys/kernel/core_pattern)
  `);
  expect(seen).not.toContain(SECRET);
  expect(readFileSync('/proc/sys/kernel/core_pattern', 'utf8')).not.toBe('changed\n');
});

it("dom0's disks, by a device of its own or one that is in the image", () => {
  execFileSync('mknod', ['-m', '666', join(root, 'etc/mem'), 'c', '1', '5']);
  const seen = asLocaleGen(`
    mknod /tmp/disk b 7 0
    timeout 2 sh -c 'cat </etc/mem' | sh -c 'read -r line; echo end'
    ls /dev
  `);
  expect(seen).toMatch(/mknod: .*Operation not permitted/);
  expect(seen).toMatch(/etc\/mem.*[Pp]ermission denied/);
  expect(seen.match(/^(?:sd|vd|xvd|loop|dm-|mapper|xen|kvm|mem).*$/gm)).toBe(null);
});

it('a process that stays after the installation', () => {
  asLocaleGen(`(sleep 7357 &) ; exit 0`);
  const left = readdirSync('/proc').filter((pid) => {
    try {
      return readFileSync(join('/proc', pid, 'cmdline'), 'latin1').includes('7357');
    } catch {
      return false;
    }
  });
  expect(left).toEqual([]);
});

it("a file of dom0 overwritten by the node's kernel modules", () => {
  const release = '6.1.0-test';
  const kmod_path = modules(release);
  symlinkSync(join(outside, 'file'), join(root, 'lib/modules', release, 'modules.order'));
  const { status } = adapt('--kernel-release', release, '--kmod-path', kmod_path);
  expect([status, readFileSync(join(root, 'lib/modules', release, 'modules.order'), 'utf8')]).toEqual([
    0,
    'kernel/a.ko\n',
  ]);
});

it("a folder of dom0 filled with the node's kernel modules", () => {
  const release = '6.1.0-test';
  const kmod_path = modules(release);
  symlinkSync(outside, join(root, 'lib/modules', release, 'kernel'));
  const { status, stderr } = adapt('--kernel-release', release, '--kmod-path', kmod_path);
  expect([status, stderr]).toEqual([1, expect.stringMatching(/lib\/modules\/6\.1\.0-test\/kernel/)]);
  expect(readdirSync(outside)).toEqual(['file']);
  rmSync(join(root, 'lib/modules', release), { recursive: true });
  symlinkSync(outside, join(root, 'lib/modules', release));
  expect(adapt('--kernel-release', release, '--kmod-path', kmod_path).status).toBe(1);
  expect(readdirSync(outside)).toEqual(['file']);
});

it('its depmod run in dom0', () => {
  const release = '6.1.0-test';
  const kmod_path = modules(release);
  put('usr/sbin/depmod', '#!/bin/sh\necho ran >/depmod-ran\n');
  const { status } = adapt('--kernel-release', release, '--kmod-path', kmod_path);
  expect([status, existsSync(join(root, 'depmod-ran'))]).toEqual([0, false]);
  expect(existsSync(join(root, 'lib/modules', release, 'modules.dep'))).toBe(true);
});

it.each(['dev', 'proc', 'tmp', 'etc'])("dom0's folder of that name, by a link at /%s", (folder) => {
  put('usr/sbin/locale-gen', '#!/bin/sh\nexec >/var/log/seen 2>&1\nid\n');
  put('usr/sbin/update-locale', '#!/bin/sh\nexit 0\n');
  rmSync(join(root, folder), { recursive: true });
  symlinkSync(outside, join(root, folder));
  const { status } = adapt();
  expect(status).toBe(1);
  expect(readdirSync(outside)).toEqual(['file']);
});

it('(no script runs a program of a system in any other way)', () => {
  const folders = [
    'scripts',
    'scripts/lib',
    'templates/os/image',
    'templates/os/ubuntu',
    'templates/os/rocky',
  ];
  const callers = folders
    .flatMap((folder) => readdirSync(join(SCRIPTS, '..', folder)).map((name) => join(folder, name)))
    .filter((path) => statSync(join(SCRIPTS, '..', path)).isFile())
    .filter((path) => {
      const lines = readFileSync(join(SCRIPTS, '..', path), 'utf8').split('\n');
      return lines.some((line) =>
        /(?:^|[;&|(]|\bexec|\bif|\bthen|--)\s*(?:chroot|bwrap|systemd-nspawn|pivot_root)\s/.test(line),
      );
    });
  expect(callers.filter((path) => !['scripts/lib/sandbox'].includes(path))).toEqual([]);
});
