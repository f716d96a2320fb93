import type { Operation } from '../../core/operation.ts';
import type { Registry } from '../../core/registry.ts';
import { escapeXml } from './escape.ts';
import { DTC_XEN, XSD } from './namespaces.ts';
import { type WireField, type WireType, wireFields } from './schema.ts';

const FAULT =
  'The stable code of an error, a sentence for a person, and whether the same call may succeed later.';

/**
 * The WSDL 1.1 of the modern dialect: document/literal wrapped, one SOAP 1.1 port (SOAP 1.2 is answered in kind without a
 * port of its own, which gSOAP would make a second set of functions of).
 *
 * @param address the URL that the service is called at
 * @throws Error for a field without a type, or two structures of one name that differ
 */
export function generateWsdl(registry: Registry, address: string): string {
  const operations = [...registry.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  const lines = [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<wsdl:definitions name="DtcXen" targetNamespace="${DTC_XEN}" xmlns:tns="${DTC_XEN}"` +
      ' xmlns:wsdl="http://schemas.xmlsoap.org/wsdl/" xmlns:soap="http://schemas.xmlsoap.org/wsdl/soap/"' +
      ` xmlns:xsd="${XSD}">`,
    '  <wsdl:types>',
    `    <xsd:schema targetNamespace="${DTC_XEN}" elementFormDefault="qualified">`,
    ...schema(operations).map((line) => `      ${line}`),
    '    </xsd:schema>',
    '  </wsdl:types>',
    ...operations.flatMap(({ name }) => [
      message(`${name}In`, name),
      message(`${name}Out`, `${name}Response`),
    ]),
    message('Fault', 'fault', 'fault'),
    '  <wsdl:portType name="DtcXenPortType">',
    ...operations.flatMap(portOperation),
    '  </wsdl:portType>',
    '  <wsdl:binding name="DtcXenBinding" type="tns:DtcXenPortType">',
    '    <soap:binding style="document" transport="http://schemas.xmlsoap.org/soap/http"/>',
    ...operations.flatMap(boundOperation),
    '  </wsdl:binding>',
    '  <wsdl:service name="DtcXenService">',
    '    <wsdl:port name="DtcXenPort" binding="tns:DtcXenBinding">',
    `      <soap:address location="${escapeXml(address)}"/>`,
    '    </wsdl:port>',
    '  </wsdl:service>',
    '</wsdl:definitions>',
  ];
  return `${lines.join('\n')}\n`;
}

const message = (name: string, element: string, part = 'parameters') =>
  `  <wsdl:message name="${name}"><wsdl:part name="${part}" element="tns:${element}"/></wsdl:message>`;

function portOperation({ name, summary }: Operation): string[] {
  return [
    `    <wsdl:operation name="${name}">`,
    `      <wsdl:documentation>${escapeXml(summary)}</wsdl:documentation>`,
    `      <wsdl:input message="tns:${name}In"/>`,
    `      <wsdl:output message="tns:${name}Out"/>`,
    '      <wsdl:fault name="fault" message="tns:Fault"/>',
    '    </wsdl:operation>',
  ];
}

function boundOperation({ name }: Operation): string[] {
  return [
    `    <wsdl:operation name="${name}">`,
    `      <soap:operation soapAction="${DTC_XEN}#${name}"/>`,
    '      <wsdl:input><soap:body use="literal"/></wsdl:input>',
    '      <wsdl:output><soap:body use="literal"/></wsdl:output>',
    '      <wsdl:fault name="fault"><soap:fault name="fault" use="literal"/></wsdl:fault>',
    '    </wsdl:operation>',
  ];
}

function schema(operations: readonly Operation[]): string[] {
  const simple = (xsd: string, doc: string): WireField => ({
    optional: false,
    repeated: false,
    type: { xsd },
    doc,
  });
  const fault: WireType = {
    typeName: 'Fault',
    fields: new Map([
      ['code', simple('xsd:string', 'A stable code, such as vps_busy.')],
      ['message', simple('xsd:string', 'What was tried, what was answered, what to do.')],
      ['retry', simple('xsd:boolean', 'The same call may succeed later without anybody mending anything.')],
    ]),
  };
  const types = new Map<string, string[]>();
  collect(fault, types);
  const elements = operations.flatMap(({ name, input, output }) => {
    const fields = [wireFields(input), wireFields(output)] as const;
    for (const { type } of fields.flatMap((map) => [...map.values()])) collect(type, types);
    return [...wrapper(name, fields[0]), ...wrapper(`${name}Response`, fields[1])];
  });
  return [
    ...[...types.values()].flat(),
    `<xsd:element name="fault" type="tns:Fault">${documentation(FAULT)}</xsd:element>`,
    ...elements,
  ];
}

/** Renders a structure and those in it, once each. */
function collect(type: WireType, types: Map<string, string[]>): void {
  if ('xsd' in type) return;
  const { typeName, fields } = type;
  for (const { type: inner } of fields.values()) collect(inner, types);
  const lines = [`<xsd:complexType name="${typeName}">`, ...sequence(fields), '</xsd:complexType>'];
  const there = types.get(typeName);
  if (there && there.join() !== lines.join())
    throw new Error(`two structures that differ are named ${typeName}`);
  types.set(typeName, lines);
}

function wrapper(name: string, fields: ReadonlyMap<string, WireField>): string[] {
  return [
    `<xsd:element name="${name}">`,
    '  <xsd:complexType>',
    ...sequence(fields).map((line) => `  ${line}`),
    '  </xsd:complexType>',
    '</xsd:element>',
  ];
}

function sequence(fields: ReadonlyMap<string, WireField>): string[] {
  if (fields.size === 0) return ['  <xsd:sequence/>'];
  return [
    '  <xsd:sequence>',
    ...[...fields].map(([name, field]) => `    ${fieldElement(name, field)}`),
    '  </xsd:sequence>',
  ];
}

function fieldElement(name: string, { type, optional, repeated, doc }: WireField): string {
  const occurs = `${optional || repeated ? ' minOccurs="0"' : ''}${repeated ? ' maxOccurs="unbounded"' : ''}`;
  const head = `<xsd:element name="${name}" type="${'xsd' in type ? type.xsd : `tns:${type.typeName}`}"${occurs}`;
  return doc === undefined ? `${head}/>` : `${head}>${documentation(doc)}</xsd:element>`;
}

const documentation = (text: string) =>
  `<xsd:annotation><xsd:documentation>${escapeXml(text)}</xsd:documentation></xsd:annotation>`;
