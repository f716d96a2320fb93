import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseSshKey } from '../../src/core/ssh-key.ts';
import { cpuOf } from '../cpu.ts';

/** A blob of length-prefixed fields in base64. */
function blob(...fields: (string | Buffer)[]): string {
  const parts = fields.flatMap((field) => {
    const bytes = Buffer.from(field as string);
    const length = Buffer.alloc(4);
    length.writeUInt32BE(bytes.length);
    return [length, bytes];
  });
  return Buffer.concat(parts).toString('base64');
}
const modulus = (bytes: number, first = 0x80) =>
  Buffer.concat([Buffer.from([0, first]), Buffer.alloc(bytes - 1, 7)]);
const rsa = (number: Buffer) => `ssh-rsa ${blob('ssh-rsa', Buffer.from([1, 0, 1]), number)}`;
const ed25519 = `ssh-ed25519 ${blob('ssh-ed25519', Buffer.alloc(32, 7))}`;

describe('an ssh key', () => {
  it.each([
    ['ed25519', ed25519],
    [
      'a hardware key',
      `sk-ssh-ed25519@openssh.com ${blob('sk-ssh-ed25519@openssh.com', Buffer.alloc(32, 1), 'ssh:')}`,
    ],
    ['RSA of 2048 bits', rsa(modulus(256))],
    ['ECDSA', `ecdsa-sha2-nistp256 ${blob('ecdsa-sha2-nistp256', 'nistp256', Buffer.alloc(65, 4))}`],
  ])('is taken: %s', (_, key) => {
    expect(parseSshKey(key)).toBe(key);
    expect(parseSshKey(`${key} me@home\n`)).toBe(`${key} me@home`);
    expect(parseSshKey(`${key}\r\n`)).toBe(key);
  });

  it.each([
    ['blank lines', '\n\r\n', '\n\n'],
    ['a byte order mark', '\ufeff', ''],
    ['no-break spaces', '\u00a0 ', ' \u00a0\n'],
    ['tabs', '\t', '\t\r\n'],
  ])('is taken out of what editors and panels put around it: %s', (_, before, after) => {
    expect(parseSshKey(`${before}${ed25519} me${after}`)).toBe(`${ed25519} me`);
  });

  it('keeps the printable part of a comment', () => {
    expect(parseSshKey(`${ed25519}  Jos\u00e9\x07  at home `)).toBe(`${ed25519} Jos at home`);
  });

  it.each([' ', '\t', '\r', '\n', '\u00a0', ' \t', 'A', '='])(
    'does not hold the daemon: 512 KiB of %j',
    async (char) => {
      const { cpu_ms } = await cpuOf(() => {
        const run = char.repeat(512 * 1024);
        for (const key of [`x${run}x`, `${ed25519}${run}x`, `${run}${ed25519}`]) {
          try {
            parseSshKey(key);
          } catch {
            // Whether it is taken is another test's.
          }
        }
      });
      expect(cpu_ms).toBeLessThan(1_000);
    },
  );

  it.each(['ed25519', 'rsa', 'ecdsa'])('is taken as ssh-keygen makes it: %s', (type) => {
    const key = readFileSync(join(import.meta.dirname, 'fixtures', 'ssh-keys', `${type}.pub`), 'utf8');
    expect(`${parseSshKey(key)}\n`).toBe(key);
  });

  it.each([
    ['nothing', ''],
    ['options', `command="/bin/sh" ${ed25519}`],
    ['an option alone', `restrict ${ed25519}`],
    ['two keys in two lines', `${ed25519}\n${ed25519}`],
    ['two keys in one line', `${ed25519} ${ed25519}`],
    ['two keys with a carriage return', `${ed25519}\r${ed25519}`],
    ['a line before it', `# mine\n${ed25519}`],
    ['NUL', `${ed25519}\0`],
    ['DSA', `ssh-dss ${blob('ssh-dss', 'a', 'b', 'c', 'd')}`],
    ['an unknown type', `ssh-foo ${blob('ssh-foo', 'a')}`],
    ['another inner type', `ssh-rsa ${blob('ssh-ed25519', Buffer.alloc(32))}`],
    ['RSA of 1024 bits', rsa(modulus(128))],
    ['RSA of 2047 bits', rsa(modulus(256, 0x7f))],
    ['a short ed25519 key', `ssh-ed25519 ${blob('ssh-ed25519', Buffer.alloc(31))}`],
    ['a cut key', ed25519.slice(0, -8)],
    [
      'bytes after its end',
      `ssh-ed25519 ${Buffer.concat([Buffer.from(blob('ssh-ed25519', Buffer.alloc(32)), 'base64'), Buffer.alloc(3)]).toString('base64')}`,
    ],
    ['lengths that lie', `ssh-ed25519 ${Buffer.alloc(24, 0xff).toString('base64')}`],
    ['not base64', 'ssh-ed25519 AAAA$(id)'],
    ['the private key', '-----BEGIN OPENSSH PRIVATE KEY-----'],
  ])('is refused: %s', (_, key) => {
    expect(() => parseSshKey(key)).toThrowError(expect.objectContaining({ code: 'invalid_value' }));
  });
});
