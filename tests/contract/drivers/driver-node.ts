import type { Config } from '../../../src/config/schema.ts';
import type { Runner } from '../../../src/core/runner.ts';
import type { VpsId } from '../../../src/core/vps.ts';

/** A node that drivers are held against: the fake one, or a machine with Xen. */
export interface DriverNode {
  /** Has program_path, dev_dir, xen_dir and provisioning_mount_point of this node. */
  readonly config: Config;
  readonly runner: Runner;
  readonly volume_group: string;
  /** A kernel, and an initrd if it needs one, that guests of this node boot. */
  readonly kernel: string;
  readonly initrd: string | undefined;
  /** Memory of a guest that boots; the node has room for one such guest at least. */
  readonly memory_mb: number;
  /** Puts a system onto a new root disk, where the guest needs one to boot and to hear `xl shutdown`. */
  fillRoot(path: string): Promise<void>;
  /** Returns when the guest is so far that it hears `xl shutdown`. */
  booted(vps: VpsId): Promise<void>;
  /** Takes everything down that the tests made. */
  cleanup(): Promise<void>;
}
