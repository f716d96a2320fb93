// Guests that install themselves, as their configuration is rendered: what a real xl was shown (fixtures/xl-dry-run).
import { parseConfig } from '../../src/config/load.ts';
import { renderBsdConfig, renderHvmConfig } from '../../src/drivers/guest-config-text.ts';
import { vpsOf } from '../jobs/plan-harness.ts';

const settings = (text = '') => ({
  config: parseConfig(text),
  block_script: undefined,
});
const volumes = { type: 'lvm', root: '/dev/vg0/xen07', swap: '/dev/vg0/xen07swap' } as const;
const images = {
  type: 'vbd',
  root: '/var/lib/dtc-xen/mnt/xen07.img',
  swap: '/var/lib/dtc-xen/mnt/xen07.swap.img',
} as const;
const guest = { vps: vpsOf('07'), memory_mb: 256, mac: '00:16:3e:82:75:df', ips: ['192.0.2.7', '192.0.2.8'] };

const ISO = '/var/lib/dtc-xen/ttyssh_home/.iso/xen07/a_b-1.iso';
const SCREEN = { display: 7, address: '127.0.0.1', port: 5907 };

/** Each kind of guest, by the name of its fixture. */
export const GUEST_FILES: Readonly<Record<string, () => string>> = {
  'hvm-from-disk': () =>
    renderHvmConfig(
      { ...guest, disks: volumes, screen: undefined, isos: [ISO], boots_iso: false },
      settings(),
    ),
  'hvm-from-iso-with-screen': () =>
    renderHvmConfig(
      {
        ...guest,
        disks: volumes,
        screen: { ...SCREEN, address: '192.0.2.1', password: "'` $(i)" },
        isos: [ISO, ISO.replace('a_b-1', 'b')],
        boots_iso: true,
      },
      settings(),
    ),
  'hvm-on-images': () =>
    renderHvmConfig(
      { ...guest, disks: images, screen: { ...SCREEN, password: 's3cret' }, isos: [], boots_iso: false },
      settings(),
    ),
  'hvm-without-des': () =>
    renderHvmConfig(
      { ...guest, disks: volumes, screen: { ...SCREEN, password: undefined }, isos: [], boots_iso: false },
      settings(),
    ),
  bsd: () =>
    renderBsdConfig({ ...guest, disks: volumes, kernel: '/boot/netbsd-INSTALL_XEN3_DOMU' }, settings()),
};
