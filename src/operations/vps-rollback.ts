import * as z from 'zod';
import { PROGRAM_ERRORS } from '../core/errors.ts';
import { result, vpsname } from '../core/fields.ts';
import { defineOperation } from '../core/operation.ts';

export default defineOperation({
  name: 'rollbackVPSos',
  summary:
    'Exchanges the system of a stopped VPS and the one before its last reinstall, with their configurations; called again, it changes them back.',
  who: 'owner',
  input: z.object({ vpsname: vpsname() }),
  output: result,
  legacy: () => 'OK',
  lock: 'vps',
  changes: true,
  timeout_ms: 180_000,
  errors: ['not_found', 'vps_running', 'vps_saved', 'disks_in_use', ...PROGRAM_ERRORS],
  handler: async ({ systems }, { vpsname: vps }) => {
    await systems.rollback(vps);
    return { result: `${vps.name} has the system again that it had before; rollbackVPSos changes them back` };
  },
});
