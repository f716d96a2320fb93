// The template `ubuntu`, from a small repository that is signed with a key of the test's.
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { call } from '../scripts/call.ts';
import { makeAptRepository } from './apt-repository.ts';
import { installTemplate, makeMountedRoot } from './small-root.ts';

const PACKAGES =
  'apt dpkg systemd-sysv udev openssh-server kmod locales iproute2 e2fsprogs login netbase'.split(' ');

let place: ReturnType<typeof makeMountedRoot>;
let repository: ReturnType<typeof makeAptRepository>;
beforeAll(() => {
  place = makeMountedRoot('200M');
  repository = makeAptRepository(place.folder, 'noble', PACKAGES);
});
afterAll(() => place.remove());
beforeEach(() => {
  for (const name of readdirSync(place.root)) execFileSync('rm', ['-rf', join(place.root, name)]);
});

const install = (name: string, change: Record<string, string> = {}) =>
  installTemplate(name, place.root, {
    ubuntu_repo: repository.uri,
    ubuntu_release: 'noble',
    ubuntu_keyring: repository.keyring,
    ...change,
  });

it.each(['ubuntu', 'ubuntu-noble'])(
  '%s is a root that chroots, with its packages and its sources',
  (name) => {
    const { exit_code, output } = install(name);
    expect(exit_code, output).toBe(0);
    const list = execFileSync('chroot', [
      place.root,
      'dpkg-query',
      '-W',
      '-f',
      '$' + '{Package} $' + '{db:Status-Abbrev}\\n',
    ]);
    expect(list.toString().split('\n').filter(Boolean).sort()).toEqual(
      ['base-files', ...PACKAGES].map((item) => `${item} ii `).sort(),
    );
    expect(readFileSync(join(place.root, 'etc/apt/sources.list.d/ubuntu.sources'), 'utf8')).toBe(
      `Types: deb\nURIs: ${repository.uri}\nSuites: noble noble-updates noble-security\nComponents: main universe\n`,
    );
    expect(readdirSync(join(place.root, 'etc/apt/sources.list.d'))).toEqual(['ubuntu.sources']);

    const nic = [
      '--nic',
      '192.0.2.10,255.255.255.0,192.0.2.255',
      '--nic',
      '198.51.100.7,255.255.255.255,198.51.100.7',
    ];
    const network = ['--root', place.root, ...nic, '--gateway', '192.0.2.1', '--dns', '192.0.2.53'];
    expect(call('reinstall-network', network).stdout).toContain('by systemd-networkd');
    expect(readFileSync(join(place.root, 'etc/systemd/network/05-dtc-xen.network'), 'utf8')).toBe(
      [
        ...['[Match]', 'Name=eth0', '', '[Network]', 'DNS=192.0.2.53', ''],
        ...['[Address]', 'Address=192.0.2.10/24', 'Broadcast=192.0.2.255', ''],
        ...['[Address]', 'Address=198.51.100.7/32', 'Broadcast=198.51.100.7', ''],
        ...['[Route]', 'Gateway=192.0.2.1', 'GatewayOnLink=yes', ''],
      ].join('\n'),
    );
  },
);

it('refuses a repository that another key has signed', () => {
  const other = join(place.folder, 'other.gpg');
  writeFileSync(other, readFileSync('/usr/share/keyrings/debian-archive-keyring.gpg'));
  const { exit_code, output } = install('ubuntu', { ubuntu_keyring: other });
  expect(exit_code).not.toBe(0);
  expect(output).toMatch(/public key is not available|NO_PUBKEY/);
});

it('says what is missing: the keyring, the release', () => {
  const none = install('ubuntu', { ubuntu_keyring: '/no/keyring.gpg' });
  expect([none.exit_code, none.output]).toEqual([
    1,
    expect.stringContaining('there is no keyring /no/keyring.gpg'),
  ]);
  expect(install('ubuntu-nosuch').exit_code).not.toBe(0);
  expect(install('ubuntu-../x')).toMatchObject({
    exit_code: 1,
    output: expect.stringContaining('not an Ubuntu release'),
  });
});
