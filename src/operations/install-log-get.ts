import * as z from 'zod';
import { AgentError } from '../core/errors.ts';
import { count, out, vpsname } from '../core/fields.ts';
import { defineOperation } from '../core/operation.ts';

export default defineOperation({
  name: 'getVPSInstallLog',
  summary: "Tells the last lines of the VPS's newest installation log, while it runs and afterwards.",
  who: 'owner',
  input: z.object({ vpsname: vpsname(), numlines: count('Lines wanted; 0 or less: all.') }),
  output: z.object({ log: out.string('Lines of printable ASCII.') }),
  legacy: ({ log }) => log,
  lock: 'none',
  changes: false,
  timeout_ms: 15_000,
  errors: ['not_found'],
  handler: async ({ jobs }, { vpsname: vps, numlines }) => {
    const log = await jobs.installLog(vps, numlines);
    if (log === undefined)
      throw new AgentError('not_found', `${vps.name} has no installation log: it was never installed here.`);
    return { log };
  },
});
