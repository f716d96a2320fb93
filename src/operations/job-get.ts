import * as z from 'zod';
import { AgentError, PROGRAM_ERRORS } from '../core/errors.ts';
import { out, vpsname } from '../core/fields.ts';
import { percentDone } from '../core/job-progress.ts';
import { Struct } from '../core/legacy-value.ts';
import { defineOperation } from '../core/operation.ts';

export default defineOperation({
  name: 'getVPSJob',
  summary: "Tells how far the VPS's job is (a reinstall, a check), or how its last one ended.",
  who: 'owner',
  input: z.object({ vpsname: vpsname() }),
  output: z.object({
    kind: out.string('reinstall or fsck.'),
    state: out.string('queued, running, succeeded or failed.'),
    step: out.string('The step that it is in, or was in last; empty before the first one.'),
    percent: out.int(
      'How much of its time is over, as far as that is known beforehand; 100: it has succeeded.',
    ),
    started: out.string('ISO 8601.'),
    ended: out.string('ISO 8601; empty while it runs.'),
    message: out.string('What came of it; empty while it runs.'),
  }),
  legacy: (job) => new Struct(Object.entries(job)),
  lock: 'none',
  changes: false,
  timeout_ms: 30_000,
  errors: ['not_found', ...PROGRAM_ERRORS],
  handler: async ({ jobs }, { vpsname: vps }) => {
    const job = (await jobs.current(vps)) ?? (await jobs.last(vps));
    if (!job) throw new AgentError('not_found', `${vps.name} has never had a job.`);
    const { kind, state, created: started, ended = '', message = '' } = job;
    const step = job.steps.at(-1)?.name ?? '';
    return { kind, state, step, percent: percentDone(job), started, ended, message };
  },
});
