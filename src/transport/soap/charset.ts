import { isAscii, isUtf8 } from 'node:buffer';
import { quoteName } from '../../core/bind.ts';
import { MalformedMessage } from './malformed.ts';

type Charset = 'utf-8' | 'iso-8859-1' | 'us-ascii';

const CHARSETS: ReadonlyMap<string, Charset> = new Map([
  ['utf-8', 'utf-8'],
  ['utf8', 'utf-8'],
  ['iso-8859-1', 'iso-8859-1'],
  ['iso8859-1', 'iso-8859-1'],
  ['iso_8859-1', 'iso-8859-1'],
  ['latin1', 'iso-8859-1'],
  ['us-ascii', 'us-ascii'],
  ['ascii', 'us-ascii'],
]);

/** One `; name=value` of a media type (RFC 9110, section 5.6.6). */
const PARAMETER = /;\s*([^\s=;"]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;"]*))/g;
const XML_DECLARATION = /^<\?xml\s[^>]*?\sencoding\s*=\s*["']([A-Za-z][A-Za-z0-9._-]*)["']/;
const UTF8_BOM = Buffer.from([0xef, 0xbb, 0xbf]);

function charsetOfHeader(content_type: string): string | undefined {
  for (const [, name, quoted, plain] of content_type.slice(0, 1000).matchAll(PARAMETER)) {
    if (name?.toLowerCase() === 'charset') return quoted?.replace(/\\(.)/g, '$1') ?? plain;
  }
  return undefined;
}

/**
 * Turns a request's bytes into text, by the charset that the request declares: the Content-Type header, then the XML
 * declaration, then UTF-8. A byte order mark beats both (RFC 7303, section 3) and is not part of the text.
 *
 * NuSOAP labels whatever bytes PHP holds as ISO-8859-1: these are latin1 and not windows-1252.
 *
 * @throws AgentError malformed_request for another charset, or bytes which are not in the charset declared
 */
export function decodeBody(body: Buffer, content_type: string | undefined): string {
  if (body.subarray(0, 3).equals(UTF8_BOM)) return decode(body.subarray(3), 'utf-8');
  const declared =
    charsetOfHeader(content_type ?? '') ??
    XML_DECLARATION.exec(body.toString('latin1', 0, 256))?.[1] ??
    'utf-8';
  const charset = CHARSETS.get(declared.toLowerCase());
  if (charset) return decode(body, charset);
  throw new MalformedMessage(
    `The request's charset is ${quoteName(declared) || 'empty'}; send UTF-8, ISO-8859-1 or US-ASCII.`,
  );
}

function decode(bytes: Buffer, charset: Charset): string {
  if (charset === 'iso-8859-1') return bytes.toString('latin1');
  if (charset === 'us-ascii' ? isAscii(bytes) : isUtf8(bytes)) return bytes.toString('utf8');
  throw new MalformedMessage(
    `The request says that it is ${charset.toUpperCase()}, but its bytes are not; declare the charset that is sent.`,
  );
}
