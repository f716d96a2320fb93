// A small signed rpm repository: packages that are empty but for bash, which has what a chroot needs.
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { copyPrograms } from './small-root.ts';

const run = (program: string, args: readonly string[], env: NodeJS.ProcessEnv) =>
  execFileSync(program, [...args], { stdio: ['ignore', 'pipe', 'pipe'], env });

const describe = (name: string) => `
%package -n ${name}
Summary: A package of a test
%description -n ${name}
A package of a test.
%files -n ${name}
`;

/** Makes the repositories BaseOS and AppStream of a release below `folder`, with packages of these names, and a key. */
export function makeRpmRepository(folder: string, release: string, names: readonly string[]) {
  const home = join(folder, 'rpm-home');
  mkdirSync(home, { mode: 0o700 });
  const env = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', HOME: home, GNUPGHOME: home };
  const files = join(folder, 'bash-files');
  copyPrograms(files, ['sh', 'cat', 'ls']);
  const spec = join(folder, 'test.spec');
  const lines = [
    ...['Name: bash', 'Version: 5', 'Release: 1', 'Summary: A shell', 'License: none', 'AutoReqProv: no'],
    ...['%description', 'A shell.', '%install', `mkdir -p %{buildroot}`, `cp -a ${files}/. %{buildroot}/`],
    ...['%files', '/*'],
    ...names.filter((name) => name !== 'bash').map(describe),
  ];
  writeFileSync(spec, `${lines.join('\n')}\n`);
  const define = (name: string, value: string) => ['--define', `${name} ${value}`];
  const mirror = join(folder, 'mirror');
  const packages = join(mirror, release, 'BaseOS', 'x86_64', 'os');
  const settings = [
    ...define('_topdir', join(folder, 'rpmbuild')),
    ...define('_rpmdir', packages),
    ...define('_build_name_fmt', '%%{NAME}.rpm'),
    ...['__os_install_post', 'debug_package', '_build_id_links'].flatMap((name) => define(name, '%{nil}')),
  ];
  run('rpmbuild', ['-bb', '--quiet', '--target', 'x86_64', ...settings, spec], env);

  const quick = [
    '--batch',
    '--quiet',
    '--passphrase',
    '',
    '--quick-generate-key',
    'test@example.com',
    'rsa2048',
    'sign',
    '1d',
  ];
  run('gpg', quick, env);
  const key = join(folder, 'key.asc');
  writeFileSync(key, run('gpg', ['--batch', '--armor', '--export'], env));
  const all = [...new Set(['bash', ...names])].map((name) => join(packages, `${name}.rpm`));
  run(
    'rpmsign',
    ['--addsign', ...define('__gpg', '/usr/bin/gpg'), ...define('_gpg_name', 'test@example.com'), ...all],
    env,
  );
  run('gpgconf', ['--kill', 'all'], env);
  const empty = join(mirror, release, 'AppStream', 'x86_64', 'os');
  mkdirSync(empty, { recursive: true });
  for (const repository of [packages, empty]) run('createrepo_c', ['--quiet', repository], env);
  return { uri: `file://${mirror}`, key };
}
