import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { SCRIPTS } from '../jobs/plan-harness.ts';

const NAMES =
  'VPS_PATH VPSNUM VPSMEM DISTRO NICS FIRST_IP ALL_IPADDRS GATEWAY DNS IMAGE_TYPE XEN_DOMU_HDD_DEV_TYPE VPS_FQDN VPS_DOMAIN NODE_FQDN VIRT_TYPE KERNELPATH KERNEL_RELEASE KMOD_PATH INITRDPATH MAC_ADDR LVMNAME FSTAB_LVMNAME FW_NICS_CMD XENU_EXTRA_PARM VNC_PASSWORD BOOT_ISO'.split(
    ' ',
  );

/** Sources the file in a shell and prints what it set, and how many arguments are left to the template. */
function source(args: readonly string[], shell = 'sh', cwd = '/', between = '') {
  const script = `set -eu; . "${SCRIPTS}/dtc-xen-parse-param"; ${between}${NAMES.map((name) => `printf '%s\\0' "$${name}"`).join(';')}; printf '%s' "$#"`;
  const { status, stdout, stderr } = spawnSync(shell, ['-c', script, 'template', ...args], {
    encoding: 'utf8',
    cwd,
    env: { PATH: '/usr/bin:/bin', NICS: 'leaked', MAC_ADDR: 'leaked', VNC_PASSWORD: 'leaked' },
  });
  const values = stdout.split('\0');
  const set = Object.fromEntries(NAMES.map((name, at) => [name, values[at]]));
  return { status, stderr, set, left: values[NAMES.length] };
}

const ARGUMENTS: [string, string][] = [
  ['-path', '/var/lib/dtc-xen/mnt/01'],
  ['-vpsid', '01'],
  ['-ram', '512'],
  ['-os', 'centos'],
  ['-nic', '192.0.2.10,255.255.255.0,192.0.2.255'],
  ['-nic', '192.0.2.11,255.255.255.0,192.0.2.255'],
  ['-gw', '192.0.2.1'],
  ['-dns', '192.0.2.53,192.0.2.54'],
  ['--disk-type', 'vbd'],
  ['--xen-domu-hdd-dev-type', 'sd'],
  ['--vps-fqdn', 'mx.xen01.node.test'],
  ['--vps-domain', 'xen01.node.test'],
  ['--node-fqdn', 'node.test'],
  ['--virt-type', 'xen'],
  ['--kernel', '/boot/vmlinuz'],
  ['--kernel-release', '6.12'],
  ['--kmod-path', '/lib/modules/6.12'],
  ['--initrd', '/boot/initrd'],
  ['--mac', '02:00:00:00:00:01'],
  ['--lvm-name', 'my-vg'],
  ['--vnc-pass', 'geheim'],
  ['--boot-iso', 'netinst.iso'],
  ['--xenu_extra_parm', 'quiet 4 TERM=xterm'],
];
const EXPECTED = {
  VPS_PATH: '/var/lib/dtc-xen/mnt/01',
  VPSNUM: '01',
  VPSMEM: '512',
  DISTRO: 'centos',
  NICS: '192.0.2.10,255.255.255.0,192.0.2.255\n192.0.2.11,255.255.255.0,192.0.2.255',
  FIRST_IP: '192.0.2.10',
  ALL_IPADDRS: '192.0.2.10 192.0.2.11',
  GATEWAY: '192.0.2.1',
  DNS: '192.0.2.53,192.0.2.54',
  IMAGE_TYPE: 'vbd',
  XEN_DOMU_HDD_DEV_TYPE: 'sd',
  VPS_FQDN: 'mx.xen01.node.test',
  VPS_DOMAIN: 'xen01.node.test',
  NODE_FQDN: 'node.test',
  VIRT_TYPE: 'xen',
  KERNELPATH: '/boot/vmlinuz',
  KERNEL_RELEASE: '6.12',
  KMOD_PATH: '/lib/modules/6.12',
  INITRDPATH: '/boot/initrd',
  MAC_ADDR: '02:00:00:00:00:01',
  LVMNAME: 'my-vg',
  FSTAB_LVMNAME: 'my--vg',
  FW_NICS_CMD: '-nic 192.0.2.10,255.255.255.0,192.0.2.255 -nic 192.0.2.11,255.255.255.0,192.0.2.255',
  XENU_EXTRA_PARM: 'quiet 4 TERM=xterm',
  VNC_PASSWORD: 'geheim',
  BOOT_ISO: 'netinst.iso',
};

describe('dtc-xen-parse-param', () => {
  it.each(['sh', 'bash'])('reads every argument of the contract (%s)', (shell) => {
    const { status, set, left } = source(ARGUMENTS.flat(), shell);
    expect({ status, set, left }).toEqual({ status: 0, set: EXPECTED, left: String(ARGUMENTS.length * 2) });
  });

  it('takes them in any order; the interfaces keep theirs', () => {
    const nics = ARGUMENTS.filter(([option]) => option === '-nic');
    const others = ARGUMENTS.filter(([option]) => option !== '-nic');
    for (let turn = 0; turn < others.length; turn += 1) {
      const order = [...others.slice(turn), nics[0], ...others.slice(0, turn).reverse(), nics[1]];
      expect(source(order.flat() as string[]).set).toEqual(EXPECTED);
    }
  });

  it('leaves out what it does not know', () => {
    const { status, set } = source(['--new-option', 'value', ...ARGUMENTS.flat(), '-x', 'stray']);
    expect({ status, set }).toEqual({ status: 0, set: EXPECTED });
  });

  it('takes nothing from the environment', () => {
    expect(source([]).set).toMatchObject({ NICS: '', MAC_ADDR: '', IMAGE_TYPE: 'lvm', VIRT_TYPE: 'xen' });
  });

  it.each([
    '$(touch made)',
    '`touch made`',
    '"; touch made; "',
    "'; touch made #",
    'a b  c',
    '*',
    '-ram',
    'two\nlines',
    '\\',
    '$IFS',
    '$((1/0))',
  ])('takes a value as it is: %j', (value) => {
    const cwd = mkdtempSync(join(tmpdir(), 'parse-param-'));
    const args = ['-os', value, '--vps-fqdn', value, '--lvm-name', value, '-nic', value, '-ram', '1'];
    const { status, set } = source(args, 'sh', cwd);
    expect(status).toBe(0);
    expect(set).toMatchObject({ DISTRO: value, VPS_FQDN: value, LVMNAME: value, NICS: value, VPSMEM: '1' });
    expect(existsSync(join(cwd, 'made'))).toBe(false);
    rmSync(cwd, { recursive: true });
  });

  /** What a program finds that an old template hands its own arguments on to: `custom_os ${FW_PARAMS}`, without quotes. */
  const forwarded = (args: readonly string[]) =>
    source(args, 'sh', '/', `set -f; set -- $FW_PARAMS; . "${SCRIPTS}/dtc-xen-parse-param"; `).set;

  it('has FW_PARAMS, with which a template calls a program as it was called itself; a password is not in it', () => {
    expect(forwarded(ARGUMENTS.flat())).toEqual({ ...EXPECTED, VNC_PASSWORD: '' });
  });

  it('leaves out of FW_PARAMS what has no value, so that no option takes the next one for its own', () => {
    const none = source([]).set;
    expect(forwarded([])).toEqual(none);
    expect(forwarded(['-dns', '', '-vpsid', '01', '--initrd', ''])).toEqual({ ...none, VPSNUM: '01' });
  });

  it("keeps the screen's password out of the environment of what the template starts", () => {
    const { set } = source(['--vnc-pass', 'geheim'], 'sh', '/', 'BOOT_ISO=$(env | grep -c VNC_) || true; ');
    expect(set).toMatchObject({ VNC_PASSWORD: 'geheim', BOOT_ISO: '0' });
  });

  it('ends the template where a value is missing', () => {
    const { status, stderr } = source(['-vpsid', '01', '-path']);
    expect(status).toBe(64);
    expect(stderr).toContain('-path has no value');
  });
});
