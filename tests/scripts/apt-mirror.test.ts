import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { call } from './call.ts';

let apt_dir: string;
beforeEach(() => {
  apt_dir = mkdtempSync(join(tmpdir(), 'apt-mirror-'));
});
afterEach(() => rmSync(apt_dir, { recursive: true, force: true }));

function sources(files: Record<string, string>): void {
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(apt_dir, name)), { recursive: true });
    writeFileSync(join(apt_dir, name), text);
  }
}

const ask = (...more: string[]) =>
  call('lib/apt-mirror', ['--apt-dir', apt_dir, '--lists', join(apt_dir, 'lists'), ...more]);

const DEBIAN =
  'Types: deb\nURIs: http://mirror.test/debian\nSuites: trixie trixie-updates\nComponents: main\nSigned-By: /usr/share/keyrings/debian-archive-keyring.pgp\n';
/** What apt keeps of an archive that it has asked. */
const release = (origin: string) =>
  `-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nOrigin: ${origin}\nCodename: trixie\n`;

describe('apt-mirror', () => {
  it.each([
    ['one line', 'sources.list', 'deb http://mirror.test/debian trixie main contrib\n'],
    [
      'options and comments',
      'sources.list',
      '# deb http://old.test/debian x main\ndeb [arch=amd64 signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]  http://mirror.test/debian\ttrixie   main # near\n',
    ],
    [
      'sources before binaries',
      'sources.list.d/a.list',
      'deb-src http://source.test/debian trixie main\ndeb http://mirror.test/debian trixie main\n',
    ],
    [
      'deb822',
      'sources.list.d/debian.sources',
      'Types: deb deb-src\nURIs: http://mirror.test/debian\nSuites: trixie trixie-updates\nComponents: main\n',
    ],
    [
      'deb822 with continued lines and odd case',
      'sources.list.d/debian.sources',
      'types:\n deb\nUris:\n http://mirror.test/debian\n http://second.test/debian\nSuites: trixie\n# a comment\n trixie-updates\nComponents: non-free\n main\n',
    ],
    [
      'a disabled stanza first',
      'sources.list.d/debian.sources',
      'Enabled: no\nTypes: deb\nURIs: http://off.test/debian\nSuites: trixie\nComponents: main\n\n\nTypes: deb\nURIs: http://mirror.test/debian\nSuites: trixie\nComponents: main\n',
    ],
    [
      'other archives with a main',
      'sources.list',
      'deb http://other.test/apt stable main\ndeb http://mirror.test/debian trixie main\n',
    ],
  ])('finds the mirror: %s', (_, name, text) => {
    sources({ [name]: text });
    expect(ask()).toEqual({ exit_code: 0, stdout: 'http://mirror.test/debian\n', stderr: '' });
  });

  it.each([
    [
      'Zabbix, by a keyring of its own',
      'zabbix.list',
      'deb [signed-by=/usr/share/keyrings/zabbix.gpg] https://repo.test/zabbix/7.0/debian trixie main\n',
    ],
    [
      'MariaDB, deb822',
      'a-mariadb.sources',
      'Types: deb\nURIs: https://repo.test/mariadb/debian\nSuites: trixie\nComponents: main\nSigned-By: /etc/apt/keyrings/mariadb.pgp\n',
    ],
    [
      'a key in the source itself',
      'a-third.sources',
      'Types: deb\nURIs: https://repo.test/debian\nSuites: trixie\nComponents: main\nSigned-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mDMEZ\n -----END PGP PUBLIC KEY BLOCK-----\n',
    ],
    ['a key that apt trusts for everything', 'apps.list', 'deb http://repo.test/debian trixie main\n'],
  ])('does not take the archive of somebody else for Debian: %s', (_, name, text) => {
    sources({ [`sources.list.d/${name}`]: text, 'sources.list.d/debian.sources': DEBIAN });
    expect(ask()).toEqual({ exit_code: 0, stdout: 'http://mirror.test/debian\n', stderr: '' });
  });

  it('goes by what the archives say of themselves where nothing else tells', () => {
    sources({
      'sources.list':
        'deb http://repo.test/debian trixie main\ndeb http://mirror.test/mirrors/os trixie main\ndeb http://third.test/debian trixie main\n',
      'lists/repo.test_debian_dists_trixie_InRelease': release('Zabbix'),
      'lists/mirror.test_mirrors_os_dists_trixie_InRelease': release('Debian'),
    });
    expect(ask().stdout).toBe('http://mirror.test/mirrors/os\n');
  });

  it('names none where all are known to be somebody else’s', () => {
    sources({
      'sources.list':
        'deb [signed-by=/k.gpg] http://repo.test/debian trixie main\ndeb http://other.test/debian trixie main\n',
      'lists/other.test_debian_dists_trixie_InRelease': release('Proxmox'),
    });
    const { exit_code, stderr } = ask();
    expect(exit_code).toBe(1);
    expect(stderr).toContain('set debian_repo in dtc-xen.conf');
  });

  it('takes a mirror with a keyring of the admin’s own where it says that it is Debian', () => {
    sources({
      'sources.list': 'deb [signed-by=/etc/apt/keyrings/own.gpg] http://mirror.test/debian trixie main\n',
      'lists/mirror.test_debian_dists_trixie_InRelease': release('Debian'),
    });
    expect(ask().stdout).toBe('http://mirror.test/debian\n');
  });

  it('tells security updates from the release', () => {
    sources({
      'sources.list':
        'deb http://mirror.test/debian-security trixie-security main\ndeb http://mirror.test/debian trixie main\n',
    });
    expect(ask().stdout).toBe('http://mirror.test/debian\n');
    expect(ask('--security').stdout).toBe('http://mirror.test/debian-security\n');
  });

  it.each([
    ['nothing', {}],
    ['a cdrom', { 'sources.list': 'deb cdrom:[Debian]/ trixie main\n' }],
    ['no main', { 'sources.list': 'deb http://mirror.test/debian trixie contrib\n' }],
    ['a flat archive', { 'sources.list': 'deb http://mirror.test/debian ./\n' }],
  ])('says what to do where there is none: %s', (_, files) => {
    sources(files);
    const { exit_code, stdout, stderr } = ask();
    expect({ exit_code, stdout }).toEqual({ exit_code: 1, stdout: '' });
    expect(stderr).toContain('set debian_repo in dtc-xen.conf');
  });
});
