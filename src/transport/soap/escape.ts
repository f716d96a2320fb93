/** Characters that XML 1.0 has no way to write (section 2.2, Char), and what needs an entity. */
const NEEDS_CARE = /[&<>"\r]|[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]|\p{Surrogate}/gu;

const ENTITIES: ReadonlyMap<string, string> = new Map([
  ['&', '&amp;'],
  ['<', '&lt;'],
  ['>', '&gt;'],
  ['"', '&quot;'],
  ['\r', '&#13;'],
]);

/** Escapes text for XML content and for attributes in double quotes; what XML cannot hold becomes U+FFFD. */
export function escapeXml(text: string): string {
  return text.replace(NEEDS_CARE, (char) => ENTITIES.get(char) ?? '\ufffd');
}

/** A number as XML Schema writes an xsd:double. */
export function xsdDouble(value: number): string {
  if (Number.isNaN(value)) return 'NaN';
  if (!Number.isFinite(value)) return value > 0 ? 'INF' : '-INF';
  return Number.isInteger(value) && Math.abs(value) < 1e21 ? `${value}.0` : `${value}`;
}

/**
 * A whole number in decimal digits, however large.
 *
 * @throws RangeError where it is no whole number
 */
export function xsdInteger(value: number): string {
  return Number.isSafeInteger(value) ? `${value}` : BigInt(value).toString();
}
