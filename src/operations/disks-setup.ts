import * as z from 'zod';
import { AgentError, PROGRAM_ERRORS } from '../core/errors.ts';
import { result, vpsname, wholeNumber, word } from '../core/fields.ts';
import { makeDisks } from '../core/make-disks.ts';
import { defineOperation } from '../core/operation.ts';
import type { Disk, DiskStore } from '../core/ports.ts';
import type { VpsId } from '../core/vps.ts';
import { findIfThere, requireStopped } from '../core/vps-checks.ts';

/** Beside a new root disk, what was the only system of its VPS would be an old one, and go for its age. */
async function requireNoSystem(store: DiskStore, vps: VpsId): Promise<void> {
  const left = Object.values(await store.roots(vps)).map(({ path }) => path);
  if (left.length === 0) return;
  throw new AgentError(
    'disks_exist',
    `${vps.name} has no root disk in its place, but others: ${left.join(', ')}. Nothing was touched: rollbackVPSos puts an old system in its place, killVPS deletes all of it.`,
  );
}

const MIB = 1024 * 1024;
const MAX_DISK_MB = 64 * 1024 * 1024;

export default defineOperation({
  name: 'setupLVMDisks',
  summary:
    "Makes the VPS's root and swap disks. The same sizes again change nothing; other sizes are refused.",
  who: 'admin',
  input: z.object({
    vpsname: vpsname(),
    hddsize: wholeNumber('Size of the root disk in MB.', 1, MAX_DISK_MB),
    swapsize: wholeNumber('Size of the swap disk in MB.', 1, MAX_DISK_MB),
    imagetype: word('lvm: volumes; vbd: image files.', ['lvm', 'vbd']).default('lvm'),
  }),
  output: result,
  legacy: () => 'OK',
  lock: 'vps',
  changes: true,
  timeout_ms: 300_000,
  errors: ['disks_exist', 'vps_running', 'vps_saved', 'no_volume_group', ...PROGRAM_ERRORS],
  handler: async ({ disks, hypervisor, systems }, { vpsname: vps, hddsize, swapsize, imagetype }) => {
    const refuse = (what: string) =>
      new AgentError(
        'disks_exist',
        `${vps.name} has ${what} already; nothing was touched. Remove it with killVPS first.`,
      );
    const other = imagetype === 'lvm' ? disks.vbd : disks.lvm;
    const elsewhere = await findIfThere(other, vps);
    if (elsewhere?.root || elsewhere?.swap) throw refuse(`${other.type} disks`);

    const store = disks[imagetype];
    const there = await store.find(vps);
    const differs = async (disk: Disk | undefined, size_mb: number) =>
      disk !== undefined && disk.size_bytes !== (await store.roundedSize_bytes(size_mb));
    if ((await differs(there.root, hddsize)) || (await differs(there.swap, swapsize))) {
      const sizes = [there.root, there.swap].map((disk) =>
        disk ? `${Math.round(disk.size_bytes / MIB)} MB` : 'none',
      );
      throw refuse(`disks of other sizes (root ${sizes[0]}, swap ${sizes[1]})`);
    }
    if (!there.root) await requireNoSystem(store, vps);
    if (there.root && there.swap) return { result: `${vps.name} has these disks already` };
    await requireStopped(hypervisor, vps, 'cannot be given disks');
    await makeDisks({ store, systems }, vps, there, { root_mb: hddsize, swap_mb: swapsize });
    return { result: `Made the disks of ${vps.name}` };
  },
});
