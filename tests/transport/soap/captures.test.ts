import { readdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import type { SoapCall } from '../../../src/core/call.ts';
import { decodeBody } from '../../../src/transport/soap/charset.ts';
import { readSoapCall } from '../../../src/transport/soap/reader.ts';
import { readHttpFile } from './http-file.ts';

const captures = new URL('fixtures/captures/', import.meta.url);
const names = readdirSync(captures).map((file) => file.replace('.http', ''));
const calls: Record<string, SoapCall> = JSON.parse(
  readFileSync(new URL('fixtures/calls.json', import.meta.url), 'utf8'),
);

test('every capture has its expected call, and the other way round', () => {
  expect(names).toEqual(Object.keys(calls));
});

test.each(names)('%s is read as the call that the client meant', (name) => {
  const { headers, body } = readHttpFile(new URL(`${name}.http`, captures));
  expect(readSoapCall(decodeBody(body, headers.get('content-type')))).toEqual(calls[name]);
});

test.each(names)('%s: the dialect does not depend on anything but the body', (name) => {
  const { body } = readHttpFile(new URL(`${name}.http`, captures));
  expect(readSoapCall(decodeBody(body, undefined))).toEqual(calls[name]);
});

test('each client speaks the dialect that it is known to speak', () => {
  const dialects = Object.entries(calls).map(([name, { dialect }]) => [
    name.replace(
      /-(startVPS|reinstallVPSos|testVPSServer|getCollected|setupLVM|named|positional|list).*/,
      '',
    ),
    dialect,
  ]);
  expect(Object.fromEntries(dialects)).toEqual({
    'curl-chunked-h2': 'modern',
    'curl-legacy': 'legacy',
    'curl-modern': 'modern',
    'curl-plain-data': 'modern',
    gsoap: 'modern',
    nodesoap: 'modern',
    nusoap: 'legacy',
    'nusoap-defaultns': 'legacy',
    'nusoap-utf8': 'legacy',
    'nusoap-wsdl': 'modern',
    'phpsoap-nowsdl': 'legacy',
    'phpsoap-nowsdl-emptyuri': 'legacy',
    'phpsoap-wsdl': 'modern',
    'phpsoap-wsdl12': 'modern',
    soappy: 'legacy',
    'soappy-multiref': 'legacy',
    suds: 'modern',
    zeep: 'modern',
  });
});
