// The template `rocky`, from a small repository whose packages are signed with a key of the test's.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { call } from '../scripts/call.ts';
import { makeRpmRepository } from './rpm-repository.ts';
import { installTemplate, makeMountedRoot } from './small-root.ts';

const PACKAGES = [
  ...[
    'rocky-release',
    'bash',
    'coreutils',
    'systemd',
    'systemd-udev',
    'shadow-utils',
    'passwd',
    'util-linux',
  ],
  ...[
    'rootfiles',
    'hostname',
    'openssh-server',
    'NetworkManager',
    'iproute',
    'e2fsprogs',
    'kmod',
    'procps-ng',
  ],
  ...['dnf', 'glibc-minimal-langpack'],
];

let place: ReturnType<typeof makeMountedRoot>;
let repository: ReturnType<typeof makeRpmRepository>;
beforeAll(() => {
  place = makeMountedRoot('200M');
  repository = makeRpmRepository(place.folder, '9', PACKAGES);
});
afterAll(() => place.remove());
beforeEach(() => {
  for (const name of readdirSync(place.root)) execFileSync('rm', ['-rf', join(place.root, name)]);
});

const install = (name: string, change: Record<string, string> = {}) =>
  installTemplate(name, place.root, {
    rocky_repo: repository.uri,
    rocky_release: '9',
    rocky_key: repository.key,
    ...change,
  });

it.each(['rocky', 'rocky-9'])('%s is a root that chroots, whose packages its own rpm finds', (name) => {
  const { exit_code, output } = install(name);
  expect(exit_code, output).toBe(0);
  const database = join(place.root, 'var/lib/rpm');
  const installed = execFileSync('rpm', ['--dbpath', database, '-qa', '--qf', '%{NAME}\n'], {
    encoding: 'utf8',
  });
  expect(
    installed
      .split('\n')
      .filter((item) => item && item !== 'gpg-pubkey')
      .sort(),
  ).toEqual([...PACKAGES].sort());
  expect(execFileSync('chroot', [place.root, 'sh', '-c', 'echo it lives'], { encoding: 'utf8' })).toBe(
    'it lives\n',
  );
  expect(existsSync(join(place.root, 'var/cache/dnf'))).toBe(false);
  expect(existsSync(join(place.root, 'root/.rpmdb'))).toBe(false);

  mkdirSync(join(place.root, 'usr/sbin'), { recursive: true });
  writeFileSync(join(place.root, 'usr/sbin/NetworkManager'), '');
  const nic = [
    '--nic',
    '192.0.2.10,255.255.255.0,192.0.2.255',
    '--nic',
    '198.51.100.7,255.255.255.255,198.51.100.7',
  ];
  const network = ['--root', place.root, ...nic, '--gateway', '192.0.2.1', '--dns', '192.0.2.53,192.0.2.54'];
  expect(call('reinstall-network', network).stdout).toContain('by NetworkManager');
  const file = join(place.root, 'etc/NetworkManager/system-connections/eth0.nmconnection');
  expect(statSync(file).mode & 0o777).toBe(0o600);
  expect(readFileSync(file, 'utf8')).toBe(
    [
      ...['[connection]', 'id=eth0', 'type=ethernet', 'interface-name=eth0', '', '[ipv4]', 'method=manual'],
      ...['address1=192.0.2.10/24', 'address2=198.51.100.7/32', 'gateway=192.0.2.1'],
      ...['dns=192.0.2.53;192.0.2.54;', '', '[ipv6]', 'method=auto', ''],
    ].join('\n'),
  );
});

it('refuses packages that another key has signed', () => {
  const other = join(place.folder, 'other.asc');
  const home = join(place.folder, 'other-home');
  mkdirSync(home, { mode: 0o700 });
  const env = { PATH: '/usr/bin:/bin', GNUPGHOME: home };
  const key = ['--quick-generate-key', 'other@example.com', 'rsa2048', 'sign', '1d'];
  execFileSync('gpg', ['--batch', '--quiet', '--passphrase', '', ...key], { env, stdio: 'pipe' });
  writeFileSync(other, execFileSync('gpg', ['--batch', '--armor', '--export'], { env }));
  execFileSync('gpgconf', ['--kill', 'all'], { env });
  const { exit_code, output } = install('rocky', { rocky_key: other });
  expect(exit_code).not.toBe(0);
  expect(output).toMatch(/GPG/);
  expect(existsSync(join(place.root, 'usr/bin/sh'))).toBe(false);
});

it('says what is missing: the key, a release', () => {
  expect(install('rocky', { rocky_key: '' })).toMatchObject({
    exit_code: 1,
    output: expect.stringContaining('rocky_key must name a key'),
  });
  expect(install('rocky-x')).toMatchObject({
    exit_code: 1,
    output: expect.stringContaining('not a release of Rocky Linux'),
  });
});
