import * as z from 'zod';
import { PROGRAM_ERRORS } from '../core/errors.ts';
import { out, result, vpsname, wholeNumber } from '../core/fields.ts';
import { defineOperation } from '../core/operation.ts';
import { requireStopped } from '../core/vps-checks.ts';

/** A panel in PHP gives up after 30 s (contract, shutdownVPS). */
const WAIT_S = 17;

export default defineOperation({
  name: 'shutdownVPS',
  summary:
    'Asks the guest to power off, and answers when its domain is gone, or is not yet: getVPSState tells when.',
  who: 'owner',
  input: z.object({
    vpsname: vpsname(),
    wait_s: wholeNumber(
      `How many seconds to wait for its end at most, instead of ${WAIT_S}.`,
      0,
      180,
    ).optional(),
  }),
  output: result.extend({
    state: out.string('stopped; or stopping: the guest was asked, and is not off yet.'),
  }),
  legacy: (output) => ['OK', output.result],
  lock: 'vps',
  settles: false,
  changes: true,
  timeout_ms: 240_000,
  errors: ['vps_not_running', 'vps_saved', ...PROGRAM_ERRORS],
  handler: async ({ hypervisor, unlock }, { vpsname: vps, wait_s = WAIT_S }) => {
    const { kind } = await hypervisor.presence(vps);
    if (kind === 'saved') await requireStopped(hypervisor, vps, 'cannot be shut down');
    const state = await hypervisor.shutdown(vps, wait_s * 1000, unlock);
    return { result: `${state === 'stopped' ? 'Shut' : 'Shutting'} down ${vps.name}`, state };
  },
});
