import { isIPv4 } from 'node:net';
import type { Config } from '../config/schema.ts';
import { AgentError } from '../core/errors.ts';
import type { GuestConfig } from '../core/ports.ts';
import { guestMac } from './mac.ts';

/** A whole path in a quoted string of xl's, or an item of a comma-separated one. */
const PATH = /^\/[A-Za-z0-9._+@~/-]{1,255}$/;
const BRIDGE = /^[A-Za-z0-9][A-Za-z0-9._-]{0,14}$/;
/** Kernel parameters: printable ASCII that neither ends the quoted string nor is special in it. */
const PARAMETERS = /^[\x20\x21\x23-\x5b\x5d-\x7e]{0,1024}$/;
const VPS = /^xen[0-9]{1,5}$/;
const MAC = /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/;

/** The configuration keys that guests are made with, and the node's name. */
export interface GuestSettings {
  readonly config: Pick<
    Config,
    'XEN_DOMU_HDD_DEV_TYPE' | 'XENU_EXTRA_PARM' | 'vif_bridge' | 'vps_mac_prefix'
  >;
  readonly node: string;
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
 * A disk line. A volume is handed over as it is. An image goes through Xen's own block script, which makes a loop device
 * of a file: no qemu is needed in dom0 (xl-disk-configuration(5), `script`).
 */
function diskLine(type: GuestConfig['disks']['type'], path: string, vdev: string): string {
  return type === 'lvm'
    ? `phy:${path},${vdev},w`
    : `format=raw,vdev=${vdev},access=w,backendtype=phy,script=block,target=${path}`;
}

/**
 * Renders /etc/xen/xenNN of a paravirtual guest (xl.cfg(5)). A guest has one interface with all its addresses, as in
 * DTC-Xen: its first is eth0's, the others are aliases, and the traffic of all is counted on the one vif.
 *
 * @throws AgentError invalid_value naming what cannot be written
 */
export function renderGuestConfig(guest: GuestConfig, { config, node }: GuestSettings): string {
  const { vps, memory_mb, nics, disks, kernel, initrd } = guest;
  if (!Number.isInteger(memory_mb) || memory_mb < 1) checked('the memory', '', /./);
  if (nics.length === 0 || !nics.every(({ ip }) => isIPv4(ip))) checked('an address', '', /./);
  const device = config.XEN_DOMU_HDD_DEV_TYPE;
  const mac = guestMac({ prefix: config.vps_mac_prefix, node, vps, index: 0 });
  const ramdisk = initrd === undefined ? [] : [`ramdisk = "${checked('the initrd', initrd, PATH)}"`];
  const root = diskLine(disks.type, checked('the root disk', disks.root, PATH), `${device}a`);
  const swap = diskLine(disks.type, checked('the swap disk', disks.swap, PATH), `${device}b`);
  const bridge = checked('vif_bridge', config.vif_bridge, BRIDGE);
  const ips = nics.map(({ ip }) => ip).join(' ');
  const parameters = checked('XENU_EXTRA_PARM', config.XENU_EXTRA_PARM, PARAMETERS).trim();
  return `${[
    '# Written by dtc-xen-agent. A reinstallation writes it anew.',
    `name = "${checked('the name', vps.name, VPS)}"`,
    'type = "pv"',
    `kernel = "${checked('the kernel', kernel, PATH)}"`,
    ...ramdisk,
    `memory = ${memory_mb}`,
    'vcpus = 1',
    `disk = [ "${root}", "${swap}" ]`,
    `vif = [ "mac=${checked('the MAC address', mac, MAC)},bridge=${bridge},ip=${ips}" ]`,
    `root = "/dev/${device}a ro"`,
    `extra = "${`console=hvc0 ${parameters}`.trim()}"`,
    'on_poweroff = "destroy"',
    'on_reboot = "restart"',
    'on_crash = "restart"',
  ].join('\n')}\n`;
}
