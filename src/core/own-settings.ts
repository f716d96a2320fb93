import type { Config } from '../config/schema.ts';
import type { VpsId } from './vps.ts';

/** The keys of the configuration that one VPS may have other values of. */
export type OwnKeys = Pick<
  Config,
  | 'KERNELPATH'
  | 'INITRDPATH'
  | 'KERNEL_RELEASE'
  | 'KMOD_PATH'
  | 'XEN_DOMU_HDD_DEV_TYPE'
  | 'XENU_EXTRA_PARM'
  | 'node_name'
>;

/** What an admin at the node says for one VPS, in the place of what the node's configuration says for all. */
export interface OwnSettings {
  readonly vps: VpsId;
  readonly config: Partial<OwnKeys>;
  /** Its MAC address, in lower case, in the place of the one that it has or would get. */
  readonly mac?: string;
  /** The guest's whole name; without: `mx` in its domain. */
  readonly fqdn?: string;
  /** Its domain; without: the VPS's name below the node's. */
  readonly domain?: string;
}

/** The configuration as it is for that VPS. */
export function configFor(config: Config, own: OwnSettings | undefined): Config {
  return own === undefined ? config : Object.freeze({ ...config, ...own.config });
}
