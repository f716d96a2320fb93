import { createHash } from 'node:crypto';
import { AgentError } from '../core/errors.ts';
import type { VpsId } from '../core/vps.ts';
import { readSettings, valuesOf } from '../core/xl-config.ts';

/** What a new guest's MAC address is made from. */
export interface NewMacOptions {
  /** vps_mac_prefix: 3 to 5 bytes, or empty. */
  readonly prefix: string;
  readonly node: string;
  readonly vps: VpsId;
  /** Addresses of the node's other guests, in the spelling of {@link macOf}. */
  readonly taken: Pick<ReadonlySet<string>, 'has'>;
}

const BYTES = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'));
/** Bytes that no number of two digits is spelled as. */
const NOT_DECIMAL = BYTES.filter((digits) => /[a-f]/.test(digits));
/** How many addresses are tried before it is said that none is free. */
const TRIES = 65_536;

/**
 * The last byte under a prefix of five: the VPS's number as it is written, as DTC-Xen had it (VPS 10 is `:10`). Numbers of more digits,
 * and whoever finds that taken, get the bytes that are nobody's number; only then those that are.
 */
function lastByte(number: number, attempt: number): string {
  const own =
    number < 100 ? String(number).padStart(2, '0') : NOT_DECIMAL[(number - 100) % NOT_DECIMAL.length];
  const all = [own, ...NOT_DECIMAL, ...BYTES];
  return all[attempt % all.length] as string;
}

function lastBytes(length: number, { node, vps }: NewMacOptions, attempt: number): string {
  if (length === 1) return lastByte(Number(vps.number), attempt);
  const rest =
    length === 2
      ? (Number(vps.number) + attempt) % 65_536
      : createHash('sha256')
          .update(JSON.stringify([node, vps.name, attempt]))
          .digest()
          .readUIntBE(0, length);
  const digits = rest.toString(16).padStart(2 * length, '0');
  return (digits.match(/../g) ?? []).join(':');
}

/**
 * A new guest's MAC address, that none of `taken` is; the same for the same node, VPS and neighbours.
 *
 * Without a prefix it is locally administered, 02 and then 40 bits of SHA-256 over node and VPS: two nodes on one network do not
 * collide. A prefix of three bytes is followed by 24 bits of the same hash. Longer prefixes leave too few bits for a hash and are
 * a node's own: the VPS's number follows.
 *
 * @throws AgentError invalid_value for a multicast prefix, which Xen would replace by a random address, or where none is free
 */
export function chooseMac(options: NewMacOptions): string {
  const { prefix, vps, taken } = options;
  const first = prefix === '' ? ['02'] : prefix.toLowerCase().split(':');
  if (Number.parseInt(first[0] ?? '', 16) % 2 !== 0) {
    throw new AgentError(
      'invalid_value',
      `vps_mac_prefix ${prefix} is multicast: its first byte must be even.`,
    );
  }
  for (let attempt = 0; attempt < TRIES; attempt += 1) {
    const mac = [...first, lastBytes(6 - first.length, options, attempt)].join(':');
    if (!taken.has(mac)) return mac;
  }
  throw new AgentError(
    'invalid_value',
    `Under vps_mac_prefix ${prefix} there is no address left for ${vps.name}: set a shorter one in dtc-xen.conf.`,
  );
}

const MAC = /^[0-9a-f]{1,2}(?::[0-9a-f]{1,2}){5}$/;

function macIn(vif: string): string | undefined {
  const [, given = ''] = /(?:^|,)\s*mac\s*=\s*([0-9A-Fa-f:]+)\s*(?:,|$)/.exec(vif) ?? [];
  if (!MAC.test(given.toLowerCase())) return undefined;
  const bytes = given.toLowerCase().split(':');
  const spelled = bytes.map((byte) => byte.padStart(2, '0'));
  return Number.parseInt(spelled[0] ?? '1', 16) % 2 === 0 ? spelled.join(':') : undefined;
}

/** Strings of a configuration that is more than xl reads: xm's were Python. */
const strings = (text: string) =>
  text
    .split('\n')
    .map((line) => /^\s*vif\s*=\s*\[(.*)/.exec(line)?.[1] ?? '')
    .flatMap((list) => list.match(/'[^']*'|"[^"]*"/g) ?? [])
    .map((quoted) => quoted.slice(1, -1));

/**
 * The address of a guest's first interface with one, of its configuration (xl-network-configuration(5)), spelled in lower case and
 * two digits a byte; undefined where it gives none.
 */
export function macOf(text: string): string | undefined {
  return macsOf(text)[0];
}

/** The addresses of all its interfaces. */
export function macsOf(text: string): string[] {
  let vifs: readonly string[];
  try {
    vifs = valuesOf(readSettings(text), 'vif').map(({ text: vif }) => vif);
  } catch (error) {
    if (!(error instanceof AgentError)) throw error;
    vifs = strings(text);
  }
  return vifs.map(macIn).filter((mac) => mac !== undefined);
}
