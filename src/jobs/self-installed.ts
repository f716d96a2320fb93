import type { Config } from '../config/schema.ts';
import type { GuestConfigStore } from '../core/guest-configs.ts';
import type { SelfInstalledGuest } from '../core/vps.ts';
import { type IdleDisksDeps, idleDisks } from './idle-disks.ts';
import type { JobOrder, Step } from './plan.ts';
import type { GuestKernel } from './reinstall-args.ts';

/** What preparing a guest that installs itself reaches. */
export interface SelfInstalledDeps extends IdleDisksDeps {
  readonly config: Pick<Config, 'bsd_install_kernel_path'>;
  readonly guests: GuestConfigStore;
  readonly kernel: () => Promise<GuestKernel>;
}

const CANNOT = 'cannot be configured';

const NEXT: Readonly<Record<SelfInstalledGuest, string>> = {
  xenhvm:
    'it boots from its disk; call writeXenHVMconf to give it an iso to install from, and a screen to see it.',
  manual: "put a system on them; startVPS boots it with the node's kernel.",
  netbsd: 'startVPS boots the install kernel; call changeBSDkernel with `normal` once it is installed.',
};

/** The steps for a guest that installs itself: its configuration is written, and its disks stay as they are. */
export function selfInstalledSteps(
  { config, guests, kernel, ...deps }: SelfInstalledDeps,
  { vps, request }: JobOrder<'reinstall'>,
  guest: SelfInstalledGuest,
): Step[] {
  const { memory_mb, image_type } = request;
  const common = { vps, memory_mb, ips: request.nics.map(({ ip }) => ip) };
  return [
    {
      name: 'check',
      async run({ log }) {
        await idleDisks(deps, vps, image_type, CANNOT);
        log(`${vps.name} is stopped, and nothing uses its disks`);
        return undefined;
      },
    },
    {
      name: 'guest',
      async run({ log }) {
        const disks = await idleDisks(deps, vps, image_type, CANNOT);
        const mac = await guests.mac(vps);
        if (guest === 'xenhvm') {
          await guests.writeHvm({ ...common, mac, disks, screen: undefined, isos: [], boots_iso: false });
        } else if (guest === 'netbsd') {
          await guests.writeBsd({ ...common, mac, disks, kernel: config.bsd_install_kernel_path });
        } else {
          await guests.write({ vps, memory_mb, nics: request.nics, mac, disks, ...(await kernel()) });
        }
        // With nothing on its disks it would crash at every boot of the node.
        if (guest !== 'manual') await guests.enableAutostart(vps);
        const done = `${vps.name} is configured as ${guest}, and its disks were not touched: ${NEXT[guest]}`;
        log(done);
        return done;
      },
    },
  ];
}
