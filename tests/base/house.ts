// A node whose Debian is small: the project's own scripts, but for a bootstrap that takes a moment and needs no mirror.
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type BaseKeeper, createBases } from '../../src/base/bases.ts';
import type { DebianSystem, InstallContext } from '../../src/core/bases.ts';
import { createFileLocks } from '../../src/drivers/flock.ts';
import { createRunner } from '../../src/drivers/run.ts';
import { PROGRAM_PATH, SCRIPTS } from '../jobs/plan-harness.ts';

/** The system of these tests. */
export const TRIXIE: DebianSystem = {
  release: 'trixie',
  mirror: 'http://mirror.test/debian',
  packages: ['vim', 'less'],
};

/** Takes the place of reinstall-bootstrap; `HOME_OF_TEST` is replaced. */
const BOOTSTRAP = `#!/bin/bash
set -euo pipefail
while [ $# -gt 0 ]; do case $1 in --root) root=$2 ;; --release) release=$2 ;; esac; shift 2; done
echo "$release" >>HOME_OF_TEST/made
[ ! -e HOME_OF_TEST/no-mirror ] || { echo 'the mirror is down' >&2; exit 1; }
mkdir -p "$root"/{etc/ssh,root,usr/sbin,var/lib/dbus,var/lib/apt/lists,var/cache/apt/archives,var/log,tmp,run}
echo "$release" >"$root/etc/debian_version"
echo 'root:x:0:0::/root:/bin/sh' >"$root/etc/passwd"
echo 'root:*:19000:0:99999:7:::' >"$root/etc/shadow"
for file in etc/ssh/ssh_host_rsa_key etc/machine-id etc/hostname etc/resolv.conf var/lib/apt/lists/l var/log/dpkg.log tmp/t; do
  echo "one machine's alone" >"$root/$file"
done
printf '#!/bin/sh\\n' >"$root/usr/sbin/setuid"
chmod 4755 "$root/usr/sbin/setuid"
[ ! -e HOME_OF_TEST/with-sshd ] || cp "$root/usr/sbin/setuid" "$root/usr/sbin/sshd"
ln "$root/usr/sbin/setuid" "$root/usr/sbin/hard"
ln -s usr/sbin "$root/sbin"
printf '#!/bin/sh\\n' >"$root/usr/sbin/init"
ln -s ../usr/sbin/setuid "$root/etc/soft"
chown 12345:23456 "$root/root"
setfattr -n user.test -v kept "$root/etc/passwd"
setfacl -m u:34567:r "$root/etc/passwd"
head -c 3000000 /dev/urandom >"$root/usr/random"
while [ -e HOME_OF_TEST/wait ]; do sleep 0.05; done
`;

/** A root disk, mounted. */
export interface Target {
  readonly root: string;
  text(file: string): string;
}

/** See {@link makeHouse}. */
export type House = ReturnType<typeof makeHouse>;

/** Copies the project's scripts, with the small bootstrap among them. */
export function copyScripts(to: string, home: string): void {
  cpSync(SCRIPTS, to, { recursive: true, filter: (path) => !path.includes('/dev') });
  writeFileSync(join(to, 'reinstall-bootstrap'), BOOTSTRAP.replaceAll('HOME_OF_TEST', home));
  chmodSync(join(to, 'reinstall-bootstrap'), 0o755);
}

/** How often the small bootstrap was begun, below this folder. */
export function timesMade(home: string): number {
  const file = join(home, 'made');
  return existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n').length : 0;
}

/** Makes a house in a folder of its own. */
export function makeHouse() {
  const home = mkdtempSync(join(tmpdir(), 'dtc-xen-base-'));
  for (const name of ['state', 'run', 'disks']) mkdirSync(join(home, name));
  copyScripts(join(home, 'scripts'), home);
  const runner = createRunner({ path: PROGRAM_PATH });
  const locks = createFileLocks(runner);
  const targets: string[] = [];
  let log = '';

  function context(signal = new AbortController().signal): InstallContext {
    return {
      signal,
      log: (line) => {
        log += `${line}\n`;
      },
      script: (name, args, options) =>
        runner.check({
          label: `script ${name}`,
          program: join(home, 'scripts', name),
          args,
          ...options,
          signal,
          onOutput: (chunk) => {
            log += chunk.toString();
          },
        }),
    };
  }

  return {
    home,
    runner,
    locks,
    context,
    /** A keeper as one process has it. */
    keeper: (state_dir = join(home, 'state')): BaseKeeper =>
      createBases({
        runner,
        locks,
        state_dir,
        run_dir: join(home, 'run'),
        scripts_dir: join(home, 'scripts'),
      }),
    log: () => log,
    made: () => timesMade(home),
    /** The files of the folder of bases. */
    files: () => {
      const folder = join(home, 'state/base');
      return existsSync(folder) ? readdirSync(folder).sort() : [];
    },
    /** Makes and mounts a root disk. */
    target(size = '24M'): Target {
      const disk = join(home, 'disks', `${targets.length}.img`);
      const root = join(home, 'disks', String(targets.length));
      execFileSync('truncate', ['-s', size, disk]);
      execFileSync('mkfs.ext4', ['-q', disk]);
      mkdirSync(root);
      execFileSync('mount', ['-o', 'loop', disk, root]);
      targets.push(root);
      return { root, text: (file) => readFileSync(join(root, file), 'utf8') };
    },
    clean() {
      for (const root of targets) execFileSync('umount', [root]);
      rmSync(home, { recursive: true, force: true });
    },
  };
}
