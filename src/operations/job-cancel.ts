import * as z from 'zod';
import { AgentError, PROGRAM_ERRORS } from '../core/errors.ts';
import { result, vpsname } from '../core/fields.ts';
import { defineOperation } from '../core/operation.ts';

export default defineOperation({
  name: 'cancelVPSJob',
  summary: "Ends the VPS's job (a reinstall, a check), and answers when nothing of it is left.",
  who: 'owner',
  input: z.object({ vpsname: vpsname() }),
  output: result,
  legacy: () => 'OK',
  lock: 'none',
  changes: true,
  timeout_ms: 90_000,
  errors: ['not_found', ...PROGRAM_ERRORS],
  handler: async ({ jobs }, { vpsname: vps }) => {
    const ended = await jobs.cancel(vps);
    if (!ended) throw new AgentError('not_found', `${vps.name} has no job that runs.`);
    if (ended.state === 'succeeded') {
      throw new AgentError('not_found', `${vps.name} has no job to cancel any more: ${ended.message}`);
    }
    return { result: ended.message ?? `The job of ${vps.name} has ended` };
  },
});
