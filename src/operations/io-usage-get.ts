import * as z from 'zod';
import { PROGRAM_ERRORS } from '../core/errors.ts';
import { out, vpsname } from '../core/fields.ts';
import { defineOperation } from '../core/operation.ts';
import { requireCounters } from '../core/vps-checks.ts';

export default defineOperation({
  name: 'getIOUsage',
  summary: 'Tells the 512-byte sectors read and written on the disks of a running VPS, since it was started.',
  who: 'owner',
  input: z.object({ vpsname: vpsname() }),
  output: z.object({
    filesystem_sectors: out.long('Sectors of the root disk.'),
    swap_sectors: out.long('Sectors of the swap disk.'),
  }),
  legacy: ({ filesystem_sectors, swap_sectors }) => `${filesystem_sectors},${swap_sectors}`,
  lock: 'none',
  changes: false,
  timeout_ms: 30_000,
  errors: ['vps_not_running', ...PROGRAM_ERRORS],
  handler: async ({ samples }, { vpsname: vps }) => {
    const { root_sectors, swap_sectors } = await requireCounters(samples, vps);
    return { filesystem_sectors: root_sectors, swap_sectors };
  },
});
