import * as z from 'zod';
import { out } from '../core/fields.ts';
import { defineOperation } from '../core/operation.ts';

export default defineOperation({
  name: 'getInstallableOS',
  summary: 'Lists the operating system templates of this node.',
  who: 'user',
  input: z.object({}),
  output: z.object({ os: z.array(out.string('A name.')) }),
  legacy: ({ os }) => os,
  lock: 'none',
  changes: false,
  timeout_ms: 15_000,
  errors: [],
  handler: async ({ templates }) => ({ os: [...(await templates.operatingSystems())] }),
});
