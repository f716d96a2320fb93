import { isIPv6 } from 'node:net';

/** A socket's address as people write it: an IPv4 address that came through an IPv6 socket is IPv4 again. */
export function plainAddress(address: string | undefined): string {
  const [text = ''] = (address ?? '').split('%', 1);
  return /^::ffff:([0-9]{1,3}(?:\.[0-9]{1,3}){3})$/i.exec(text)?.[1] ?? text;
}

/** The groups of 16 bits that an IPv6 address is made of, in lower case and without leading zeros. */
function groupsOf(address: string): string[] {
  const [head = '', tail] = address.split('::');
  const start = head === '' ? [] : head.split(':');
  const end = tail ? tail.split(':') : [];
  const missing = tail === undefined ? 0 : Math.max(0, 8 - start.length - end.length);
  const groups = [...start, ...Array<string>(missing).fill('0'), ...end];
  return groups.map((group) => Number.parseInt(group, 16).toString(16));
}

/** Whoever holds one IPv6 address holds its /64: they count as one. An IPv4 address stands for itself. */
export function addressGroup(address: string): string {
  return isIPv6(address) ? `${groupsOf(address).slice(0, 4).join(':')}::/64` : address;
}

/** An address's {@link addressGroup}, and for IPv6 the /48 that a site is given: who has one has 65,536 of the other. */
export function addressGroups(address: string): readonly string[] {
  return isIPv6(address)
    ? [addressGroup(address), `${groupsOf(address).slice(0, 3).join(':')}::/48`]
    : [addressGroup(address)];
}
