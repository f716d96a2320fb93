import { WSDL } from 'soap';
import { expect, test } from 'vitest';
import * as z from 'zod';
import { count, out, text, vpsname } from '../../../src/core/fields.ts';
import { defineOperation, type Operation } from '../../../src/core/operation.ts';
import { createRegistry } from '../../../src/core/registry.ts';
import { generateWsdl } from '../../../src/transport/soap/wsdl.ts';
import { readXml, type XmlElement } from '../../../src/transport/soap/xml.ts';

function operation(name: string, input: z.ZodObject, output: z.ZodObject): Operation {
  return defineOperation({
    name,
    summary: `Does ${name}, <slowly> & well.`,
    who: 'user',
    input,
    output,
    legacy: () => 'OK',
    lock: 'none',
    changes: false,
    timeout_ms: 1000,
    errors: [],
    handler: async () => ({}),
  });
}

const domain = z
  .object({ id: out.string('Its name.'), cpu: out.double('Seconds.').optional() })
  .meta({ typeName: 'Domain' });
const job = z.object({ kind: out.string('What.'), domain }).meta({ typeName: 'Job' });
const operations = [
  operation('startVPS', z.object({ vpsname: vpsname() }), z.object({ result: out.string('Done.') })),
  operation(
    'getSamples',
    z.object({ count: count('How many.').default(0), note: text('Any.', 9).optional() }),
    z.object({
      bytes: out.long('Bytes.'),
      domain: domain.optional(),
      job: z.array(job),
      names: z.array(out.string('N.')),
    }),
  ),
  operation('listAll', z.object({}), z.object({ domain: z.array(domain) })),
];
const wsdl = generateWsdl(createRegistry(operations), 'https://node.example:8089/?a=1&b="2"');
const root = readXml(wsdl, () => {});

const XSD = 'http://www.w3.org/2001/XMLSchema';
function* descendants(element: XmlElement): Generator<XmlElement> {
  for (const child of element.children) {
    yield child;
    yield* descendants(child);
  }
}
const all = [...descendants(root)];
const named = (local: string, name: string) =>
  all.find((element) => element.local === local && element.attributes.get('name') === name);
const fieldsOf = (element: XmlElement | undefined) =>
  [...descendants(element as XmlElement)]
    .filter(({ uri, local }) => uri === XSD && local === 'element')
    .map(({ attributes }) => [...attributes.values()].join(' '));

test('the fields of a request, in the declared order', () => {
  expect(fieldsOf(named('element', 'startVPS'))).toEqual(['vpsname xsd:string']);
  expect(fieldsOf(named('element', 'getSamples'))).toEqual(['count xsd:int 0', 'note xsd:string 0']);
  expect(fieldsOf(named('element', 'listAll'))).toEqual([]);
});

test('the fields of an answer: longs, structures by name, lists without end', () => {
  expect(fieldsOf(named('element', 'getSamplesResponse'))).toEqual([
    'bytes xsd:long',
    'domain tns:Domain 0',
    'job tns:Job 0 unbounded',
    'names xsd:string 0 unbounded',
  ]);
  expect(fieldsOf(named('complexType', 'Domain'))).toEqual(['id xsd:string', 'cpu xsd:double 0']);
  expect(fieldsOf(named('complexType', 'Job'))).toEqual(['kind xsd:string', 'domain tns:Domain']);
  expect(
    all
      .filter(({ local }) => local === 'complexType' && wsdl)
      .filter(({ attributes }) => attributes.has('name')),
  ).toHaveLength(3);
  expect(wsdl).not.toContain('nillable');
});

test('every operation has its action, its summary and the typed fault', () => {
  for (const { name, summary } of operations) {
    const [port, bound] = all.filter(
      (element) => element.local === 'operation' && element.attributes.get('name') === name,
    );
    expect(port?.children.map(({ local }) => local)).toEqual(['documentation', 'input', 'output', 'fault']);
    expect(port?.children[0]?.text).toBe(summary);
    expect(bound?.children.map(({ local }) => local)).toEqual(['operation', 'input', 'output', 'fault']);
    expect(bound?.children[0]?.attributes.get('soapAction')).toBe(`urn:dtc-xen#${name}`);
  }
  expect(named('element', 'fault')?.attributes.get('type')).toBe('tns:Fault');
  expect(fieldsOf(named('complexType', 'Fault'))).toEqual([
    'code xsd:string',
    'message xsd:string',
    'retry xsd:boolean',
  ]);
});

test('the address is the one that was asked for', () => {
  expect(all.find(({ local }) => local === 'address')?.attributes.get('location')).toBe(
    'https://node.example:8089/?a=1&b="2"',
  );
});

test('the order of declaration does not matter', () => {
  const reversed = createRegistry([...operations].reverse());
  expect(generateWsdl(reversed, 'https://node.example:8089/?a=1&b="2"')).toBe(wsdl);
});

test('the soap library reads it, and finds every message', async () => {
  const parsed = await new Promise<WSDL>((resolve, reject) => {
    const read: WSDL = new WSDL(wsdl, 'https://node.example/', {});
    read.onReady((error: Error) => (error ? reject(error) : resolve(read)));
  });
  const description = parsed.describeServices() as Record<string, Record<string, Record<string, object>>>;
  expect(Object.keys(description['DtcXenService']?.['DtcXenPort'] ?? {}).sort()).toEqual([
    'getSamples',
    'listAll',
    'startVPS',
  ]);
});

test('what cannot be put on the wire does not get there', () => {
  const generate = (output: z.ZodObject) =>
    generateWsdl(createRegistry([operation('x', z.object({}), output)]), 'https://x/');
  expect(() => generate(z.object({ a: z.string() }))).toThrow('the field a has no type for the wire');
  expect(() => generate(z.object({ a: z.object({ b: out.string('B.') }) }))).toThrow(
    'the field a has no type',
  );
  expect(() => generate(z.object({ a: z.array(z.array(out.string('B.'))) }))).toThrow(
    'the field a has no type',
  );
  const other = z.object({ id: out.int('Another.') }).meta({ typeName: 'Domain' });
  expect(() => generate(z.object({ a: domain, b: other }))).toThrow(
    'two structures that differ are named Domain',
  );
});
