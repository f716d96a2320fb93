import * as z from 'zod';
import { PROGRAM_ERRORS } from '../core/errors.ts';
import { password, result, vpsname } from '../core/fields.ts';
import { defineOperation } from '../core/operation.ts';

export default defineOperation({
  name: 'changeVPSxmPassword',
  summary: "Sets the password with which the VPS's owner reaches its console over ssh (Unix user xenNN).",
  who: 'owner',
  input: z.object({ vpsname: vpsname(), password: password('The new password.', 128) }),
  output: result,
  legacy: () => 'OK',
  lock: 'vps',
  changes: true,
  timeout_ms: 60_000,
  errors: [...PROGRAM_ERRORS],
  handler: async ({ accounts }, { vpsname: vps, password }) => {
    await accounts.setConsolePassword(vps, password);
    return { result: `Changed the console password of ${vps.name}` };
  },
});
