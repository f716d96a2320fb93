import { AgentError } from './errors.ts';

/** Key types that OpenSSH still takes (ssh-keygen(1)); DSA is gone. */
const TYPES = [
  'ssh-ed25519',
  'ssh-rsa',
  'ecdsa-sha2-nistp256',
  'ecdsa-sha2-nistp384',
  'ecdsa-sha2-nistp521',
  'sk-ssh-ed25519@openssh.com',
  'sk-ecdsa-sha2-nistp256@openssh.com',
];
/** How many fields a key's blob has after its type (RFC 4253, RFC 5656, RFC 8709, OpenSSH PROTOCOL.u2f). */
const FIELDS: Readonly<Record<string, number>> = {
  'ssh-ed25519': 1,
  'ssh-rsa': 2,
  'sk-ssh-ed25519@openssh.com': 2,
  'sk-ecdsa-sha2-nistp256@openssh.com': 3,
};
const RSA_MIN_BITS = 2048;

function refuse(what: string): AgentError {
  return new AgentError('invalid_value', `keystring ${what}; send one public key, as in a .pub file.`);
}

/** Splits a blob into its length-prefixed fields; undefined where the lengths do not fit. */
function fieldsOf(blob: Buffer): Buffer[] | undefined {
  const fields: Buffer[] = [];
  let at = 0;
  while (at + 4 <= blob.length) {
    const end = at + 4 + blob.readUInt32BE(at);
    if (end > blob.length) return undefined;
    fields.push(blob.subarray(at + 4, end));
    at = end;
  }
  return at === blob.length ? fields : undefined;
}

/** Bits of a non-negative number in SSH's form (RFC 4251, mpint). */
function bitsOf(number: Buffer): number {
  const first = number.findIndex((byte) => byte !== 0);
  if (first === -1) return 0;
  return (number.length - first) * 8 - Math.clz32(number[first] ?? 0) + 24;
}

/** What editors and panels leave around a key: blanks, blank lines, no-break spaces, a byte order mark. */
const AROUND = new Set([' ', '\t', '\r', '\n', '\u00a0', '\ufeff']);

function withoutWhatIsAround(text: string): string {
  let [start, end] = [0, text.length];
  while (AROUND.has(text[start] ?? '')) start += 1;
  while (end > start && AROUND.has(text[end - 1] ?? '')) end -= 1;
  return text.slice(start, end);
}

/**
 * Checks one public key of the form `type base64 comment`: no options before it, nothing after it, of a type that OpenSSH
 * takes, its inner type and lengths right. The comment keeps its printable ASCII.
 *
 * @returns the key as one line of authorized_keys, without its line end
 * @throws AgentError invalid_value
 */
export function parseSshKey(text: string): string {
  const line = withoutWhatIsAround(text);
  if (/[\r\n\0\u0085\u2028\u2029]/.test(line)) throw refuse('has more than one line');
  const [type = '', encoded = '', ...comment] = line.split(/[ \t]+/);
  if (!TYPES.includes(type)) {
    throw refuse('does not begin with a key type of OpenSSH (options before the key are not taken)');
  }
  if (!/^(?:[A-Za-z0-9+/]{4})+(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(encoded)) {
    throw refuse('has no whole base64 after its type');
  }
  const [inner, ...fields] = fieldsOf(Buffer.from(encoded, 'base64')) ?? [];
  if (inner?.toString('latin1') !== type || fields.length !== (FIELDS[type] ?? 2)) {
    throw refuse(`is not a whole ${type} key`);
  }
  if (type.includes('ed25519') && fields[0]?.length !== 32) throw refuse(`is not a whole ${type} key`);
  if (type === 'ssh-rsa' && bitsOf(fields[1] ?? Buffer.alloc(0)) < RSA_MIN_BITS) {
    throw refuse(`is an RSA key of less than ${RSA_MIN_BITS} bits`);
  }
  if (comment.some((word) => TYPES.includes(word))) throw refuse('has two keys');
  const said = comment
    .join(' ')
    .replace(/[^\x20-\x7e]/g, '')
    .trim()
    .slice(0, 200);
  return said === '' ? `${type} ${encoded}` : `${type} ${encoded} ${said}`;
}
