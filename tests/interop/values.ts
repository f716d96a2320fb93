// What an answer holds, and how each client is known to hold it in its own types.
import { expect } from 'vitest';

/** A whole number of the wire. */
export class Whole {
  readonly value: number | undefined;
  /** @param value undefined: whichever it is */
  constructor(value?: number) {
    this.value = value;
  }
}

/** A floating point number of the wire. */
export class Double {
  readonly value: number | undefined;
  /** @param value undefined: whichever it is */
  constructor(value?: number) {
    this.value = value;
  }
}

/** An optional element that is not there. */
export const ABSENT = Symbol('absent');

/** A text, or a pattern of one; numbers; lists; structures by their members' names. */
export type Value = string | RegExp | Whole | Double | typeof ABSENT | readonly Value[] | Struct;

/** A structure. */
export interface Struct {
  readonly [member: string]: Value;
}

/** How a client holds what it read. */
export interface Reading {
  /** `tagged`: whole numbers and floats are types of their own; `number`: one type for both; `text`: it reads no types. */
  readonly numbers: 'tagged' | 'number' | 'text';
  /** A list of one item is the item: the client does not look at the WSDL's maxOccurs. */
  readonly one_is_no_list?: true;
  /** An answer of one element is handed out as that element's value. */
  readonly unwraps?: true;
  /** An optional element that is not there is null. */
  readonly absent_is_null?: true;
}

const wholeText = (value: number | undefined) =>
  value === undefined ? expect.stringMatching(/^-?[0-9]+$/) : String(value);

function whole({ value }: Whole, numbers: Reading['numbers']): unknown {
  if (numbers === 'number') return { number: value ?? expect.any(Number) };
  return numbers === 'text' ? wholeText(value) : { int: wholeText(value) };
}

function double({ value }: Double, numbers: Reading['numbers']): unknown {
  if (numbers === 'number') return { number: value ?? expect.any(Number) };
  if (numbers === 'tagged') return { float: value ?? expect.any(Number) };
  if (value === undefined) return expect.stringMatching(/^[0-9]+(\.[0-9]+)?$/);
  return Number.isInteger(value) ? value.toFixed(1) : String(value);
}

/** What a client's line must equal for this value. */
export function asRead(value: Value, reading: Reading): unknown {
  if (value === ABSENT) return reading.absent_is_null ? null : undefined;
  if (typeof value === 'string') return value;
  if (value instanceof RegExp) return expect.stringMatching(value);
  if (value instanceof Whole) return whole(value, reading.numbers);
  if (value instanceof Double) return double(value, reading.numbers);
  if (Array.isArray(value)) {
    const items = value.map((item: Value) => asRead(item, reading));
    return reading.one_is_no_list && items.length === 1 ? items[0] : items;
  }
  const members = Object.entries(value as Struct).map(([name, member]) => [name, asRead(member, reading)]);
  return { dict: Object.fromEntries(members) };
}

/** The same for a whole answer of the modern dialect: a structure of its elements. */
export function answerAsRead(answer: Struct, reading: Reading): unknown {
  const [only, more] = Object.values(answer);
  return reading.unwraps && only !== undefined && more === undefined
    ? asRead(only, reading)
    : asRead(answer, reading);
}
