import { describe, expect, test } from 'vitest';
import { decodeBody } from '../../../src/transport/soap/charset.ts';

const e_latin1 = Buffer.from('<p>é</p>', 'latin1');
const e_utf8 = Buffer.from('<p>é</p>', 'utf8');

describe('the charset of a request', () => {
  test.each([
    ['text/xml; charset=utf-8', e_utf8],
    ['text/xml;charset="UTF-8"', e_utf8],
    ['application/soap+xml; charset=utf-8; action="x; charset=iso-8859-1"', e_utf8],
    ['application/soap+xml; action="x; charset=\\"latin1"; CHARSET=UTF-8', e_utf8],
    ['text/xml', e_utf8],
    ['application/x-www-form-urlencoded', e_utf8],
    [undefined, e_utf8],
    ['text/xml; charset=ISO-8859-1', e_latin1],
  ])('%s', (content_type, bytes) => {
    expect(decodeBody(bytes, content_type)).toBe('<p>é</p>');
  });

  test('the XML declaration counts where the header says nothing', () => {
    const text = "<?xml version='1.0' encoding='ISO-8859-1'?><p>é</p>";
    expect(decodeBody(Buffer.from(text, 'latin1'), 'text/xml')).toBe(text);
  });

  test('the header goes before the XML declaration', () => {
    const text = '<?xml version="1.0" encoding="ISO-8859-1"?><p>é</p>';
    expect(decodeBody(Buffer.from(text), 'text/xml; charset=utf-8')).toBe(text);
  });

  test('ISO-8859-1 is latin1, not windows-1252', () => {
    expect(decodeBody(Buffer.from([0x80, 0xff]), 'text/xml; charset=iso-8859-1')).toBe('\x80\xff');
  });

  test('a byte order mark is UTF-8 whatever was declared, and is not text', () => {
    const bytes = Buffer.concat([Buffer.from([0xef, 0xbb, 0xbf]), e_utf8]);
    expect(decodeBody(bytes, 'text/xml; charset=ISO-8859-1')).toBe('<p>é</p>');
  });

  test.each([
    ['latin1 bytes said to be UTF-8', e_latin1, 'text/xml; charset=utf-8', /says that it is UTF-8/],
    ['latin1 bytes and no declaration', e_latin1, undefined, /says that it is UTF-8/],
    ['half a character', e_utf8.subarray(0, 4), undefined, /says that it is UTF-8/],
    ['a surrogate in UTF-8', Buffer.from([0xed, 0xa0, 0x80]), undefined, /says that it is UTF-8/],
    ['an overlong NUL', Buffer.from([0xc0, 0x80]), undefined, /says that it is UTF-8/],
    ['UTF-8 said to be US-ASCII', e_utf8, 'text/xml; charset=us-ascii', /says that it is US-ASCII/],
    ['UTF-16 with its mark', Buffer.from('\ufeff<p/>', 'utf16le'), undefined, /says that it is UTF-8/],
    ['UTF-16 declared', Buffer.from('<p/>', 'utf16le'), 'text/xml; charset=utf-16', /charset is utf-16;/],
    ['UTF-7 declared', Buffer.from('<p/>'), 'text/xml; charset=utf-7', /charset is utf-7;/],
    ['windows-1252', e_latin1, 'text/xml; charset=windows-1252', /charset is windows-1252;/],
    ['an empty charset', e_utf8, 'text/xml; charset=""', /charset is empty;/],
    ['a name of a prototype', e_utf8, 'text/xml; charset=__proto__', /charset is __proto__;/],
    ['a long name', e_utf8, `text/xml; charset=${'x'.repeat(900)}`, /charset is x{40}\.\.\.;/],
  ])('%s is refused', (_what, bytes, content_type, message) => {
    expect(() => decodeBody(bytes, content_type)).toThrow(
      expect.objectContaining({ code: 'malformed_request', message: expect.stringMatching(message) }),
    );
  });
});
