import type * as z from 'zod';
import type { SoapCall } from '../../core/call.ts';
import { escapeXml, xsdDouble, xsdInteger } from './escape.ts';
import { DTC_XEN, ENVELOPE } from './namespaces.ts';
import { type WireField, wireFields } from './schema.ts';

/**
 * The document/literal wrapped answer: the output's elements in the declared order, lists as repeated elements, what has no
 * value left out.
 *
 * @throws Error where the output is not what the operation declares
 */
export function encodeModern(
  call: Pick<SoapCall, 'operation' | 'soap'>,
  output: Readonly<Record<string, unknown>>,
  declared: z.ZodObject,
): string {
  const content = members(output, wireFields(declared));
  const name = `${call.operation}Response`;
  return (
    `<?xml version="1.0" encoding="UTF-8"?>\n<S:Envelope xmlns:S="${ENVELOPE[call.soap]}"><S:Body>` +
    `<${name} xmlns="${DTC_XEN}">${content}</${name}></S:Body></S:Envelope>\n`
  );
}

function members(values: Readonly<Record<string, unknown>>, fields: ReadonlyMap<string, WireField>): string {
  let xml = '';
  for (const [name, field] of fields) {
    const value = values[name];
    if (value === undefined) {
      if (!field.optional) throw new Error(`the answer lacks ${name}`);
    } else if (!field.repeated) xml += element(name, value, field);
    else if (Array.isArray(value)) for (const item of value) xml += element(name, item, field);
    else throw new Error(`the answer's ${name} is not a list`);
  }
  return xml;
}

function element(name: string, value: unknown, { type }: WireField): string {
  const content =
    'xsd' in type
      ? simple(name, value, type.xsd)
      : members(value as Readonly<Record<string, unknown>>, type.fields);
  return `<${name}>${content}</${name}>`;
}

function simple(name: string, value: unknown, xsd: string): string {
  if (typeof value === 'string' && xsd === 'xsd:string') return escapeXml(value);
  if (typeof value === 'boolean' && xsd === 'xsd:boolean') return `${value}`;
  if (typeof value === 'number' && xsd === 'xsd:double') return xsdDouble(value);
  if (typeof value === 'number' && (xsd === 'xsd:int' || xsd === 'xsd:long')) return xsdInteger(value);
  throw new Error(`the answer's ${name} is no ${xsd}`);
}
