// A small signed apt repository: packages that are empty but for one, which has what dpkg itself needs in a chroot.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { copyPrograms } from './small-root.ts';

const PROGRAMS =
  'sh env dpkg dpkg-deb dpkg-split dpkg-query tar rm cat mkdir ln true ldconfig start-stop-daemon diff sed';

const run = (
  program: string,
  args: readonly string[],
  options: { env?: NodeJS.ProcessEnv; input?: string } = {},
) => execFileSync(program, [...args], { stdio: ['pipe', 'pipe', 'pipe'], ...options });
const sha256 = (content: string | Buffer) => createHash('sha256').update(content).digest('hex');
const architecture = () => run('dpkg', ['--print-architecture']).toString().trim();

function buildPackage(
  folder: string,
  name: string,
  essential: boolean,
  fill?: (root: string) => void,
): string {
  const root = join(folder, 'build', name);
  mkdirSync(join(root, 'DEBIAN'), { recursive: true });
  const control = [
    `Package: ${name}`,
    'Version: 1',
    `Architecture: ${architecture()}`,
    'Maintainer: A Test <test@example.com>',
    'Priority: required',
    ...(essential ? ['Essential: yes'] : []),
    'Description: a package of a test',
  ];
  writeFileSync(join(root, 'DEBIAN/control'), `${control.join('\n')}\n`);
  mkdirSync(join(root, 'usr/share/doc', name), { recursive: true });
  fill?.(root);
  const file = `pool/${name}.deb`;
  run('dpkg-deb', ['-Znone', '--root-owner-group', '--build', root, join(folder, 'mirror', file)]);
  const content = readFileSync(join(folder, 'mirror', file));
  return [
    ...control,
    `Filename: ${file}`,
    `Size: ${content.length}`,
    `SHA256: ${sha256(content)}`,
    '',
    '',
  ].join('\n');
}

function base(root: string): void {
  copyPrograms(root, PROGRAMS.split(' '));
  writeFileSync(join(root, 'etc/passwd'), 'root:x:0:0:root:/root:/bin/sh\n');
  writeFileSync(join(root, 'etc/group'), 'root:x:0:\n');
  writeFileSync(join(root, 'etc/shadow'), 'root:*:19000:0:99999:7:::\n');
  mkdirSync(join(root, 'usr/lib/systemd/system'), { recursive: true });
  writeFileSync(join(root, 'usr/lib/systemd/systemd-networkd'), '');
  for (const folder of ['root', 'sys', 'run', 'dev', 'proc'])
    mkdirSync(join(root, folder), { recursive: true });
  run('rm', ['-rf', join(root, 'dev/null')]);
}

/** A key of gpg's in a folder of its own; `keyring` is its public half as apt reads it. */
function makeKey(folder: string): { env: NodeJS.ProcessEnv; keyring: string } {
  const home = join(folder, 'gpg');
  mkdirSync(home, { mode: 0o700 });
  const env = { PATH: '/usr/bin:/bin', GNUPGHOME: home };
  const quick = [
    '--batch',
    '--quiet',
    '--passphrase',
    '',
    '--quick-generate-key',
    'test@example.com',
    'ed25519',
    'sign',
    '1d',
  ];
  run('gpg', quick, { env });
  const keyring = join(folder, 'keyring.gpg');
  writeFileSync(keyring, run('gpg', ['--batch', '--export'], { env }));
  chmodSync(keyring, 0o644);
  return { env, keyring };
}

/** Makes the repository below `folder`, for a suite with packages of these names. */
export function makeAptRepository(folder: string, suite: string, names: readonly string[]) {
  const mirror = join(folder, 'mirror');
  mkdirSync(join(mirror, 'pool'), { recursive: true });
  const list = [
    buildPackage(folder, 'base-files', true, base),
    ...names.map((name) => buildPackage(folder, name, false)),
  ].join('');
  const files: string[] = [];
  for (const component of ['main', 'universe']) {
    const path = `${component}/binary-${architecture()}/Packages`;
    const content = component === 'main' ? list : '';
    mkdirSync(join(mirror, 'dists', suite, path, '..'), { recursive: true });
    writeFileSync(join(mirror, 'dists', suite, path), content);
    files.push(` ${sha256(content)} ${Buffer.byteLength(content)} ${path}`);
  }
  const release = [
    ...['Origin: Ubuntu', `Suite: ${suite}`, `Codename: ${suite}`, `Date: ${new Date().toUTCString()}`],
    ...[`Architectures: ${architecture()}`, 'Components: main universe', 'SHA256:', ...files, ''],
  ].join('\n');
  const { env, keyring } = makeKey(folder);
  const signed = run('gpg', ['--batch', '--clearsign', '--output', '-'], { env, input: release });
  writeFileSync(join(mirror, 'dists', suite, 'InRelease'), signed);
  run('gpgconf', ['--kill', 'all'], { env });
  return { uri: `copy://${mirror}`, keyring };
}
