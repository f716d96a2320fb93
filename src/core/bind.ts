import type { Param, ParamValue } from './call.ts';
import { AgentError } from './errors.ts';
import type { Operation } from './operation.ts';

/** Names that clients give to positional parameters: SOAPpy `v1`, PHP `param0`, NuSOAP `__numeric_0`, Axis `arg0`. */
const POSITIONAL = /^(?:v([1-9][0-9]?)|(?:param|arg|__numeric_)([0-9]{1,2}))$/;
/** Perl's SOAP::Lite counts its names on from call to call: where they stand is their position. */
const MADE_UP = /^c-gensym[0-9]{1,10}$/;

/** The position, from 0, of a parameter that stands at `at` in its request; undefined where its name tells none. */
function position(name: string, at: number): number | undefined {
  if (MADE_UP.test(name)) return at;
  const [, fromOne, fromZero] = POSITIONAL.exec(name) ?? [];
  if (fromOne !== undefined) return Number(fromOne) - 1;
  return fromZero === undefined ? undefined : Number(fromZero);
}

function toNames(operation: string, params: readonly Param[], order: readonly string[]): Param[] {
  return params.map((param, place) => {
    const at = position(param.name, place);
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
  const positional = params.length > 0 && params.every(({ name }, at) => position(name, at) !== undefined);
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
