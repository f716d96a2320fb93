import { access, stat } from 'node:fs/promises';
import { hostname, release } from 'node:os';
import type { Config } from '../config/schema.ts';
import { AgentError } from '../core/errors.ts';
import { unlessMissing } from './missing.ts';

/** The kernel that paravirtual guests boot. */
export interface GuestKernel {
  readonly kernel: string;
  readonly initrd: string | undefined;
  readonly release: string;
  readonly modules: string;
}

/** The node's name: node_name, else its host name. */
export function nodeName(config: Pick<Config, 'node_name'>): string {
  return config.node_name === '' ? hostname() : config.node_name;
}

/** Whether a folder is there. */
export async function isFolder(path: string): Promise<boolean> {
  return (await unlessMissing(stat(path), undefined))?.isDirectory() ?? false;
}

const exists = (path: string) =>
  unlessMissing(
    access(path).then(() => true),
    false,
  );

/**
 * Finds the guests' kernel: KERNELPATH and INITRDPATH, else the kernel that dom0 runs and the initrd that goes with it,
 * where there is one.
 *
 * @throws AgentError not_found where there is no such kernel
 */
export async function guestKernel(
  config: Pick<Config, 'KERNELPATH' | 'INITRDPATH' | 'KERNEL_RELEASE' | 'KMOD_PATH'>,
  boot_dir = '/boot',
): Promise<GuestKernel> {
  const running = config.KERNEL_RELEASE === '' ? release() : config.KERNEL_RELEASE;
  const kernel = config.KERNELPATH === '' ? `${boot_dir}/vmlinuz-${running}` : config.KERNELPATH;
  if (!(await exists(kernel))) {
    throw new AgentError(
      'not_found',
      `There is no kernel ${kernel} for guests; see KERNELPATH in dtc-xen.conf.`,
    );
  }
  // A kernel of its own without an INITRDPATH boots without one: dom0's would not fit it.
  const fitting = config.KERNELPATH === '' ? `${boot_dir}/initrd.img-${running}` : '';
  const wanted = config.INITRDPATH === '' ? fitting : config.INITRDPATH;
  const found = wanted !== '' && (await exists(wanted));
  if (config.INITRDPATH !== '' && !found) {
    throw new AgentError(
      'not_found',
      `There is no initrd ${wanted} for guests; see INITRDPATH in dtc-xen.conf.`,
    );
  }
  return {
    kernel,
    initrd: found ? wanted : undefined,
    release: running,
    modules: config.KMOD_PATH === '' ? `/lib/modules/${running}` : config.KMOD_PATH,
  };
}
