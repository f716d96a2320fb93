/** The parameter types that operations are declared with: text of the wire in, checked values out. */
import * as z from 'zod';
import { parseVpsId } from './vps.ts';

/** What the WSDL and the reference page say of a field. */
interface FieldMeta {
  readonly xsd: 'xsd:string' | 'xsd:int' | 'xsd:long' | 'xsd:double' | 'xsd:boolean';
  readonly doc: string;
  [key: string]: unknown;
}
const meta = (xsd: FieldMeta['xsd'], doc: string): FieldMeta => ({ xsd, doc });

/** A VPS's name in either form, as a `VpsId`. */
export const vpsname = () =>
  z
    .string()
    .transform((text, ctx) => {
      const vps = parseVpsId(text);
      if (vps) return vps;
      ctx.addIssue({
        code: 'custom',
        message: 'must be a VPS name such as xen01 or 01 (one to five digits)',
      });
      return z.NEVER;
    })
    .meta(meta('xsd:string', 'The VPS: xen01 or 01.'));

/** A number as xsd:int is written (XML Schema Part 2, "integer"): a sign may stand before it, XML's white space around it. */
const INTEGER = /^[ \t\r\n]*([+-]?[0-9]{1,15})[ \t\r\n]*$/;
const integerOf = (text: string) => Number(INTEGER.exec(text)?.[1] ?? Number.NaN);

/** A whole number from `min` to `max`, in decimal digits: no unit, no exponent. */
export const wholeNumber = (doc: string, min: number, max: number) =>
  z
    .string()
    .transform((text, ctx) => {
      const value = integerOf(text);
      if (value >= min && value <= max) return value;
      ctx.addIssue({ code: 'custom', message: `must be a whole number from ${min} to ${max}, in digits` });
      return z.NEVER;
    })
    .meta(meta('xsd:int', doc));

/** A count of lines or samples: a whole number; 0 or less means all. */
export const count = (doc: string) =>
  z
    .string()
    .transform((text, ctx) => {
      const value = integerOf(text);
      if (Math.abs(value) < 1e9) return Math.max(0, value);
      ctx.addIssue({ code: 'custom', message: 'must be a whole number (0 or less: all)' });
      return z.NEVER;
    })
    .meta(meta('xsd:int', doc));

/** One of a few words. */
export const word = <const T extends readonly [string, ...string[]]>(doc: string, words: T) =>
  z.enum(words, { error: `must be one of ${words.join(', ')}` }).meta(meta('xsd:string', doc));

/** A password that programs which read lines can take: 1 to `max` bytes of UTF-8, no control characters. */
export const password = (doc: string, max_bytes = 128) =>
  z
    .string()
    .min(1, 'must not be empty')
    .refine((text) => Buffer.byteLength(text) <= max_bytes, `must be at most ${max_bytes} bytes long`)
    .refine((text) => !/[\x00-\x1f\x7f-\x9f]/.test(text), 'must not hold control characters or line ends')
    .meta({ ...meta('xsd:string', doc), secret: true });

/** Text that a stricter type parses: at most `max` characters. */
export const text = (doc: string, max: number) =>
  z.string().max(max, `must be at most ${max} characters long`).meta(meta('xsd:string', doc));

/** Output fields: what the modern answer's elements are. */
export const out = {
  string: (doc: string) => z.string().meta(meta('xsd:string', doc)),
  int: (doc: string) => z.number().int().meta(meta('xsd:int', doc)),
  long: (doc: string) => z.number().int().meta(meta('xsd:long', doc)),
  double: (doc: string) => z.number().meta(meta('xsd:double', doc)),
};

/** The modern answer of an operation that has nothing to tell but that it was done. */
export const result = z.object({ result: out.string('What was done.') });
