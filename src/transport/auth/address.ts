import { isIPv6 } from 'node:net';

/** A socket's address as people write it: an IPv4 address that came through an IPv6 socket is IPv4 again. */
export function plainAddress(address: string | undefined): string {
  const [text = ''] = (address ?? '').split('%', 1);
  return /^::ffff:([0-9]{1,3}(?:\.[0-9]{1,3}){3})$/i.exec(text)?.[1] ?? text;
}

/** Whoever holds one IPv6 address holds its /64: they count as one. An IPv4 address stands for itself. */
export function addressGroup(address: string): string {
  if (!isIPv6(address)) return address;
  const [head = '', tail] = address.split('::');
  const start = head === '' ? [] : head.split(':');
  const end = tail ? tail.split(':') : [];
  const missing = tail === undefined ? 0 : Math.max(0, 8 - start.length - end.length);
  const groups = [...start, ...Array<string>(missing).fill('0'), ...end];
  return `${groups
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(':')}::/64`;
}
