import { describe, expect, test } from 'vitest';
import * as z from 'zod';
import type { SoapCall } from '../../../src/core/call.ts';
import type { Outcome } from '../../../src/core/dispatch.ts';
import { AgentError, ERRORS, type ErrorCode } from '../../../src/core/errors.ts';
import { out, vpsname } from '../../../src/core/fields.ts';
import { Double, type LegacyValue, Struct } from '../../../src/core/legacy-value.ts';
import { defineOperation } from '../../../src/core/operation.ts';
import { answerCall } from '../../../src/transport/soap/answer.ts';
import { escapeXml } from '../../../src/transport/soap/escape.ts';
import { encodeFault } from '../../../src/transport/soap/fault.ts';
import { encodeLegacy } from '../../../src/transport/soap/legacy.ts';
import { MalformedMessage } from '../../../src/transport/soap/malformed.ts';
import { encodeModern } from '../../../src/transport/soap/modern.ts';
import { readXml, type XmlElement } from '../../../src/transport/soap/xml.ts';
import { readHttpFile } from './http-file.ts';

const answers = new URL('fixtures/answers/', import.meta.url);
const recommended = (name: string) => {
  const { headers, body } = readHttpFile(new URL(`${name}.response.http`, answers));
  return { content_type: headers.get('content-type'), body: body.toString() };
};

const call = (more: Partial<SoapCall> = {}): SoapCall => ({
  dialect: 'legacy',
  soap: '1.1',
  operation: 'startVPS',
  namespace: '',
  params: [],
  ...more,
});
const legacyOf = (operation: string, value: LegacyValue, namespace = '') =>
  encodeLegacy({ operation, namespace, soap: '1.1' }, value);
const parse = (xml: string): XmlElement => readXml(xml, () => {});
const resultOf = (value: LegacyValue) => /<Result.*Result>|<Result.*\/>/s.exec(legacyOf('x', value))?.[0];

describe('legacy answers', () => {
  const guest = (name: string): [string, Struct] => [
    name,
    new Struct([
      ['timestamp', new Double(1237287382.45)],
      ['diff_cpu_time', new Double(51.5)],
      ['diff_net_inbytes', 838375767],
      ['diff_net_outbytes', 324328402389],
    ]),
  ];

  test.each<[string, string, LegacyValue, string]>([
    ['nusoap-startVPS', 'startVPS', ['OK', 'Started xen01'], ''],
    ['soappy-startVPS', 'startVPS', ['OK', 'Started xen01'], ''],
    ['phpsoap-nowsdl-startVPS-named', 'startVPS', ['OK', 'Started xen01'], 'urn:dtc-xen'],
    ['nusoap-testVPSServer', 'testVPSServer', 'OK', ''],
    ['nusoap-reinstallVPSos', 'reinstallVPSos', 'OK, started mkos.', ''],
    [
      'legacy-getVPSState',
      'getVPSState',
      ['domain', ['id', 'xen01'], ['maxmem', 512], ['cpuseconds', new Double(51.5)]],
      '',
    ],
    [
      'nusoap-getCollectedPerformanceData',
      'getCollectedPerformanceData',
      [new Struct([guest('xen01'), guest('xen02')]), new Struct([])],
      '',
    ],
  ])('%s, byte for byte', (name, operation, value, namespace) => {
    expect(legacyOf(operation, value, namespace)).toBe(recommended(name).body);
  });

  test.each<[LegacyValue, string]>([
    ['', '<Result xsi:type="xsd:string"></Result>'],
    [null, '<Result xsi:nil="true"/>'],
    [[], '<Result xsi:type="SOAP-ENC:Array" SOAP-ENC:arrayType="xsd:string[0]"></Result>'],
    [0, '<Result xsi:type="xsd:int">0</Result>'],
    [2147483647, '<Result xsi:type="xsd:int">2147483647</Result>'],
    [-2147483648, '<Result xsi:type="xsd:int">-2147483648</Result>'],
    [2147483648, '<Result xsi:type="xsd:integer">2147483648</Result>'],
    [2 ** 70, '<Result xsi:type="xsd:integer">1180591620717411303424</Result>'],
    [new Double(0), '<Result xsi:type="xsd:double">0.0</Result>'],
    [new Double(-1.5e300), '<Result xsi:type="xsd:double">-1.5e+300</Result>'],
    [new Double(Number.POSITIVE_INFINITY), '<Result xsi:type="xsd:double">INF</Result>'],
    [
      'a<b>&"\r\u0001\ud800\uffffé😀',
      '<Result xsi:type="xsd:string">a&lt;b&gt;&amp;&quot;&#13;\ufffd\ufffd\ufffdé😀</Result>',
    ],
  ])('%j', (value, expected) => {
    expect(resultOf(value)).toBe(expected);
  });

  test('what has no place on the wire is a defect', () => {
    expect(() => legacyOf('x', 1.5)).toThrow(RangeError);
    expect(() => legacyOf('x', new Struct([['no name', 1]]))).toThrow(/no element name/);
  });
});

describe('modern answers', () => {
  const sample = z
    .object({
      vpsname: out.string('The VPS.'),
      timestamp: out.double('When.'),
      diff_cpu_time: out.double('CPU.'),
      diff_net_inbytes: out.long('In.'),
      diff_net_outbytes: out.long('Out.'),
    })
    .meta({ typeName: 'Sample' });
  const row = (vpsname: string) => ({
    diff_net_outbytes: 324328402389,
    diff_net_inbytes: 838375767,
    timestamp: 1237287382.45,
    diff_cpu_time: 51.5,
    vpsname,
    undeclared: 'not told',
  });
  const result = z.object({ result: out.string('Done.') });

  test.each<[string, SoapCall['soap'], string, Record<string, unknown>, z.ZodObject]>([
    ['zeep-startVPS', '1.1', 'startVPS', { result: 'Started xen01' }, result],
    ['phpsoap-wsdl12-startVPS', '1.2', 'startVPS', { result: 'Started xen01' }, result],
    [
      'zeep-getCollectedPerformanceData',
      '1.1',
      'getCollectedPerformanceData',
      { sample: [row('xen01'), row('xen02')] },
      z.object({ sample: z.array(sample) }),
    ],
  ])('%s, byte for byte, in the declared order', (name, soap, operation, output, declared) => {
    expect(encodeModern({ operation, soap }, output, declared)).toBe(recommended(name).body);
  });

  const encode = (output: Record<string, unknown>, declared: z.ZodObject) =>
    /<xResponse xmlns="urn:dtc-xen">(.*)<\/xResponse>/s.exec(
      encodeModern({ operation: 'x', soap: '1.1' }, output, declared),
    )?.[1];

  test('what has no value is left out, an empty list is nothing', () => {
    const declared = z.object({
      a: out.string('A.').optional(),
      b: z.array(out.int('B.')),
      c: sample.optional(),
    });
    expect(encode({ a: undefined, b: [] }, declared)).toBe('');
    expect(encode({ a: '', b: [1, 2] }, declared)).toBe('<a></a><b>1</b><b>2</b>');
  });

  test('an output other than the declared one is a defect', () => {
    expect(() => encode({}, result)).toThrow('lacks result');
    expect(() => encode({ result: 1 }, result)).toThrow('result is no xsd:string');
    expect(() => encode({ result: null }, result)).toThrow('result is no xsd:string');
    expect(() => encode({ n: 1.5 }, z.object({ n: out.long('N.') }))).toThrow(RangeError);
    expect(() => encode({ n: 1 }, z.object({ n: z.array(out.long('N.')) }))).toThrow('n is not a list');
    expect(() => encode({ n: 1 }, z.object({ n: z.number() }))).toThrow('has no type for the wire');
  });
});

describe('faults', () => {
  const busy = new AgentError('vps_busy', 'xen01 is busy: a <fsck> runs & runs.');

  test('SOAP 1.1: as NuSOAP reads it, with the code in the detail', () => {
    const fault = encodeFault(call(), new AgentError('unknown_operation', 'Method Not Found'));
    const detail =
      '<detail><fault xmlns="urn:dtc-xen"><code>unknown_operation</code><message>Method Not Found</message>' +
      '<retry>false</retry></fault></detail>';
    expect(fault).toContain(detail);
    expect(fault.replace(detail, '')).toBe(recommended('legacy-fault').body);
  });

  test('the names within a 1.1 fault have no namespace, the detail is ours', () => {
    const fault = parse(encodeFault(call(), busy)).children[0]?.children[0];
    expect(fault?.children.map(({ uri, local, text }) => [uri, local, text])).toEqual([
      ['', 'faultcode', 'SOAP-ENV:Client'],
      ['', 'faultstring', busy.message],
      ['', 'detail', ''],
    ]);
    const typed = fault?.children[2]?.children[0];
    expect(typed?.children.map(({ uri, local, text }) => [uri, local, text])).toEqual([
      ['urn:dtc-xen', 'code', 'vps_busy'],
      ['urn:dtc-xen', 'message', busy.message],
      ['urn:dtc-xen', 'retry', 'true'],
    ]);
  });

  test('SOAP 1.2 is answered in kind', () => {
    const fault = parse(encodeFault(call({ soap: '1.2' }), busy)).children[0]?.children[0];
    expect(fault?.children.map(({ local }) => local)).toEqual(['Code', 'Reason', 'Detail']);
    expect(fault?.children[0]?.children[0]?.text).toBe('S:Sender');
    expect(fault?.children[1]?.children[0]?.text).toBe(busy.message);
  });

  test.each(Object.keys(ERRORS) as ErrorCode[])('%s says whose fault it is', (code) => {
    const whose =
      ERRORS[code].fault === 'caller' ? ['SOAP-ENV:Client', 'S:Sender'] : ['SOAP-ENV:Server', 'S:Receiver'];
    expect(encodeFault(call(), new AgentError(code, 'x'))).toContain(`<faultcode>${whose[0]}</faultcode>`);
    expect(encodeFault(call({ soap: '1.2' }), new AgentError(code, 'x'))).toContain(
      `<S:Value>${whose[1]}</S:Value>`,
    );
  });

  test.each(['VersionMismatch', 'MustUnderstand'] as const)(
    '%s has its own code and no detail',
    (faultcode) => {
      for (const soap of ['1.1', '1.2'] as const) {
        const fault = encodeFault(undefined, new MalformedMessage('x', { faultcode, soap }));
        expect(fault).toContain(`:${faultcode}</`);
        expect(fault).not.toMatch(/detail/i);
      }
    },
  );
});

describe('answerCall', () => {
  const told: boolean[] = [];
  const outcome = (legacy: () => LegacyValue): Outcome => ({
    ok: true,
    operation: defineOperation({
      name: 'startVPS',
      summary: 'Starts.',
      who: 'owner',
      input: z.object({ vpsname: vpsname() }),
      output: z.object({ result: out.string('Done.') }),
      legacy,
      lock: 'none',
      changes: true,
      timeout_ms: 1,
      errors: [],
      handler: async () => ({ result: '' }),
    }) as never,
    input: {},
    output: { result: 'Started xen01' },
    answered: async (written) => void told.push(written),
  });

  // .NET wants no quotes; zeep and PHP read the charset with and without.
  test.each<[string, Partial<SoapCall>, content_type?: string]>([
    ['nusoap-startVPS', {}],
    ['zeep-startVPS', { dialect: 'modern', namespace: 'urn:dtc-xen' }, 'text/xml; charset=utf-8'],
    ['phpsoap-wsdl12-startVPS', { dialect: 'modern', namespace: 'urn:dtc-xen', soap: '1.2' }],
  ])('%s: status, content type and body', (name, more, content_type) => {
    expect(
      answerCall(
        call(more),
        outcome(() => ['OK', 'Started xen01']),
      ),
    ).toMatchObject({
      status: 200,
      ...recommended(name),
      ...(content_type === undefined ? {} : { content_type }),
    });
  });

  test('a legacy call in SOAP 1.2 is answered in SOAP 1.2', () => {
    const { content_type, body } = answerCall(
      call({ soap: '1.2' }),
      outcome(() => ['OK']),
    );
    expect(content_type).toBe('application/soap+xml; charset=utf-8');
    const envelope = parse(body);
    expect(envelope.uri).toBe('http://www.w3.org/2003/05/soap-envelope');
    expect(envelope.attributes.size).toBe(0);
    expect([...(envelope.children[0]?.children[0]?.attributes ?? [])]).toEqual([
      [`{${envelope.uri}}encodingStyle`, 'http://schemas.xmlsoap.org/soap/encoding/'],
    ]);
  });

  test('the operation is told what came of the answer', async () => {
    told.length = 0;
    const answer = answerCall(
      call(),
      outcome(() => 'OK'),
    );
    await answer.answered(true);
    await answer.answered(false);
    expect(told).toEqual([true, false]);
  });

  test('an outcome that cannot be encoded is told as an error, and never counts as delivered', async () => {
    told.length = 0;
    const answer = answerCall(
      call(),
      outcome(() => 1.5),
    );
    expect(answer).toMatchObject({ status: 200, defect: expect.any(RangeError) });
    expect(answer.body).toContain('>NOTOK - The agent hit a defect');
    await answer.answered(true);
    expect(told).toEqual([false]);
  });

  test.each(Object.keys(ERRORS) as ErrorCode[])('%s as the contract says', async (code) => {
    const error = new AgentError(code, 'xen01: no & no.');
    const legacy = answerCall(call(), { ok: false, operation: undefined, error });
    const expected = { fault: undefined, notok: 'NOTOK - xen01: no & no.', denied: 'NOTOK' }[
      ERRORS[code].legacy
    ];
    if (expected === undefined)
      expect(legacy).toMatchObject({ status: 500, body: encodeFault(call(), error) });
    else expect(legacy).toMatchObject({ status: 200, body: legacyOf('startVPS', expected) });
    const modern = call({ dialect: 'modern', namespace: 'urn:dtc-xen' });
    expect(answerCall(modern, { ok: false, operation: undefined, error })).toMatchObject({
      status: 500,
      body: encodeFault(modern, error),
    });
    await legacy.answered(true);
  });
});

test('escaped text comes back from a parser as it was, but for what XML cannot hold', () => {
  const all = Array.from({ length: 0x2100 }, (_, code) => String.fromCharCode(code)).join('');
  const expected = all.replace(/[\x00-\x08\x0b\x0c\x0e-\x1f]/g, '\ufffd');
  expect(parse(`<a>${escapeXml(all)}</a>`).text).toBe(expected);
  expect(parse(`<a b="${escapeXml('x"<&>\'y')}"/>`).attributes.get('b')).toBe('x"<&>\'y');
});
