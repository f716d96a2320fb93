import * as z from 'zod';
import { PROGRAM_ERRORS } from '../core/errors.ts';
import { out, vpsname } from '../core/fields.ts';
import { Double } from '../core/legacy-value.ts';
import { defineOperation } from '../core/operation.ts';
import { requireCounters } from '../core/vps-checks.ts';

export default defineOperation({
  name: 'getCPUUsage',
  summary: 'Tells the CPU seconds that a running VPS has used since it was started.',
  who: 'owner',
  input: z.object({ vpsname: vpsname() }),
  output: z.object({ cpu_time: out.double('CPU seconds.') }),
  legacy: ({ cpu_time }) => new Double(cpu_time),
  lock: 'none',
  changes: false,
  timeout_ms: 30_000,
  errors: ['vps_not_running', ...PROGRAM_ERRORS],
  handler: async ({ samples }, { vpsname: vps }) => ({
    cpu_time: (await requireCounters(samples, vps)).cpu_seconds,
  }),
});
