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

/** Each kind of guest, by the name of its fixture. */
export const GUEST_FILES: Readonly<Record<string, () => string>> = {
  'hvm-from-disk': () =>
    renderHvmConfig({ ...guest, disks: volumes, vnc_password: undefined, iso_path: undefined }, settings()),
  'hvm-from-iso-with-screen': () =>
    renderHvmConfig(
      {
        ...guest,
        disks: volumes,
        vnc_password: "'`$(i)",
        iso_path: '/var/lib/dtc-xen/ttyssh_home/xen07/a_b-1.iso',
      },
      settings('vnc_listen=192.0.2.1\n'),
    ),
  'hvm-on-images': () =>
    renderHvmConfig({ ...guest, disks: images, vnc_password: 's3cret', iso_path: undefined }, settings()),
  bsd: () =>
    renderBsdConfig({ ...guest, disks: volumes, kernel: '/boot/netbsd-INSTALL_XEN3_DOMU' }, settings()),
};
