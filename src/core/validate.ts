import type * as z from 'zod';
import type { ParamValue } from './call.ts';
import { AgentError } from './errors.ts';
import type { Operation } from './operation.ts';

/** Whether an empty element of an optional field is a value, and so refused: where leaving it out means something. */
const keepsEmpty = (field: z.ZodType | undefined) =>
  (field?.def as { innerType?: z.ZodType } | undefined)?.innerType?.meta()?.['keepsEmpty'] === true;

/**
 * Checks bound parameters against an operation's declaration. Nil, and an empty element, stand for an optional parameter left out.
 *
 * @throws AgentError wrong_type, invalid_value: the parameter's name and what it must be, never its value
 */
export function validateInput(
  operation: Pick<Operation, 'name' | 'input'>,
  bound: Readonly<Record<string, ParamValue>>,
): z.output<z.ZodObject> {
  const texts: Record<string, ParamValue> = {};
  for (const [name, value] of Object.entries(bound)) {
    const field = operation.input.shape[name] as z.ZodType | undefined;
    const is_none = value === null || (value === '' && !keepsEmpty(field));
    if (is_none && field?.safeParse(undefined).success) continue;
    if (typeof value !== 'string' && field?.meta()?.['anyValue'] !== true) {
      const what = value === null ? 'nil' : Array.isArray(value) ? 'a list' : 'a structure';
      throw new AgentError(
        'wrong_type',
        `${operation.name}: the parameter ${name} is ${what}; it must be a text.`,
      );
    }
    texts[name] = value;
  }
  const parsed = operation.input.safeParse(texts);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new AgentError('invalid_value', `${operation.name}: ${issue?.path.join('.')} ${issue?.message}.`);
}
