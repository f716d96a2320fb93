import type { Config } from '../config/schema.ts';
import { AgentError } from '../core/errors.ts';
import { wholeNumber } from '../core/fields.ts';
import type { GuestConfig, GuestConfigStore } from '../core/guest-configs.ts';
import { parseNics } from '../core/net.ts';
import type { DiskStore, Hypervisor, ImageType } from '../core/ports.ts';
import type { UnderLock } from '../core/under-lock.ts';
import { parseVpsId } from '../core/vps.ts';
import { requireBothDisks, requireStopped } from '../core/vps-checks.ts';
import type { ConfigureOrder } from './program.ts';

const CANNOT = 'cannot be configured';
const MEMORY_MB = wholeNumber('Memory of the guest in MB.', 32, 4 * 1024 * 1024);

/** What the writing of a configuration reaches. */
export interface ConfigureDeps {
  readonly config: Pick<Config, 'NETMASK' | 'BROADCAST'>;
  readonly hypervisor: Hypervisor;
  readonly disks: Readonly<Record<ImageType, DiskStore>>;
  readonly guests: GuestConfigStore;
  readonly underLock: UnderLock;
  /** Finds the kernel that the guest boots. Error: `not_found`. */
  readonly kernel: () => Promise<Pick<GuestConfig, 'kernel' | 'initrd'>>;
}

/** Writes the configuration of a stopped VPS with a paravirtual Linux, as its installation would (LocalAgent, `configure`). */
export async function configureGuest(deps: ConfigureDeps, order: ConfigureOrder): Promise<string> {
  const vps = parseVpsId(order.vpsname);
  if (!vps) throw new AgentError('invalid_value', '-vpsid: must be a name such as xen01 or 01.');
  const memory = MEMORY_MB.safeParse(order.memory_mb);
  if (!memory.success) throw new AgentError('invalid_value', `-ram: ${memory.error.issues[0]?.message}.`);
  const nics = parseNics(order.nics, deps.config);
  const asked = order.imagetype;
  if (asked !== undefined && asked !== 'lvm' && asked !== 'vbd')
    throw new AgentError('invalid_value', '--disk-type: must be lvm or vbd.');
  const { kernel, initrd } = await deps.kernel();
  return deps.underLock(vps, 'dtc-xen_domU_gen_xen_conf', async () => {
    const { hypervisor, guests } = deps;
    await requireStopped(hypervisor, vps, CANNOT);
    const { type, root, swap } = await requireBothDisks(deps.disks, vps, asked, CANNOT);
    await hypervisor.leaveStopped(vps);
    const disks = { type, root: root.path, swap: swap.path };
    const mac = await guests.mac(vps);
    await guests.write({ vps, memory_mb: memory.data, mac, nics, disks, kernel, initrd });
    await guests.enableAutostart(vps);
    return `Wrote the configuration of ${vps.name}`;
  });
}
