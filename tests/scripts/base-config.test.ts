// What of the node is put into every guest: files that DTC-Xen's installation left empty, or of its own years, harm none.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { PROGRAM_PATH, SCRIPTS } from '../jobs/plan-harness.ts';
import { makeMountedRoot } from '../templates/small-root.ts';

let guest: ReturnType<typeof makeMountedRoot>;
const etc = (name: string) => join(guest.folder, 'etc-dtc-xen', name);
const inGuest = (path: string) => join(guest.root, path);
const read = (path: string) => readFileSync(inGuest(path), 'utf8');
const OWN_SOURCES = 'Types: deb\nURIs: http://mirror.example.com/debian\nSuites: trixie\n';

beforeEach(() => {
  guest = makeMountedRoot();
  for (const path of ['usr/lib', 'etc/apt/sources.list.d', 'root/.ssh'])
    mkdirSync(inGuest(path), { recursive: true });
  mkdirSync(etc('.'));
  writeFileSync(inGuest('usr/lib/os-release'), 'PRETTY_NAME="Debian"\nID=debian\nVERSION_CODENAME=trixie\n');
  writeFileSync(inGuest('etc/apt/sources.list.d/debian.sources'), OWN_SOURCES);
  writeFileSync(inGuest('root/.ssh/authorized_keys'), 'ssh-ed25519 AAAA template\n');
});
afterEach(() => guest.remove());

function configure(): string {
  const { status, stdout, stderr } = spawnSync(
    join(SCRIPTS, 'reinstall-base-config'),
    [
      '--root',
      guest.root,
      '--name',
      'xen01',
      '--fqdn',
      'mx.xen01.node.example.com',
      '--ip',
      '192.0.2.10',
      '--etc-dir',
      etc('.'),
    ],
    { encoding: 'utf8', env: { PATH: PROGRAM_PATH, LC_ALL: 'C' } },
  );
  expect(stderr).toBe('');
  expect(status).toBe(0);
  return stdout;
}

it("an authorized_keys2 that DTC-Xen's installation left empty leaves a template's keys alone", () => {
  for (const empty of ['', '\n', '# admins\n']) {
    writeFileSync(etc('authorized_keys2'), empty);
    configure();
    expect(read('root/.ssh/authorized_keys')).toBe('ssh-ed25519 AAAA template\n');
  }
  writeFileSync(etc('authorized_keys2'), '# admins\nssh-ed25519 AAAA admin\n');
  configure();
  expect(read('root/.ssh/authorized_keys')).toBe('# admins\nssh-ed25519 AAAA admin\n');
  expect(statSync(inGuest('root/.ssh/authorized_keys')).mode & 0o777).toBe(0o600);
});

it("the node's sources.list is put into the guest, in place of the agent's", () => {
  const sources =
    '# ours\ndeb [arch=amd64] http://cache.example.com/debian trixie main contrib\ndeb http://cache.example.com/debian-security trixie-security main\n';
  writeFileSync(etc('sources.list'), sources);
  configure();
  expect(read('etc/apt/sources.list')).toBe(sources);
  expect(existsSync(inGuest('etc/apt/sources.list.d/debian.sources'))).toBe(false);
});

it.each([
  [
    'of the years of DTC-Xen',
    'deb http://ftp.us.debian.org/debian/ stable main\ndeb http://volatile.debian.org/debian-volatile/ stable/volatile main\n',
  ],
  [
    'of another release, too',
    'deb http://mirror.example.com/debian trixie main\ndeb http://mirror.example.com/debian squeeze main\n',
  ],
  ['that names none', '# nothing\n'],
])('a sources.list %s is left out, and said', (_, sources) => {
  writeFileSync(etc('sources.list'), sources);
  expect(configure()).toContain("the node's sources.list is left out: it is not of trixie alone");
  expect(read('etc/apt/sources.list.d/debian.sources')).toBe(OWN_SOURCES);
  expect(existsSync(inGuest('etc/apt/sources.list'))).toBe(false);
});

it('a guest that is no Debian, or leads out of itself, gets none', () => {
  writeFileSync(etc('sources.list'), 'deb http://mirror.example.com/debian trixie main\n');
  writeFileSync(inGuest('usr/lib/os-release'), 'ID=ubuntu\nVERSION_CODENAME=trixie\n');
  expect(configure()).toContain('left out: it is not of a Debian that the guest has');
  writeFileSync(join(guest.folder, 'os-release'), 'ID=debian\nVERSION_CODENAME=trixie\n');
  spawnSync('rm', [inGuest('usr/lib/os-release')]);
  symlinkSync(join(guest.folder, 'os-release'), inGuest('usr/lib/os-release'));
  expect(configure()).toContain('left out: it is not of a Debian that the guest has');
});
