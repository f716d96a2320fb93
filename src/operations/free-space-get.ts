import * as z from 'zod';
import { PROGRAM_ERRORS } from '../core/errors.ts';
import { out } from '../core/fields.ts';
import { defineOperation } from '../core/operation.ts';

export default defineOperation({
  name: 'getFreeSpace',
  summary: 'Tells the room for more disks in the volume group, and the memory that Xen can give to guests.',
  who: 'admin',
  input: z.object({}),
  output: z.object({
    disk_mb: out.long('MB free in the volume group.'),
    memory_mb: out.long('MB free for guests.'),
    waiting_mb: out.long(
      'MB more in the volume group when removed disks are overwritten (wipe_removed_disks).',
    ),
  }),
  // DTC-Xen answered the exit code and the output of the two commands that it ran, as two pairs.
  legacy: ({ disk_mb, memory_mb }) => [
    [0, `${disk_mb}`],
    [0, `${memory_mb}`],
  ],
  lock: 'none',
  changes: false,
  timeout_ms: 30_000,
  errors: ['no_volume_group', 'store_away', ...PROGRAM_ERRORS],
  handler: async ({ disks, hypervisor }) => {
    const [disk_mb, waiting_mb, memory_mb] = await Promise.all([
      disks.lvm.free_mib(),
      disks.lvm.waiting_mib(),
      hypervisor.freeMemory_mib(),
    ]);
    return { disk_mb, memory_mb, waiting_mb };
  },
});
