// The real Xen host as the driver contract sees it from dom0. Its guests are the lab's bare ones: an initrd, and no system.
import { setTimeout as sleep } from 'node:timers/promises';
import { parseConfig } from '../../../src/config/load.ts';
import { parseVpsId, type VpsId } from '../../../src/core/vps.ts';
import { createDiskFiles } from '../../../src/drivers/disk-files.ts';
import { createGuestConfigs } from '../../../src/drivers/guest-config.ts';
import { createLvm } from '../../../src/drivers/lvm.ts';
import { createRunner } from '../../../src/drivers/run.ts';
import type { DriverNode } from '../../contract/drivers/driver-node.ts';

const CACHE = '/var/cache/dtc-xen-lab';
/** xenbus's XenbusStateConnected (xen/io/xenbus.h). */
const CONNECTED = '4';

const POOL = 'contractpool';

/** The same with a thin pool for its disks, which is removed with all that is in it. */
export async function openRealThinNode(): Promise<DriverNode> {
  const node = await openRealNode();
  const lvm = (program: string, ...args: string[]) =>
    node.runner.check({ label: program, program, args, timeout_ms: 90_000 });
  await lvm('modprobe', 'dm-thin-pool');
  await lvm('lvcreate', '-y', '--type', 'thin-pool', '-L', '2G', '-n', POOL, node.volume_group);
  return {
    ...node,
    config: { ...node.config, provisioning_thinpool: POOL },
    cleanup: async () => void (await lvm('lvremove', '-y', `${node.volume_group}/${POOL}`)),
  };
}

/** Opens the machine that this runs on as a {@link DriverNode}. */
export async function openRealNode(): Promise<DriverNode> {
  // What the agent of this machine is told of removed disks is for others.
  const config = parseConfig('wipe_removed_disks=no\nrun_dir=/run/dtc-xen-contract\n');
  const runner = createRunner({ path: config.program_path });
  const ask = async (program: string, ...args: string[]) =>
    (await runner.run({ label: program, program, args, timeout_ms: 20_000 })).stdout.trim();
  return {
    config,
    runner,
    volume_group: 'vg0',
    kernel: `${CACHE}/vmlinuz`,
    initrd: `${CACHE}/initrd-bare.img`,
    memory_mb: 128,
    fillRoot: async () => undefined,
    // Its init runs once its network is there: that module is in the initrd.
    async booted({ name }) {
      const domid = await ask('xl', 'domid', name);
      for (let tries = 120; tries > 0; tries -= 1) {
        if ((await ask('xenstore-read', `/local/domain/${domid}/device/vif/0/state`)) === CONNECTED) return;
        await sleep(500);
      }
      throw new Error(`${name} does not come up.`);
    },
    async cleanup() {
      const vps = parseVpsId('xen91') as VpsId;
      await createGuestConfigs({ config }).remove(vps);
      await createLvm({ runner, config }).remove(vps);
      await createDiskFiles({ runner, config }).remove(vps);
    },
  };
}
