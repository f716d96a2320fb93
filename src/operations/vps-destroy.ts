import * as z from 'zod';
import { PROGRAM_ERRORS } from '../core/errors.ts';
import { result, vpsname } from '../core/fields.ts';
import { defineOperation } from '../core/operation.ts';

const DESTROY_WAIT_MS = 60_000;

export default defineOperation({
  name: 'destroyVPS',
  summary:
    'Powers the VPS off at once, as pulling the plug would; of a saved guest, the saved memory goes. No disk is touched.',
  who: 'owner',
  input: z.object({ vpsname: vpsname() }),
  output: result,
  legacy: (output) => ['OK', output.result],
  lock: 'vps',
  settles: false,
  changes: true,
  timeout_ms: 120_000,
  errors: ['vps_not_running', ...PROGRAM_ERRORS],
  handler: async ({ hypervisor }, { vpsname: vps }) => {
    const { kind } = await hypervisor.presence(vps);
    if (kind === 'saved') await hypervisor.forgetSaved(vps);
    else await hypervisor.destroy(vps, DESTROY_WAIT_MS);
    return { result: `Destroyed ${vps.name}` };
  },
});
