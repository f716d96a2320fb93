import { isIPv4 } from 'node:net';
import type { Config } from '../config/schema.ts';
import { AgentError } from '../core/errors.ts';
import type { BsdConfig, CD_DRIVES, GuestConfig, HvmConfig } from '../core/guest-configs.ts';
import type { Screen } from '../core/screens.ts';

/** A whole path in a quoted string of xl's, or an item of a comma-separated one. */
const PATH = /^\/[A-Za-z0-9._+@~/-]{1,255}$/;
const BRIDGE = /^[A-Za-z0-9][A-Za-z0-9._-]{0,14}$/;
/** Kernel parameters: printable ASCII that neither ends the quoted string nor is special in it. */
const PARAMETERS = /^[\x20\x21\x23-\x5b\x5d-\x7e]{0,1024}$/;
const VPS = /^xen[0-9]{1,5}$/;
const ADDRESS = /^[0-9.]{7,15}$/;
const LOOPBACK = /^127\.0\.0\.1$/;
const MAC = /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/;

/** The configuration keys that guests are made with. */
export interface GuestSettings {
  readonly config: Pick<Config, 'XEN_DOMU_HDD_DEV_TYPE' | 'XENU_EXTRA_PARM' | 'vif_bridge'>;
  /** Path of the script that Xen runs for each disk; undefined: Xen's own. */
  readonly block_script: string | undefined;
}

/** Checks a value against the characters it may have: xl only warns of a bad one, and starts the guest without it. */
function checked(what: string, value: string, pattern: RegExp): string {
  if (pattern.test(value)) return value;
  throw new AgentError(
    'invalid_value',
    `The guest's configuration was not written: ${what} cannot be used there.`,
  );
}

/**
 * A disk line (xl-disk-configuration(5), `script`). An image goes through Xen's own block script at least, which makes a loop device
 * of a file: no qemu is needed in dom0. Ours does the same, where nothing works on the disk. What a guest would discard of an image
 * stays reserved (`no-discard`): its holes would be given to others, and its next write there would find a full file system.
 */
function diskLine(
  type: GuestConfig['disks']['type'],
  path: string,
  vdev: string,
  block_script: string | undefined,
): string {
  if (type === 'lvm' && block_script === undefined) return `phy:${path},${vdev},w`;
  const script = block_script === undefined ? 'block' : checked('block_script', block_script, PATH);
  const reserved = type === 'vbd' ? 'no-discard,' : '';
  return `format=raw,vdev=${vdev},access=w,backendtype=phy,${reserved}script=${script},target=${path}`;
}

/** The lines that every guest has, checked. */
function commonLines(
  guest: Pick<GuestConfig, 'vps' | 'memory_mb' | 'mac'> & { ips: readonly string[]; vif_options: string },
  { config }: GuestSettings,
) {
  const { vps, memory_mb, mac, ips, vif_options } = guest;
  if (!Number.isInteger(memory_mb) || memory_mb < 1) checked('the memory', '', /./);
  if (ips.length === 0 || !ips.every(isIPv4)) checked('an address', '', /./);
  const bridge = checked('vif_bridge', config.vif_bridge, BRIDGE);
  return {
    name: `name = "${checked('the name', vps.name, VPS)}"`,
    size: [`memory = ${memory_mb}`, 'vcpus = 1'],
    vif: `vif = [ "${vif_options}mac=${checked('the MAC address', mac, MAC)},bridge=${bridge},ip=${ips.join(' ')}" ]`,
    ends: ['on_poweroff = "destroy"', 'on_reboot = "restart"', 'on_crash = "restart"'],
  };
}

function diskLines(
  { type, root, swap }: GuestConfig['disks'],
  device: string,
  { block_script }: GuestSettings,
): string[] {
  return [
    diskLine(type, checked('the root disk', root, PATH), `${device}a`, block_script),
    diskLine(type, checked('the swap disk', swap, PATH), `${device}b`, block_script),
  ];
}

const diskList = (lines: readonly string[]) => `disk = [ ${lines.map((line) => `"${line}"`).join(', ')} ]`;

/**
 * Renders /etc/xen/xenNN of a paravirtual guest (xl.cfg(5)). A guest has one interface with all its addresses, as in
 * DTC-Xen: its first is eth0's, the others are aliases, and the traffic of all is counted on the one vif. net.ifnames=0 keeps
 * it eth0, before an initrd's udev can rename it.
 *
 * @throws AgentError invalid_value naming what cannot be written
 */
export function renderGuestConfig(guest: GuestConfig, settings: GuestSettings): string {
  const { nics, disks, kernel, initrd } = guest;
  const { XEN_DOMU_HDD_DEV_TYPE: device, XENU_EXTRA_PARM } = settings.config;
  const lines = commonLines({ ...guest, ips: nics.map(({ ip }) => ip), vif_options: '' }, settings);
  const ramdisk = initrd === undefined ? [] : [`ramdisk = "${checked('the initrd', initrd, PATH)}"`];
  const parameters = checked('XENU_EXTRA_PARM', XENU_EXTRA_PARM, PARAMETERS).trim();
  return `${[
    '# Written by dtc-xen-agent. A reinstallation writes it anew.',
    lines.name,
    'type = "pv"',
    `kernel = "${checked('the kernel', kernel, PATH)}"`,
    ...ramdisk,
    ...lines.size,
    diskList(diskLines(disks, device, settings)),
    lines.vif,
    `root = "/dev/${device}a ro"`,
    // The last console is the system's (kernel-parameters.txt): the one that console users and the log are on.
    `extra = "${['net.ifnames=0', parameters, 'console=hvc0'].filter(Boolean).join(' ')}"`,
    ...lines.ends,
  ].join('\n')}\n`;
}

/** What xl's quoted string bears: no quote, no backslash. VNC looks at 8 characters. */
const VNC_PASSWORD = /^[\x20\x21\x23-\x5b\x5d-\x7e]{1,8}$/;
const CD_VDEVS = ['hdc', 'hdd'] as const satisfies { length: typeof CD_DRIVES };

function screenLines({ display, address, password }: Screen): string[] {
  // Whatever made it: no screen is open to others without a password.
  if (password === undefined) checked('the address of a screen without a password', address, LOOPBACK);
  if (!Number.isInteger(display) || display < 0) checked('the number of the screen', '', /./);
  return [
    'vnc = 1',
    `vnclisten = "${checked('vnc_listen', address, ADDRESS)}"`,
    `vncdisplay = ${display}`,
    'vncunused = 0',
    ...(password === undefined ? [] : [`vncpasswd = "${checkedPassword(password)}"`]),
  ];
}

function checkedPassword(password: string): string {
  if (VNC_PASSWORD.test(password)) return password;
  throw new AgentError(
    'invalid_value',
    `The guest's configuration was not written: VNC's password, the first 8 characters of what was ordered, must be of ASCII letters, digits and signs, without " and \\.`,
  );
}

/**
 * Renders /etc/xen/xenNN of a fully virtualized guest. Its screen is always at the same port: qemu does not look for another.
 *
 * @throws AgentError invalid_value naming what cannot be written
 */
export function renderHvmConfig(guest: HvmConfig, settings: GuestSettings): string {
  const { screen, isos, boots_iso } = guest;
  const lines = commonLines({ ...guest, vif_options: 'type=ioemu,' }, settings);
  if (isos.length > CD_VDEVS.length || (boots_iso && isos.length === 0)) checked('the isos', '', /./);
  const drives = isos.map(
    (path, at) =>
      `format=raw,vdev=${CD_VDEVS[at]},access=ro,devtype=cdrom,target=${checked('the iso', path, PATH)}`,
  );
  return `${[
    '# Written by dtc-xen-agent. writeXenHVMconf writes it anew.',
    lines.name,
    'type = "hvm"',
    ...lines.size,
    diskList([...diskLines(guest.disks, 'hd', settings), ...drives]),
    `boot = "${boots_iso ? 'dc' : 'c'}"`,
    lines.vif,
    ...(screen === undefined ? ['vnc = 0'] : screenLines(screen)),
    'serial = "pty"',
    'usbdevice = [ "tablet" ]',
    ...lines.ends,
  ].join('\n')}\n`;
}

/**
 * Renders /etc/xen/xenNN of a BSD guest, whose kernel finds its root by itself.
 *
 * @throws AgentError invalid_value naming what cannot be written
 */
export function renderBsdConfig(guest: BsdConfig, settings: GuestSettings): string {
  const lines = commonLines({ ...guest, vif_options: '' }, settings);
  return `${[
    '# Written by dtc-xen-agent. changeBSDkernel writes it anew.',
    lines.name,
    'type = "pv"',
    `kernel = "${checked('the kernel', guest.kernel, PATH)}"`,
    ...lines.size,
    diskList(diskLines(guest.disks, settings.config.XEN_DOMU_HDD_DEV_TYPE, settings)),
    lines.vif,
    ...lines.ends,
  ].join('\n')}\n`;
}
