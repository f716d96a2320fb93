import * as z from 'zod';
import { PROGRAM_ERRORS } from '../core/errors.ts';
import { password, result, vpsname } from '../core/fields.ts';
import { defineOperation } from '../core/operation.ts';

export default defineOperation({
  name: 'changeVPSsoapPassword',
  summary: "Sets the password of the VPS's own SOAP user (xenNN).",
  who: 'owner',
  input: z.object({ vpsname: vpsname(), password: password('The new password.', 72) }),
  output: result,
  legacy: () => 'OK',
  lock: 'vps',
  changes: true,
  timeout_ms: 60_000,
  errors: [...PROGRAM_ERRORS],
  handler: async ({ accounts }, { vpsname: vps, password }) => {
    await accounts.setSoapPassword(vps, password);
    return { result: `Changed the SOAP password of ${vps.name}` };
  },
});
