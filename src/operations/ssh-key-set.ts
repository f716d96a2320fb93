import * as z from 'zod';
import { PROGRAM_ERRORS } from '../core/errors.ts';
import { result, text, vpsname } from '../core/fields.ts';
import { defineOperation } from '../core/operation.ts';
import { parseSshKey } from '../core/ssh-key.ts';

export default defineOperation({
  name: 'changeVPSsshKey',
  summary: "Replaces the ssh key with which the VPS's owner reaches its console (Unix user xenNN).",
  who: 'owner',
  input: z.object({
    vpsname: vpsname(),
    keystring: text('One public key, as in a .pub file, without options.', 16_384),
  }),
  output: result,
  legacy: () => 'OK',
  lock: 'vps',
  changes: true,
  timeout_ms: 60_000,
  errors: [...PROGRAM_ERRORS],
  handler: async ({ accounts }, { vpsname: vps, keystring }) => {
    await accounts.setSshKey(vps, parseSshKey(keystring));
    return { result: `Changed the ssh key of ${vps.name}` };
  },
});
