import { spawnSync } from 'node:child_process';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SCRIPTS } from '../jobs/plan-harness.ts';
import { call, loopsOver, mountsBelow } from './call.ts';

const NIC = '192.0.2.10,255.255.255.0,192.0.2.255';
let folder: string;
let image: string;
let mounted: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'reinstall-scripts-'));
  image = join(folder, 'xen01.img');
  mounted = join(folder, '01');
  writeFileSync(image, '');
  truncateSync(image, 32 << 20);
  expect(call('reinstall-mkfs', ['--root', image]).stderr).toBe('');
  expect(call('reinstall-mount', ['--root', image, '--on', mounted]).stderr).toBe('');
});
afterAll(() => {
  expect(call('reinstall-umount', [mounted])).toMatchObject({ exit_code: 0, stderr: '' });
  expect([...mountsBelow(folder), ...loopsOver(folder)]).toEqual([]);
  rmSync(folder, { recursive: true });
});

const SCRIPT_NAMES = readdirSync(SCRIPTS).filter((name) => /^(reinstall-|base-|fsck-disk$)/.test(name));

describe('every script', () => {
  it.each([
    'http://[2001:db8::5/debian',
    'http://[x]/debian',
    'http://a[::1]/debian',
    'http://[::1]x/debian',
  ])('reinstall-bootstrap takes no mirror %s', (mirror) => {
    const args = ['--root', '/nowhere', '--release', 'trixie', '--mirror', mirror];
    expect(call('reinstall-bootstrap', args).stderr).toContain('--mirror: not the address of a mirror');
  });

  it.each(['http://[2001:db8::5]:3142/debian', 'https://[::1]/debian', 'http://mirror.test:3142/debian'])(
    'reinstall-bootstrap takes the mirror %s',
    (mirror) => {
      const args = ['--root', '/nowhere', '--release', 'trixie', '--mirror', mirror];
      const { stderr } = call('reinstall-bootstrap', args);
      expect(stderr).not.toContain('--mirror');
      expect(stderr).toContain('/nowhere');
    },
  );

  it('passes shellcheck', () => {
    const files = [...SCRIPT_NAMES, 'lib/checks', 'lib/apt-mirror', 'lib/locale', 'dtc-xen-parse-param'];
    const { status, stdout } = spawnSync('shellcheck', ['-x', ...files], { cwd: SCRIPTS, encoding: 'utf8' });
    expect(stdout).toBe('');
    expect(status).toBe(0);
  });

  it.each(SCRIPT_NAMES)('%s -h tells how it is called', (name) => {
    const { exit_code, stdout } = call(name, ['-h']);
    expect(exit_code).toBe(0);
    expect(stdout).toMatch(new RegExp(`^Usage: ${name} `));
  });

  it.each(SCRIPT_NAMES)('%s refuses to guess', (name) => {
    expect(call(name, []).stderr).toContain(`${name}: `);
    expect(call(name, []).exit_code).toBe(name === 'fsck-disk' ? 64 : 2);
    expect(call(name, ['--frobnicate']).exit_code).toBe(name === 'fsck-disk' ? 64 : 2);
  });
});

describe('what would get into a guest is checked again', () => {
  const base = (changed: Record<string, string>) =>
    Object.entries({ '--name': 'xen01', '--fqdn': 'mx.test', '--ip': '192.0.2.10', ...changed }).flat();

  it.each([
    ['reinstall-base-config', base({ '--name': 'xen01; reboot' }), 2, 'name of a VPS'],
    ['reinstall-base-config', base({ '--name': '../x' }), 2, 'name of a VPS'],
    ['reinstall-base-config', base({ '--fqdn': 'a b' }), 2, 'not a host name'],
    ['reinstall-base-config', base({ '--fqdn': 'a\nb' }), 2, 'not a host name'],
    ['reinstall-base-config', base({ '--fqdn': `${'a.'.repeat(150)}b` }), 2, 'not a host name'],
    ['reinstall-base-config', base({ '--ip': '192.0.2.256' }), 2, 'not an IPv4 address'],
    ['reinstall-base-config', base({ '--ip': '192.0.2.1\n0.0.0.0' }), 2, 'not an IPv4 address'],
    ['reinstall-base-config', base({ '--disk-type': '/dev/x' }), 2, 'must be xvd, sd or hd'],
    ['reinstall-base-config', base({ '--kernel-release': '../../etc' }), 2, 'not a kernel release'],
    ['reinstall-network', ['--gateway', '192.0.2.1'], 2, '--nic is missing'],
    ['reinstall-network', ['--nic', NIC, '--gateway', 'x'], 2, 'not an IPv4 address'],
    ['reinstall-network', ['--nic', NIC], 2, 'not an IPv4 address'],
    [
      'reinstall-network',
      ['--nic', `${NIC},x`, '--gateway', '192.0.2.1'],
      2,
      'one IP,NETMASK,BROADCAST each',
    ],
    ['reinstall-network', ['--nic', `${NIC}\nup reboot`, '--gateway', '192.0.2.1'], 2, 'one IP'],
    ['reinstall-network', ['--nic', '192.0.2.10', '--gateway', '192.0.2.1'], 2, '(netmask)'],
    ['reinstall-network', ['--nic', NIC, '--gateway', '192.0.2.1', '--dns', '192.0.2.53\nevil'], 2, '--dns'],
    ['reinstall-bootstrap', ['--release', '../x'], 2, '--release'],
    [
      'reinstall-bootstrap',
      ['--release', 'trixie', '--mirror', 'http://x.test/ [trusted=yes]'],
      2,
      '--mirror',
    ],
    ['reinstall-bootstrap', ['--release', 'trixie', '--packages', 'a;b'], 2, '--packages'],
    ['reinstall-bootstrap', ['--release', 'trixie', '--tool', 'sh'], 2, '--tool'],
  ])('%s %j', (name, args, exit_code, why) => {
    const called = call(name, ['--root', mounted, ...args]);
    expect(called.stderr).toContain(why);
    expect(called.exit_code).toBe(exit_code);
    expect(readdirSync(mounted)).toEqual(['lost+found']);
  });

  it.each(['', 'plain', '$1$salt$weakweakweak', '$6$s:0:0$xxxxxxxxxxxx', 'root:$6$salt$xxxxxxxxxxxx'])(
    'reinstall-root-password takes no %j',
    (hash) => {
      const { exit_code, stderr } = call('reinstall-root-password', ['--root', mounted], hash);
      expect(exit_code).toBe(1);
      expect(stderr).not.toContain('salt');
    },
  );

  it('reinstall-root-password wants a system', () => {
    const { exit_code, stderr } = call(
      'reinstall-root-password',
      ['--root', mounted],
      '$6$salt$xxxxxxxxxxxx\n',
    );
    expect(exit_code).toBe(1);
    expect(stderr).toContain('nothing is installed there');
  });
});

describe('dom0 is never written into', () => {
  it.each(['/', '/tmp', 'relative', '/no/such/folder'])('a root that is no mount of its own: %s', (root) => {
    const args = ['--root', root, '--nic', NIC, '--gateway', '192.0.2.1'];
    expect(call('reinstall-network', args).exit_code).toBeGreaterThan(0);
  });

  it('a folder that a link of the guest leads out of its root', () => {
    const outside = join(folder, 'outside');
    mkdirSync(outside);
    symlinkSync(outside, join(mounted, 'etc'));
    const { exit_code, stderr } = call('reinstall-network', [
      '--root',
      mounted,
      '--nic',
      NIC,
      '--gateway',
      '192.0.2.1',
    ]);
    rmSync(join(mounted, 'etc'));
    expect(exit_code).toBe(1);
    expect(stderr).toContain("leads out of the guest's root");
    expect(readdirSync(outside)).toEqual([]);
  });

  it('a file that is a link is replaced, not followed', () => {
    const victim = join(folder, 'victim');
    writeFileSync(victim, 'dom0');
    mkdirSync(join(mounted, 'etc'));
    symlinkSync(victim, join(mounted, 'etc/resolv.conf'));
    const args = ['--root', mounted, '--nic', NIC, '--gateway', '198.51.100.1', '--dns', '192.0.2.53'];
    expect(call('reinstall-network', args).exit_code).toBe(0);
    expect(readFileSync(victim, 'utf8')).toBe('dom0');
    expect(readFileSync(join(mounted, 'etc/resolv.conf'), 'utf8')).toBe('nameserver 192.0.2.53\n');
    expect(readFileSync(join(mounted, 'etc/network/interfaces'), 'utf8')).toContain(
      'post-up ip route add 198.51.100.1 dev eth0\n\tpost-up ip route add default via 198.51.100.1 dev eth0\n',
    );
    rmSync(join(mounted, 'etc'), { recursive: true });
  });

  it('reinstall-umount takes no /', () => {
    expect(call('reinstall-umount', ['/'])).toMatchObject({ exit_code: 1 });
  });
});

describe('disks in use', () => {
  it.each([
    ['reinstall-mkfs', () => ['--root', image], 1],
    ['reinstall-mount', () => ['--root', image, '--on', join(folder, 'other')], 1],
    ['fsck-disk', () => [image], 64],
  ])('%s refuses a mounted image', (name, args, exit_code) => {
    const called = call(name, args());
    expect(called.stderr).toContain('is in use through /dev/loop');
    expect(called.exit_code).toBe(exit_code);
    expect(mountsBelow(folder)).toEqual([mounted]);
  });

  it('reinstall-mount does not mount twice on one place', () => {
    const other = join(folder, 'other.img');
    writeFileSync(other, '');
    truncateSync(other, 8 << 20);
    expect(call('reinstall-mkfs', ['--root', other]).exit_code).toBe(0);
    const { exit_code, stderr } = call('reinstall-mount', ['--root', other, '--on', mounted]);
    expect(exit_code).toBe(1);
    expect(stderr).toContain('take it down with reinstall-umount first');
    expect(loopsOver(other)).toEqual([]);
  });

  it('a disk that is not there, and one that is too small', () => {
    expect(call('reinstall-mkfs', ['--root', '/no/such/disk']).stderr).toContain(
      'neither a block device nor',
    );
    writeFileSync(join(folder, 'small.img'), 'x');
    expect(call('reinstall-mkfs', ['--root', join(folder, 'small.img')]).exit_code).toBe(1);
  });
});
