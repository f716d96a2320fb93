import { createHash } from 'node:crypto';
import { AgentError } from '../core/errors.ts';
import type { VpsId } from '../core/vps.ts';

/** What a guest's MAC address is made from. */
export interface GuestMacOptions {
  /** vps_mac_prefix: 3 to 5 bytes, or empty. */
  readonly prefix: string;
  readonly node: string;
  readonly vps: VpsId;
  /** Which interface of the guest, from 0. */
  readonly index: number;
}

/**
 * A guest's MAC address, always the same for the same node, VPS and interface.
 *
 * Without a prefix it is locally administered, 02 and then 40 bits of SHA-256 over node, VPS and interface: two nodes on
 * one network do not collide. A prefix of three bytes is followed by 24 bits of the same hash. Longer prefixes leave too
 * few bits for a hash and are a node's own: the VPS's number follows, which cannot collide while it fits.
 *
 * @throws AgentError invalid_value for a multicast prefix, which Xen would replace by a random address
 */
export function guestMac({ prefix, node, vps, index }: GuestMacOptions): string {
  const first = prefix === '' ? ['02'] : prefix.toLowerCase().split(':');
  if (Number.parseInt(first[0] ?? '', 16) % 2 !== 0) {
    throw new AgentError(
      'invalid_value',
      `vps_mac_prefix ${prefix} is multicast: its first byte must be even.`,
    );
  }
  const length = 6 - first.length;
  const rest =
    first.length > 3
      ? (Number(vps.number) + index) % 256 ** length
      : createHash('sha256')
          .update(JSON.stringify([node, vps.name, index]))
          .digest()
          .readUIntBE(0, length);
  const digits = rest.toString(16).padStart(2 * length, '0');
  return [...first, ...(digits.match(/../g) ?? [])].join(':');
}
