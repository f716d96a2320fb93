import * as z from 'zod';
import { out, vpsname } from '../core/fields.ts';
import { defineOperation } from '../core/operation.ts';

export default defineOperation({
  name: 'reportInstalledIso',
  summary: "Lists the *.iso files that the VPS's owner has put into the console user's home.",
  who: 'owner',
  input: z.object({ vpsname: vpsname() }),
  output: z.object({ iso: z.array(out.string('A file name.')) }),
  legacy: ({ iso }) => iso,
  lock: 'none',
  changes: false,
  timeout_ms: 15_000,
  errors: ['program_failed', 'store_away'],
  handler: async ({ accounts }, { vpsname: vps }) => ({ iso: [...(await accounts.isoFiles(vps))] }),
});
