import { describe, expect, test } from 'vitest';
import { AgentError } from '../../../src/core/errors.ts';
import { MalformedMessage } from '../../../src/transport/soap/malformed.ts';
import { readSoapCall } from '../../../src/transport/soap/reader.ts';
import { ENCODING_1_1, envelope, legacy, modern } from './messages.ts';

const params = (text: string) => readSoapCall(text).params;
const value = (param: string) => params(legacy(param))[0]?.value;

function refusal(text: string): MalformedMessage {
  try {
    readSoapCall(text);
  } catch (error) {
    if (error instanceof MalformedMessage) return error;
    throw error;
  }
  throw new Error('it was read');
}

describe('dialect', () => {
  const style = `e:encodingStyle="${ENCODING_1_1}"`;
  const op = (attributes = '') => `<m:startVPS xmlns:m="urn:dtc-xen" ${attributes}/>`;

  test.each([
    ['no namespace', envelope('<startVPS/>'), 'legacy'],
    ['an empty default namespace', envelope('<startVPS xmlns=""/>'), 'legacy'],
    ["PHP's prefix of nothing", envelope('<n:startVPS/>', { attributes: 'xmlns:n=""' }), 'legacy'],
    ['encodingStyle on the envelope', envelope(op(), { attributes: style }), 'legacy'],
    ['encodingStyle on the operation', envelope(op(style)), 'legacy'],
    ['encodingStyle in a list', envelope(op(`e:encodingStyle="urn:x ${ENCODING_1_1}"`)), 'legacy'],
    ['another encodingStyle', envelope(op('e:encodingStyle="urn:x"')), 'modern'],
    ['encodingStyle in no namespace', envelope(op(`encodingStyle="${ENCODING_1_1}"`)), 'modern'],
    [
      'encodingStyle on a parameter',
      envelope(`<startVPS xmlns="urn:dtc-xen"><a ${style}/></startVPS>`),
      'modern',
    ],
    ['urn:dtc-xen', envelope(op()), 'modern'],
    ['urn:dtc-xen in SOAP 1.2', envelope(op(), { soap: '1.2' }), 'modern'],
    ['no namespace in SOAP 1.2', envelope('<startVPS/>', { soap: '1.2' }), 'legacy'],
  ])('%s', (_what, text, dialect) => {
    expect(readSoapCall(text)).toMatchObject({ dialect, operation: 'startVPS' });
  });

  test('encodingStyle on the Body', () => {
    const text = envelope(op()).replace('<e:Body>', `<e:Body ${style}>`);
    expect(readSoapCall(text).dialect).toBe('legacy');
  });

  test('another namespace without encodingStyle is refused', () => {
    expect(refusal(envelope('<startVPS xmlns="urn:other"/>')).message).toMatch(
      /startVPS is not in the namespace/,
    );
  });
});

describe('values', () => {
  test.each([
    ['text is kept as it came', '<p> a\n\tb </p>', ' a\n\tb '],
    ['line ends are those of XML', '<p>a\r\nb\rc</p>', 'a\nb\nc'],
    ['a written carriage return stays', '<p>a&#13;b</p>', 'a\rb'],
    ['entities', '<p>&amp;&lt;&gt;&quot;&apos;&#233;&#x20AC;</p>', '&<>"\'é€'],
    ['CDATA', '<p>a<![CDATA[<b>&amp;]]]]><![CDATA[>]]>c</p>', 'a<b>&amp;]]>c'],
    ['a comment inside', '<p>xen<!-- 9 -->01</p>', 'xen01'],
    ['empty', '<p></p>', ''],
    ['self-closing', '<p/>', ''],
    ['nil', '<p xsi:nil="true"/>', null],
    ['nil as 1', '<p xsi:nil="1"/>', null],
    ['null of 1999', '<p xmlns:i="http://www.w3.org/1999/XMLSchema-instance" i:null="1"/>', null],
    ['nil that is false', '<p xsi:nil="false">x</p>', 'x'],
    ['nil in another namespace', '<p nil="true">x</p>', 'x'],
    ['a type without a prefix', '<p xsi:type="string">x</p>', 'x'],
    ['an array', '<p xsi:type="enc:Array"><i>a</i><j>b</j></p>', ['a', 'b']],
    ['an array by arrayType alone', '<p enc:arrayType="xsd:string[1]"><i>a</i></p>', ['a']],
    ['an array by its name', '<enc:Array><i>a</i></enc:Array>', ['a']],
    ['an empty array', '<p xsi:type="enc:Array" enc:arrayType="xsd:string[0]"/>', []],
    ['an array with white space', '<p xsi:type="enc:Array">\n <i>a</i>\n</p>', ['a']],
    ['a nested array', '<p xsi:type="enc:Array"><i xsi:type="enc:Array"><i>a</i></i><i/></p>', [['a'], '']],
    [
      'a structure',
      '<p><a>1</a><a>2</a></p>',
      {
        members: [
          { name: 'a', value: '1' },
          { name: 'a', value: '2' },
        ],
      },
    ],
  ])('%s', (_what, param, expected) => {
    expect(value(param)).toEqual(expected);
  });

  test('a modern parameter may be qualified or not', () => {
    expect(params(modern('<a>1</a><b xmlns="">2</b>'))).toEqual([
      { name: 'a', value: '1' },
      { name: 'b', value: '2' },
    ]);
  });

  test.each([
    [
      'a modern parameter of another namespace',
      modern('<a xmlns="urn:x"/>'),
      /a is not in the namespace urn:dtc-xen/,
    ],
    ['text beside elements', legacy('<p>x<a/></p>'), /p holds text where elements are expected/],
    ['text in the operation', legacy('x'), /startVPS holds text/],
    ['base64', legacy('<p xsi:type="xsd:base64Binary">AA==</p>'), /binary values are not understood/],
    ['a type with an undeclared prefix', legacy('<p xsi:type="x:string"/>'), /prefix of its type/],
    ['a sparse array', legacy('<p xsi:type="enc:Array" enc:offset="[9]"/>'), /sparse/],
    ['a position', legacy('<p xsi:type="enc:Array"><i enc:position="[9]"/></p>'), /sparse/],
  ])('%s is refused', (_what, text, message) => {
    expect(refusal(text).message).toMatch(message);
  });
});

describe('references', () => {
  const withShared = (param: string, shared: string) => envelope(`<startVPS>${param}</startVPS>${shared}`);

  test('to a value next to the operation', () => {
    expect(params(withShared('<a href="#1"/><b href="#1"/>', '<x id="1">v</x>'))).toEqual([
      { name: 'a', value: 'v' },
      { name: 'b', value: 'v' },
    ]);
  });

  test('to a value inside, as PHP writes them, and inside a list', () => {
    expect(params(legacy('<a id="r">v</a><b href="#r"/><c xsi:type="enc:Array"><i href="#r"/></c>'))).toEqual(
      [
        { name: 'a', value: 'v' },
        { name: 'b', value: 'v' },
        { name: 'c', value: ['v'] },
      ],
    );
  });

  test('an id named like a prototype is an id like another', () => {
    expect(params(withShared('<a href="#__proto__"/>', '<x id="__proto__">v</x>'))).toEqual([
      { name: 'a', value: 'v' },
    ]);
    expect(refusal(withShared('<a href="#constructor"/>', '')).message).toMatch(/href leads nowhere/);
    expect(({} as Record<string, unknown>)['v']).toBeUndefined();
  });

  const rungs = Array.from(
    { length: 12 },
    (_, i) => `<x id="${i}"><a href="#${i + 1}"/><b href="#${i + 1}"/></x>`,
  );
  test.each([
    ['a circle', withShared('<a href="#1"/>', '<x id="1" href="#2"/><x id="2" href="#1"/>'), /in a circle/],
    ['a circle of structures', withShared('<a href="#1"/>', '<x id="1"><y href="#1"/></x>'), /in a circle/],
    ['a fan-out', withShared('<a href="#0"/>', `${rungs.join('')}<x id="12">v</x>`), /make it too large/],
    ['one to nowhere', legacy('<a href="#1"/>'), /href leads nowhere/],
    ['one to elsewhere', legacy('<a href="http://localhost/x"/>'), /href leads nowhere/],
    ['an id twice', withShared('<a/>', '<x id="1"/><x id="1"/>'), /its id is there twice/],
    ['href and content', withShared('<a href="#1"><y/></a>', '<x id="1"/>'), /both an href and content/],
    ['one in the modern dialect', modern('<a id="1">v</a><b href="#1"/>'), /href leads nowhere/],
    [
      'of SOAP 1.2',
      legacy('<a xmlns:n="http://www.w3.org/2003/05/soap-encoding" n:ref="1"/>'),
      /SOAP 1.2 references/,
    ],
    ['the operation itself', envelope('<startVPS href="#1"/><x id="1"/>'), /the operation is a reference/],
  ])('%s is refused', (_what, text, message) => {
    expect(refusal(text).message).toMatch(message);
  });
});

describe('envelope', () => {
  const header = (attributes: string) =>
    envelope('<startVPS/>', { header: `<e:Header><x:h xmlns:x="urn:x" ${attributes}/></e:Header>` });

  test('an empty header, and one that nobody must understand', () => {
    expect(readSoapCall(envelope('<startVPS/>', { header: '<e:Header/>' })).operation).toBe('startVPS');
    expect(readSoapCall(header('e:mustUnderstand="0"')).operation).toBe('startVPS');
    expect(readSoapCall(header('e:mustUnderstand="1" e:actor="urn:somebody-else"')).operation).toBe(
      'startVPS',
    );
  });

  test.each([
    [
      'a header to be understood',
      header('e:mustUnderstand="1"'),
      'MustUnderstand',
      /header h must be understood/,
    ],
    [
      'one for whoever is next',
      header('e:mustUnderstand="1" e:actor="http://schemas.xmlsoap.org/soap/actor/next"'),
      'MustUnderstand',
      /must be understood/,
    ],
    [
      'another SOAP',
      '<e:Envelope xmlns:e="urn:x"><e:Body/></e:Envelope>',
      'VersionMismatch',
      /neither SOAP 1\.1/,
    ],
    ['no SOAP', '<html/>', 'Client', /starts with html/],
    ['no Body', envelope('').replace(/<e:Body><\/e:Body>/, ''), 'Client', /one Body/],
    ['an empty Body', envelope(''), 'Client', /holds no operation/],
    ['two Bodies', envelope('<a/>').replace('<e:Body>', '<e:Body/><e:Body>'), 'Client', /one Body/],
    ['a Header behind', envelope('<a/>').replace('</e:Env', '<e:Header/></e:Env'), 'Client', /one Body/],
    ['a stranger in it', envelope('<a/>').replace('<e:Body>', '<Body/><e:Body>'), 'Client', /one Body/],
    ['text in it', envelope('<a/>').replace('<e:Body>', 'x<e:Body>'), 'Client', /Envelope holds text/],
    ['text in the Body', envelope('x<a/>'), 'Client', /Body holds text/],
    ['two operations', envelope('<a/><b/>'), 'Client', /more than one operation/],
    [
      'two modern ones, one with an id',
      envelope('<a xmlns="urn:dtc-xen"/><b id="1"/>'),
      'Client',
      /more than one/,
    ],
  ])('%s is refused', (_what, text, faultcode, message) => {
    const error = refusal(text);
    expect(error).toBeInstanceOf(AgentError);
    expect(error).toMatchObject({ code: 'malformed_request', faultcode, soap: '1.1' });
    expect(error.message).toMatch(message);
  });

  test('a refusal knows the SOAP version as soon as the envelope was seen', () => {
    expect(refusal(envelope('<a/><b/>', { soap: '1.2' })).soap).toBe('1.2');
    expect(refusal(envelope('<a>', { soap: '1.2' })).soap).toBe('1.2');
  });

  test('a refusal says where, and does not repeat what it may not print', () => {
    expect(refusal(legacy('\n<a>\u0001</a>')).message).toBe(
      'The request cannot be read at line 2, column 4: disallowed character.',
    );
    expect(refusal(legacy(`<${'é'.repeat(50)} x="1" x="2"/>`)).message).not.toMatch(/é/);
  });
});

describe('which element is the call', () => {
  const NET = `xmlns:i2="urn:dtc-xen"`;
  const encoded = (body: string) => envelope(body, { attributes: `e:encodingStyle="${ENCODING_1_1}"` });

  test("one that has an id itself, as .NET's formatter gives one to everything", () => {
    const call = readSoapCall(
      encoded(
        `<i2:startVPS id="ref-1" ${NET}><vpsname id="ref-2" xsi:type="enc:string">xen01</vpsname></i2:startVPS>`,
      ),
    );
    expect(call).toMatchObject({
      dialect: 'legacy',
      operation: 'startVPS',
      params: [{ name: 'vpsname', value: 'xen01' }],
    });
  });

  test('the one that nobody refers to, where all have one', () => {
    const array = '<enc:Array id="ref-3" enc:arrayType="xsd:string[1]"><item id="ref-4">a</item></enc:Array>';
    const call = `<i2:testVPSServer id="ref-1" ${NET}><x href="#ref-3"/></i2:testVPSServer>`;
    for (const body of [call + array, array + call]) {
      expect(readSoapCall(encoded(body))).toMatchObject({
        operation: 'testVPSServer',
        params: [{ name: 'x', value: ['a'] }],
      });
    }
  });

  test('the one in the typed dialect with an id', () => {
    expect(
      readSoapCall(envelope(`<startVPS xmlns="urn:dtc-xen" id="o1"><vpsname>xen01</vpsname></startVPS>`)),
    ).toMatchObject({ dialect: 'modern', operation: 'startVPS' });
  });

  test('none, or one of several that nobody refers to, is refused', () => {
    const one = (id: string) => `<i2:startVPS id="${id}" ${NET}/>`;
    expect(refusal(encoded(one('a') + one('b'))).message).toMatch(/more than one operation/);
    expect(refusal(encoded(`<a id="a"><x href="#b"/></a><b id="b"><x href="#a"/></b>`)).message).toMatch(
      /no operation/,
    );
  });
});
