import * as z from 'zod';
import { out } from '../core/fields.ts';
import { defineOperation } from '../core/operation.ts';

export default defineOperation({
  name: 'getInstallableAPP',
  summary: 'Lists the appliances of this node.',
  who: 'user',
  input: z.object({}),
  output: z.object({ app: z.array(out.string('A name.')) }),
  legacy: ({ app }) => app,
  lock: 'none',
  changes: false,
  timeout_ms: 15_000,
  errors: [],
  handler: async ({ templates }) => ({ app: [...(await templates.applications())] }),
});
