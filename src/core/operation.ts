import type * as z from 'zod';
import type { ParamValue } from './call.ts';
import type { OperationContext } from './context.ts';
import { ERRORS_OF_ANY_CALL, ERRORS_OF_CHANGES, type ErrorCode } from './errors.ts';
import type { LegacyValue } from './legacy-value.ts';

/**
 * Who may call an operation: `user` anyone who authenticates, `owner` the admin and the VPS's own user (the input then has
 * a `vpsname`), `admin` the admin alone.
 */
export type Who = 'user' | 'owner' | 'admin';

/** A parameter list of older panels, turned into today's at the edge; handlers know one shape (contract, "older panels"). */
export interface OlderForm {
  /** The older parameters, in order. */
  readonly params: readonly string[];
  /** Those of them that may be left out. */
  readonly optional: readonly string[];
  /** Whether named parameters are the older list. */
  matchesNames(names: ReadonlySet<string>): boolean;
  /** Whether positional values are the older list. */
  matchesValues(values: readonly ParamValue[]): boolean;
  /** Today's parameters, out of the older ones. */
  convert(older: Readonly<Record<string, ParamValue>>): Record<string, ParamValue>;
}

/** One operation, declared once: validation, authorization, audit, WSDL, reference page and legacy answer follow from it. */
export interface Operation<I extends z.ZodObject = z.ZodObject, O extends z.ZodObject = z.ZodObject> {
  readonly name: string;
  /** One sentence for the WSDL and the reference page. */
  readonly summary: string;
  readonly who: Who;
  /** Parameters in wire order; build it from src/core/fields.ts. */
  readonly input: I;
  /** The modern answer's elements, in order. */
  readonly output: O;
  /** The legacy answer, out of the modern one. */
  legacy(output: z.output<O>, input: z.output<I>): LegacyValue;
  /** Errors that DTC-Xen had no word for: what the legacy dialect answers instead of NOTOK. */
  readonly legacy_errors?: Readonly<Partial<Record<ErrorCode, LegacyValue>>>;
  readonly older?: OlderForm;
  /** Takes any parameters, whatever their names, as the list `arg` (testVPSServer alone). */
  readonly takesAnything?: true;
  /** `vps`: one at a time per VPS, and refused while a job of the VPS runs. */
  readonly lock: 'none' | 'vps';
  /** False: done though a reinstall that was cut off is not finished. It is about none of that, or about the end of all of it. */
  readonly settles?: false;
  /** Writes an audit line; {@link ERRORS_OF_CHANGES} may be its answer. */
  readonly changes: boolean;
  /** After this time the caller is told `timeout`; the work goes on, and keeps the lock, until its programs end. */
  readonly timeout_ms: number;
  /** The codes that the handler may answer with, besides those of any call and of changes (src/core/errors.ts). */
  readonly errors: readonly ErrorCode[];
  handler(ctx: OperationContext, input: z.output<I>): Promise<z.output<O>>;
}

/**
 * Declares an operation. Who may call has no default: without it this throws, and the daemon does not start.
 *
 * @throws Error naming what the declaration lacks
 */
export function defineOperation<I extends z.ZodObject, O extends z.ZodObject>(
  spec: Operation<I, O>,
): Operation<I, O> {
  const wrong = (what: string) => new Error(`operation ${spec.name}: ${what}`);
  if (!['user', 'owner', 'admin'].includes(spec.who)) throw wrong('who may call is not declared');
  const takesVps = 'vpsname' in spec.input.shape;
  if (spec.who === 'owner' && !takesVps) throw wrong('an owner operation needs a vpsname');
  if (spec.lock === 'vps' && !takesVps) throw wrong("the VPS's lock needs a vpsname");
  if (spec.timeout_ms <= 0) throw wrong('timeout_ms must be positive');
  return Object.freeze(spec);
}

/** Whether an operation's answer may be this error: what the reference page says of it. */
export function mayAnswer(
  { errors, changes }: Pick<Operation, 'errors' | 'changes'>,
  code: ErrorCode,
): boolean {
  return [ERRORS_OF_ANY_CALL, changes ? ERRORS_OF_CHANGES : [], errors].some((codes) => codes.includes(code));
}
