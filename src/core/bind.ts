import type { Param, ParamValue } from './call.ts';
import { AgentError } from './errors.ts';
import type { Operation } from './operation.ts';

/** Names that clients give to positional parameters: SOAPpy `v1`, PHP `param0`, NuSOAP `__numeric_0`. */
const POSITIONAL = /^(?:v([1-9][0-9]?)|param([0-9]{1,2})|__numeric_([0-9]{1,2}))$/;

function position(name: string): number | undefined {
  const [, fromOne, param, numeric] = POSITIONAL.exec(name) ?? [];
  if (fromOne !== undefined) return Number(fromOne) - 1;
  const fromZero = param ?? numeric;
  return fromZero === undefined ? undefined : Number(fromZero);
}

function toNames(operation: string, params: readonly Param[], order: readonly string[]): Param[] {
  return params.map((param) => {
    const at = position(param.name);
    if (at === undefined) return param;
    const name = order[at];
    if (name !== undefined) return { name, value: param.value };
    throw new AgentError(
      'unknown_parameter',
      `${operation} takes ${order.length} parameters; the request has one at position ${at + 1}.`,
    );
  });
}

/** A short form of a name from outside, fit to be told back. */
export function quoteName(name: string): string {
  const printable = name.replace(/[^\x21-\x7e]/g, '?');
  return printable.length > 40 ? `${printable.slice(0, 40)}...` : printable;
}

/**
 * Gives a request's parameters their declared names: positional ones by order, an older panel's list by its conversion.
 *
 * @returns name -> value, each declared once and none unknown
 * @throws AgentError missing_parameter, unknown_parameter, repeated_parameter
 */
export function bindParams(
  operation: Pick<Operation, 'name' | 'input' | 'older' | 'takesAnything'>,
  params: readonly Param[],
): Record<string, ParamValue> {
  if (operation.takesAnything) return { arg: params.map((param) => param.value) };
  const { older } = operation;
  const positional = params.length > 0 && params.every((param) => position(param.name) !== undefined);
  const isOlder =
    older !== undefined &&
    (positional
      ? older.matchesValues(params.map((param) => param.value))
      : older.matchesNames(new Set(params.map((param) => param.name))));

  const declared = Object.keys(operation.input.shape);
  const order = isOlder ? older.params : declared;
  const bound = new Map<string, ParamValue>();
  for (const { name, value } of toNames(operation.name, params, order)) {
    if (!order.includes(name)) {
      throw new AgentError(
        'unknown_parameter',
        `${operation.name} has no parameter ${quoteName(name)}; it takes: ${order.join(', ') || 'none'}.`,
      );
    }
    if (bound.has(name)) {
      throw new AgentError('repeated_parameter', `${operation.name}: the parameter ${name} is there twice.`);
    }
    bound.set(name, value);
  }
  const optional = (name: string) =>
    isOlder ? older.optional.includes(name) : operation.input.shape[name]?.safeParse(undefined).success;
  for (const name of order) {
    if (!bound.has(name) && !optional(name)) {
      throw new AgentError('missing_parameter', `${operation.name}: the parameter ${name} is missing.`);
    }
  }
  const values = Object.fromEntries(bound);
  return isOlder ? older.convert(values) : values;
}
