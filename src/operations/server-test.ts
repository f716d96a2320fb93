import * as z from 'zod';
import { text } from '../core/fields.ts';
import { defineOperation } from '../core/operation.ts';

const MAX_ARGUMENTS = 64;

export default defineOperation({
  name: 'testVPSServer',
  summary:
    'Answers OK, or the arguments that came with the call: is the agent there, and do we understand each other?',
  who: 'user',
  input: z.object({
    arg: z
      .array(text('Anything; it is echoed.', 4096))
      .max(MAX_ARGUMENTS, `must be at most ${MAX_ARGUMENTS} arguments`)
      .meta({ anyValue: true, doc: 'Anything; it is echoed.' }),
  }),
  output: z.object({ result: z.array(text('OK, or the arguments.', 4096)) }),
  legacy: ({ result }, { arg }) => (arg.length === 0 ? 'OK' : result),
  takesAnything: true,
  lock: 'none',
  changes: false,
  timeout_ms: 5_000,
  errors: [],
  handler: async (_ctx, { arg }) => ({ result: arg.length === 0 ? ['OK'] : arg }),
});
