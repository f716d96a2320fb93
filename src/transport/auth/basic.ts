/** What an Authorization header holds: a name, and the password's bytes as the client sent them. */
export interface Credentials {
  readonly user: string;
  readonly password: Uint8Array;
}

const BASIC = /^basic +([A-Za-z0-9+/]+={0,2}) *$/i;
const MAX_HEADER_LENGTH = 2048;

/**
 * Reads a Basic Authorization header (RFC 7617). The password stays bytes: NuSOAP sends whatever PHP holds, and the hash was
 * made of some encoding's bytes too.
 *
 * @returns undefined where the header is of another scheme, is broken, or its name is not UTF-8
 */
export function parseBasic(header: string): Credentials | undefined {
  const encoded = header.length > MAX_HEADER_LENGTH ? undefined : BASIC.exec(header)?.[1];
  if (encoded === undefined) return undefined;
  const bytes = Buffer.from(encoded, 'base64');
  const colon = bytes.indexOf(':');
  if (colon < 1) return undefined;
  try {
    const user = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes.subarray(0, colon));
    return { user, password: bytes.subarray(colon + 1) };
  } catch (error) {
    if (error instanceof TypeError) return undefined;
    throw error;
  }
}
