import { basename, dirname } from 'node:path';
import type { Config } from '../config/schema.ts';
import type { ReinstallRequest } from '../core/ports.ts';
import type { VpsId } from '../core/vps.ts';
import type { IdleDisks } from './idle-disks.ts';

/** The kernel that a paravirtual guest boots, as the node has it. */
export interface GuestKernel {
  readonly kernel: string;
  readonly initrd: string | undefined;
  readonly release: string;
  /** Its modules; the folder may be missing where the kernel has none. */
  readonly modules: string;
}

/** What the arguments of an installation's programs are made from. */
export interface Installation {
  readonly vps: VpsId;
  readonly request: ReinstallRequest;
  readonly mount_point: string;
  readonly config: Config;
  readonly kernel: GuestKernel;
  readonly node_name: string;
  readonly disks: IdleDisks;
  readonly mac: string;
}

const nicArgs = ({ nics }: ReinstallRequest, option: string) =>
  nics.flatMap(({ ip, netmask, broadcast }) => [option, `${ip},${netmask},${broadcast}`]);

/** A guest's names: DTC-Xen gave each VPS a domain below the node's, and called the machine `mx` in it. */
const domainOf = ({ vps, node_name, request }: Installation) =>
  request.own?.domain ?? `${vps.name}.${node_name}`;
const fqdnOf = (at: Installation) => at.request.own?.fqdn ?? `mx.${domainOf(at)}`;

/** The arguments of `reinstall-base-config`. */
export function baseConfigArgs(at: Installation): string[] {
  const { vps, request, mount_point, config, kernel } = at;
  return [
    ...['--root', mount_point, '--name', vps.name, '--fqdn', fqdnOf(at)],
    ...['--ip', request.nics[0]?.ip ?? '', '--disk-type', config.XEN_DOMU_HDD_DEV_TYPE],
    ...['--etc-dir', config.etc_dir, '--kernel-release', kernel.release, '--kmod-path', kernel.modules],
  ];
}

/** The arguments of `reinstall-network`. */
export function networkArgs(mount_point: string, request: ReinstallRequest): string[] {
  const args = ['--root', mount_point, ...nicArgs(request, '--nic'), '--gateway', request.gateway];
  return request.dns.length > 0 ? [...args, '--dns', request.dns.join(',')] : args;
}

/** The arguments that a template's programs and the custom_postinstall_script are called with (contract). */
export function templateArgs(at: Installation): string[] {
  const { vps, request, mount_point, config, kernel, node_name, disks, mac } = at;
  return [
    ...['-path', mount_point, '-vpsid', vps.number, '-ram', String(request.memory_mb), '-os', request.os],
    ...nicArgs(request, '-nic'),
    ...['-gw', request.gateway, '-dns', request.dns.join(',')],
    ...['--disk-type', disks.type, '--xen-domu-hdd-dev-type', config.XEN_DOMU_HDD_DEV_TYPE],
    ...['--vps-fqdn', fqdnOf(at), '--vps-domain', domainOf(at), '--node-fqdn', node_name],
    ...['--virt-type', 'xen', '--kernel', kernel.kernel, '--kernel-release', kernel.release],
    ...['--kmod-path', kernel.modules, ...(kernel.initrd ? ['--initrd', kernel.initrd] : [])],
    ...['--mac', mac],
    ...(disks.type === 'lvm' ? ['--lvm-name', basename(dirname(disks.root))] : []),
    ...(config.XENU_EXTRA_PARM === '' ? [] : ['--xenu_extra_parm', config.XENU_EXTRA_PARM]),
  ];
}
