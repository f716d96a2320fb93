import * as z from 'zod';
import { PROGRAM_ERRORS } from '../core/errors.ts';
import { result, vpsname } from '../core/fields.ts';
import { defineOperation } from '../core/operation.ts';
import { requireStopped } from '../core/vps-checks.ts';

const SHUTDOWN_WAIT_MS = 120_000;

export default defineOperation({
  name: 'shutdownVPS',
  summary: 'Asks the guest to power off, and answers when its domain is gone.',
  who: 'owner',
  input: z.object({ vpsname: vpsname() }),
  output: result,
  legacy: (output) => ['OK', output.result],
  lock: 'vps',
  settles: false,
  changes: true,
  timeout_ms: 240_000,
  errors: ['vps_not_running', 'vps_saved', ...PROGRAM_ERRORS],
  handler: async ({ hypervisor }, { vpsname: vps }) => {
    const { kind } = await hypervisor.presence(vps);
    if (kind === 'saved') await requireStopped(hypervisor, vps, 'cannot be shut down');
    await hypervisor.shutdown(vps, SHUTDOWN_WAIT_MS);
    return { result: `Shut down ${vps.name}` };
  },
});
