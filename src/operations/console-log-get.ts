import * as z from 'zod';
import { AgentError } from '../core/errors.ts';
import { count, out, vpsname } from '../core/fields.ts';
import { defineOperation } from '../core/operation.ts';

export default defineOperation({
  name: 'getVPSConsoleLog',
  summary: 'Tells the last lines that the VPS has written to its console, of this boot and earlier ones.',
  who: 'owner',
  input: z.object({ vpsname: vpsname(), numlines: count('Lines wanted; 0 or less: all that are kept.') }),
  output: z.object({ log: out.string('Lines of printable ASCII.') }),
  legacy: ({ log }) => log,
  lock: 'none',
  changes: false,
  timeout_ms: 15_000,
  errors: ['not_found'],
  handler: async ({ consoles }, { vpsname: vps, numlines }) => {
    const log = await consoles.tail(vps, numlines);
    if (log === undefined) {
      throw new AgentError(
        'not_found',
        `${vps.name} has no console log: it was not started yet, or xenconsoled runs without --log=guest.`,
      );
    }
    return { log };
  },
});
