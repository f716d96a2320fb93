import type { SoapCall } from '../../core/call.ts';
import { Double, type LegacyValue, Struct } from '../../core/legacy-value.ts';
import { escapeXml, xsdDouble, xsdInteger } from './escape.ts';
import { ENCODING, ENVELOPE, SCHEMA_INSTANCES, XSD } from './namespaces.ts';

/** Where encodingStyle may stand: on the Envelope in SOAP 1.1, on the answer itself in SOAP 1.2 (part 1, section 5.1.1). */
const STYLE = ` SOAP-ENV:encodingStyle="${ENCODING['1.1']}"`;

const INT_MAX = 2 ** 31 - 1;
const ELEMENT_NAME = /^[A-Za-z_][A-Za-z0-9._-]*$/;

/**
 * The rpc/encoded answer that NuSOAP, SOAPpy's client and PHP decode into the values which the panel expects: every value
 * typed, every list an Array at every level, nothing by reference, no white space between elements.
 *
 * @throws Error for a dictionary key that is no element name, or a number here that is no whole one
 */
export function encodeLegacy(
  { operation, namespace, soap }: Pick<SoapCall, 'operation' | 'namespace' | 'soap'>,
  value: LegacyValue,
): string {
  const [onEnvelope, onAnswer] = soap === '1.1' ? [STYLE, ''] : ['', STYLE];
  const [name, declaration] =
    namespace === ''
      ? [`${operation}Response`, '']
      : [`m:${operation}Response`, ` xmlns:m="${escapeXml(namespace)}"`];
  return (
    `<?xml version="1.0" encoding="UTF-8"?>\n<SOAP-ENV:Envelope xmlns:SOAP-ENV="${ENVELOPE[soap]}"` +
    ` xmlns:SOAP-ENC="${ENCODING['1.1']}" xmlns:xsi="${SCHEMA_INSTANCES[0]}" xmlns:xsd="${XSD}"${onEnvelope}>` +
    `<SOAP-ENV:Body><${name}${declaration}${onAnswer}>${element('Result', value)}</${name}></SOAP-ENV:Body>` +
    '</SOAP-ENV:Envelope>\n'
  );
}

function element(name: string, value: LegacyValue): string {
  if (!ELEMENT_NAME.test(name)) throw new Error('a dictionary key of a legacy answer is no element name');
  if (value === null) return `<${name} xsi:nil="true"/>`;
  const [attributes, content] = typed(value);
  return `<${name} ${attributes}>${content}</${name}>`;
}

function typed(value: Exclude<LegacyValue, null>): [attributes: string, content: string] {
  if (typeof value === 'string') return ['xsi:type="xsd:string"', escapeXml(value)];
  if (typeof value === 'number') {
    const type = value >= -INT_MAX - 1 && value <= INT_MAX ? 'int' : 'integer';
    return [`xsi:type="xsd:${type}"`, xsdInteger(value)];
  }
  if (value instanceof Double) return ['xsi:type="xsd:double"', xsdDouble(value.value)];
  if (value instanceof Struct) {
    return [
      'xsi:type="SOAP-ENC:Struct"',
      value.entries.map(([key, member]) => element(key, member)).join(''),
    ];
  }
  const item = value.every((member) => typeof member === 'string') ? 'string' : 'anyType';
  return [
    `xsi:type="SOAP-ENC:Array" SOAP-ENC:arrayType="xsd:${item}[${value.length}]"`,
    value.map((member) => element('item', member)).join(''),
  ];
}
