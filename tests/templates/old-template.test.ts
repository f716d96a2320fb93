// A template as they were written for DTC-Xen: sh, sourcing dtc-xen-parse-param by its absolute path, and doing everything
// by itself with the variables that it sets.
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';

const SCRIPTS = resolve(import.meta.dirname, '../../scripts');
const INSTALL_OS = `#!/bin/sh

set -e # DIE on errors
. /usr/share/dtc-xen/dtc-xen-parse-param

echo "===> Installing into $VPS_PATH"
mkdir -p $VPS_PATH/etc/network
echo "xen$VPSNUM" >$VPS_PATH/etc/hostname
echo "$FIRST_IP $VPS_FQDN" >$VPS_PATH/etc/hosts
i=0
for nic in $NICS; do
  echo "eth0:$i $(echo $nic | cut -d, -f1) $(echo $nic | cut -d, -f2) $(echo $nic | cut -d, -f3)" >>$VPS_PATH/etc/network/all
  i=$((i + 1))
done
case "$VPSMEM,$DISTRO,$IMAGE_TYPE,$GATEWAY,$VIRT_TYPE" in
  128,centos,lvm,192.0.2.1,xen) ;;
  *) exit 1 ;;
esac
echo "/dev/mapper/$FSTAB_LVMNAME-xen$VPSNUM / ext4" >$VPS_PATH/etc/fstab
for server in $(echo $DNS | tr ',' ' '); do echo "nameserver $server"; done >$VPS_PATH/etc/resolv.conf
`;

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'old-template-'));
  mkdirSync(join(folder, 'root'));
  writeFileSync(join(folder, 'install_os'), INSTALL_OS);
  chmodSync(join(folder, 'install_os'), 0o755);
});
afterEach(() => rmSync(folder, { recursive: true }));

const PAIRS: readonly (readonly [string, string])[] = [
  ...([
    ['-vpsid', '01'],
    ['-ram', '128'],
    ['-os', 'centos'],
    ['-gw', '192.0.2.1'],
  ] as const),
  ...([
    ['-nic', '192.0.2.10,255.255.255.0,192.0.2.255'],
    ['-nic', '192.0.2.11,255.255.255.0,192.0.2.255'],
  ] as const),
  ...([
    ['-dns', '192.0.2.53,192.0.2.54'],
    ['--disk-type', 'lvm'],
    ['--xen-domu-hdd-dev-type', 'xvd'],
  ] as const),
  ...([
    ['--vps-fqdn', 'mx.xen01.node1.example.com'],
    ['--vps-domain', 'xen01.node1.example.com'],
  ] as const),
  ...([
    ['--node-fqdn', 'node1.example.com'],
    ['--virt-type', 'xen'],
    ['--kernel', '/boot/k'],
  ] as const),
  ...([
    ['--kernel-release', '6.12'],
    ['--kmod-path', '/lib/modules/6.12'],
    ['--lvm-name', 'vg-data'],
  ] as const),
];

/** Runs the template where /usr/share/dtc-xen is the agent's, as it is on a node: in a mount namespace of its own. */
function run(pairs: typeof PAIRS): string {
  const [install_os, root] = [join(folder, 'install_os'), join(folder, 'root')];
  const inside = [
    'set -e; scripts=$1; shift',
    'mount -t tmpfs test /usr/share',
    'mkdir /usr/share/dtc-xen',
    'cp "$scripts/dtc-xen-parse-param" /usr/share/dtc-xen',
    'exec "$scripts/reinstall-hook" "$@"',
  ];
  const shell = ['-c', inside.join('\n'), 'sh', SCRIPTS, install_os, '-path', root, ...pairs.flat()];
  return execFileSync('unshare', ['--mount', '--propagation', 'slave', 'sh', ...shell], { encoding: 'utf8' });
}

it.each([
  ['in order', PAIRS],
  [
    'backwards, but for the NICs',
    [...PAIRS].reverse().sort((one, other) => one.join().localeCompare(other.join())),
  ],
])('runs with its arguments %s', (_order, pairs) => {
  expect(run(pairs)).toBe(`===> Installing into ${folder}/root\n`);
  const file = (name: string) => readFileSync(join(folder, 'root/etc', name), 'utf8');
  expect(file('hostname')).toBe('xen01\n');
  expect(file('hosts')).toBe('192.0.2.10 mx.xen01.node1.example.com\n');
  expect(file('network/all')).toBe(
    'eth0:0 192.0.2.10 255.255.255.0 192.0.2.255\neth0:1 192.0.2.11 255.255.255.0 192.0.2.255\n',
  );
  expect(file('fstab')).toBe('/dev/mapper/vg--data-xen01 / ext4\n');
  expect(file('resolv.conf')).toBe('nameserver 192.0.2.53\nnameserver 192.0.2.54\n');
});
