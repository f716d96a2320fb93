// What a guest finds at its first boot: keys of its own, growth, and what is to be run there once.
import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { call } from '../scripts/call.ts';
import { copyPrograms, makeMountedRoot } from './small-root.ts';

let place: ReturnType<typeof makeMountedRoot>;
let appliance: string;
const inRoot = (path: string) => join(place.root, path);
const HOME = 'usr/lib/dtc-xen/first-boot';
const UNIT = 'etc/systemd/system/dtc-xen-first-boot.service';
const WANTS = 'etc/systemd/system/multi-user.target.wants';

function program(path: string, ...lines: string[]): string {
  writeFileSync(path, `#!/bin/sh\n${lines.join('\n')}\n`);
  chmodSync(path, 0o755);
  return path;
}

beforeEach(() => {
  place = makeMountedRoot();
  for (const folder of ['etc/ssh', 'usr/lib/systemd/system', 'var/log', 'var/lib/dbus']) {
    mkdirSync(inRoot(folder), { recursive: true });
  }
  writeFileSync(inRoot('etc/hostname'), 'xen01\n');
  writeFileSync(inRoot('etc/machine-id'), 'of another machine\n');
  writeFileSync(inRoot('var/lib/dbus/machine-id'), 'of another machine\n');
  appliance = join(place.folder, 'forum');
  mkdirSync(join(appliance, 'setup-folder/deep'), { recursive: true });
  writeFileSync(
    join(appliance, 'setup-script'),
    '#!/bin/sh\necho "$# in $PWD: $(cat setup-folder/deep/note)"\nexit 3\n',
  );
  writeFileSync(join(appliance, 'setup-folder/deep/note'), 'a note\n');
  symlinkSync('/etc/shadow', join(appliance, 'setup-folder/shadow'));
});
afterEach(() => place.remove());

const prepare = (...args: string[]) => call('reinstall-first-boot', ['--root', place.root, ...args]);
/** Without new host keys, which take their time. */
const put = (...args: string[]) => prepare('--keep-host-keys', ...args);

describe('a guest with systemd', () => {
  it('gets new ssh host keys, no machine-id, and growth at every boot', () => {
    for (const name of ['ssh_host_rsa_key', 'ssh_host_dsa_key.pub', 'sshd_config']) {
      writeFileSync(inRoot(`etc/ssh/${name}`), 'old');
    }
    expect(prepare()).toMatchObject({ exit_code: 0, stderr: '' });
    const keys = readdirSync(inRoot('etc/ssh')).sort();
    expect(keys).toEqual([
      ...['ssh_host_ecdsa_key', 'ssh_host_ecdsa_key.pub', 'ssh_host_ed25519_key', 'ssh_host_ed25519_key.pub'],
      ...['ssh_host_rsa_key', 'ssh_host_rsa_key.pub', 'sshd_config'],
    ]);
    expect(readFileSync(inRoot('etc/ssh/ssh_host_rsa_key'), 'utf8')).toMatch(
      /^-----BEGIN OPENSSH PRIVATE KEY/,
    );
    expect(lstatSync(inRoot('etc/ssh/ssh_host_rsa_key')).mode & 0o777).toBe(0o600);
    expect(readFileSync(inRoot('etc/machine-id'), 'utf8')).toBe('');
    expect(existsSync(inRoot('var/lib/dbus/machine-id'))).toBe(false);
    expect(readdirSync(inRoot(WANTS))).toEqual(['dtc-xen-growfs.service']);
    const started = /^ExecStart=\/(.*)$/m.exec(
      readFileSync(inRoot('etc/systemd/system/dtc-xen-growfs.service'), 'utf8'),
    );
    expect(lstatSync(inRoot(started?.[1] ?? 'none')).mode & 0o111).toBe(0o111);
    expect(existsSync(inRoot(UNIT))).toBe(false);
  });

  it('keeps host keys that are its own', () => {
    writeFileSync(inRoot('etc/ssh/ssh_host_rsa_key'), 'own');
    expect(prepare('--keep-host-keys').exit_code).toBe(0);
    expect(readFileSync(inRoot('etc/ssh/ssh_host_rsa_key'), 'utf8')).toBe('own');
  });

  it('has the appliance and the script; links in the folder stay links', () => {
    const script = program(join(place.folder, 'hook'), 'true');
    expect(put('--script', script, '--appliance', appliance)).toMatchObject({ exit_code: 0, stderr: '' });
    expect(put('--script', script, '--appliance', appliance)).toMatchObject({ exit_code: 0, stderr: '' });
    expect(readlinkSync(inRoot('root/setup-folder/shadow'))).toBe('/etc/shadow');
    expect(readFileSync(inRoot('root/setup-folder/deep/note'), 'utf8')).toBe('a note\n');
    expect(lstatSync(inRoot(HOME)).mode & 0o777).toBe(0o700);
    expect(readdirSync(inRoot(WANTS)).sort()).toEqual([
      'dtc-xen-first-boot.service',
      'dtc-xen-growfs.service',
    ]);
    const unit = readFileSync(inRoot(UNIT), 'utf8');
    expect(unit).toContain('ExecStart=/usr/lib/dtc-xen/first-boot/run\n');
    expect(unit).toContain('StandardOutput=append:/var/log/dtc-xen-setup.log\n');
  });

  it('has the appliance where DTC-Xen put it, in the place of what an earlier one left there', () => {
    mkdirSync(inRoot('root/setup-folder/old'), { recursive: true });
    symlinkSync('/etc/shadow', inRoot('root/dtc-xen-appliance-setup'));
    expect(put('--appliance', appliance).exit_code).toBe(0);
    expect(readdirSync(inRoot('root/setup-folder')).sort()).toEqual(['deep', 'shadow']);
    expect(lstatSync(inRoot('root/dtc-xen-appliance-setup')).mode & 0o777).toBe(0o700);
    expect(lstatSync(inRoot('root/dtc-xen-appliance-setup')).isFile()).toBe(true);
  });

  it('units are such as systemd takes', () => {
    put('--appliance', appliance);
    copyPrograms(place.root, ['sh']);
    const units = ['dtc-xen-first-boot', 'dtc-xen-growfs'].map((name) =>
      inRoot(`etc/systemd/system/${name}.service`),
    );
    const { stdout, stderr } = spawnSync(
      'systemd-analyze',
      ['verify', '--man=no', `--root=${place.root}`, ...units],
      {
        encoding: 'utf8',
      },
    );
    const about = `${stdout}${stderr}`
      .split('\n')
      .filter((line) => line.includes('dtc-xen') && !/not found/.test(line));
    expect(about).toEqual([]);
  });

  it.each(['etc/ssh', 'etc/systemd', 'usr/lib/dtc-xen', 'var/lib/dbus', 'root'])(
    'writes nothing through a link that leads out: %s',
    (link) => {
      const outside = join(place.folder, 'outside');
      mkdirSync(join(outside, 'system'), { recursive: true });
      writeFileSync(join(outside, 'machine-id'), 'of dom0\n');
      execFileSync('rm', ['-rf', inRoot(link)]);
      symlinkSync(outside, inRoot(link));
      const { exit_code, stderr } = prepare('--appliance', appliance);
      expect(exit_code).toBe(1);
      expect(stderr).toContain("leads out of the guest's root");
      expect(readdirSync(outside, { recursive: true }).sort()).toEqual(['machine-id', 'system']);
      for (const name of ['setup-folder', 'dtc-xen-appliance-setup'])
        expect(existsSync(join('/', name))).toBe(false);
    },
  );
});

describe('the first boot itself', () => {
  const boot = () =>
    spawnSync('/usr/sbin/chroot', [place.root, `/${HOME}/run`], {
      encoding: 'utf8',
      env: { PATH: '/usr/bin:/bin' },
    });
  beforeEach(() => copyPrograms(place.root, ['sh', 'date', 'rm', 'sync', 'cat', 'mkdir', 'tr', 'sed']));

  it('runs the script and then the setup-script, each in its place, and takes itself away', () => {
    const script = program(join(place.folder, 'hook'), 'echo "the hook in $PWD"');
    put('--script', script, '--appliance', appliance);
    const { status, stdout, stderr } = boot();
    expect([status, stderr]).toEqual([0, '']);
    const said = stdout.split('\n').map((line) => line.replace(/^== \S+ /, ''));
    expect(said).toEqual([
      ...['first_boot_script begins', 'the hook in /', 'first_boot_script ended with exit code 0'],
      ...["the appliance's setup-script begins", '0 in /root: a note'],
      ...["the appliance's setup-script ended with exit code 3", 'done', ''],
    ]);
    expect(existsSync(inRoot(HOME))).toBe(false);
    expect(existsSync(inRoot(UNIT))).toBe(false);
    expect(readdirSync(inRoot(WANTS))).toEqual(['dtc-xen-growfs.service']);
  });

  const PASSWORD = 'root/.dtc-xen-root-password';
  /** An old script that insists on the root password as its argument. */
  const insisting = ['echo "$0 in $PWD got $#: $1"', "tr '\\0' ' ' </proc/$$/cmdline | sed 's/^/seen: /'"];
  const withPassword = () =>
    call(
      'reinstall-first-boot',
      ['--root', place.root, '--keep-host-keys', '--appliance', appliance, '--root-password'],
      "ge heim'$(x)\n",
    );

  it('gives the root password to a setup-script that wants it, by a file that root alone reads', () => {
    program(join(appliance, 'setup-script'), ...insisting);
    expect(withPassword()).toMatchObject({ exit_code: 0, stderr: '' });
    expect(readFileSync(inRoot(PASSWORD), 'utf8')).toBe("ge heim'$(x)\n");
    expect(lstatSync(inRoot(PASSWORD)).mode & 0o777).toBe(0o600);
    execFileSync('mount', ['-t', 'proc', 'proc', inRoot('proc')]);
    const { stdout } = boot();
    execFileSync('umount', [inRoot('proc')]);
    expect(stdout).toContain("/root/dtc-xen-appliance-setup in /root got 1: ge heim'$(x)\n");
    expect(/^seen: (.*)/m.exec(stdout)?.[1]).toContain('/root/dtc-xen-appliance-setup');
    expect(/^seen: (.*)/m.exec(stdout)?.[1]).not.toContain("heim'");
    expect(existsSync(inRoot(PASSWORD))).toBe(false);
  });

  it('leaves the file to a setup-script that is no shell script', () => {
    writeFileSync(join(appliance, 'setup-script'), '#!/usr/bin/cat /root/.dtc-xen-root-password\n');
    withPassword();
    expect(boot().stdout).toContain("ge heim'$(x)\n");
  });

  it('takes the password away also where the first boot was cut off', () => {
    program(join(appliance, 'setup-script'), 'kill -9 $PPID');
    withPassword();
    boot();
    expect(existsSync(inRoot(PASSWORD))).toBe(true);
    expect(boot().stdout).toContain('was interrupted, and is not run again');
    expect(existsSync(inRoot(PASSWORD))).toBe(false);
  });

  it('does not run again what the first boot was cut off in', () => {
    const script = program(join(place.folder, 'hook'), 'echo ran', 'kill -9 $PPID');
    put('--script', script, '--appliance', appliance);
    expect(boot().stdout).toContain('ran\n');
    expect(existsSync(inRoot(UNIT))).toBe(true);
    const { stdout } = boot();
    expect(stdout).not.toContain('ran\n');
    expect(stdout).toContain('first_boot_script was interrupted, and is not run again');
    expect(stdout).toContain('setup-script ended with exit code 3');
    expect(existsSync(inRoot(UNIT))).toBe(false);
  });
});

describe('a guest without systemd', () => {
  beforeEach(() => execFileSync('rm', ['-rf', inRoot('usr/lib/systemd')]));

  it('gets keys, and nothing to be run', () => {
    expect(prepare().exit_code).toBe(0);
    expect(existsSync(inRoot('etc/ssh/ssh_host_ed25519_key'))).toBe(true);
    expect(existsSync(inRoot('etc/systemd'))).toBe(false);
  });

  it('cannot have an appliance', () => {
    const { exit_code, stderr } = put('--appliance', appliance);
    expect([exit_code, stderr]).toEqual([1, expect.stringContaining('the guest has no systemd')]);
  });
});
