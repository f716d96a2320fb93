// Who gets one of a limited number of connections, and who loses one.
import { expect, it } from 'vitest';
import { addressGroups } from '../../src/transport/auth/address.ts';
import { Places } from '../../src/transport/places.ts';

interface One {
  readonly name: string;
}
const LIMITS = { connections: 256, connections_per_address: 96 };

function makePlaces(limits = LIMITS, busy: ReadonlySet<One> = new Set()) {
  const places = new Places<One>(limits, (one) => !busy.has(one));
  const inside = new Set<One>();
  const come = (address: string): boolean => {
    const one = { name: address };
    const { is_in, put_out } = places.come(one, addressGroups(address));
    if (put_out) inside.delete(put_out);
    if (is_in) inside.add(one);
    return is_in;
  };
  const count = (address: string) => [...inside].filter(({ name }) => name === address).length;
  const trust = (address: string, as: 1 | 2) => places.trust(addressGroups(address), as);
  return { places, inside, come, count, trust };
}
const times = (count: number, what: () => unknown) => Array.from({ length: count }, what);

it('one who has logged in gets a place, however many strangers hold theirs', () => {
  const { come, count, trust, inside } = makePlaces();
  for (const address of ['192.0.2.1', '192.0.2.2', '192.0.2.3']) times(96, () => come(address));
  expect(inside.size).toBe(256);
  trust('198.51.100.1', 1);
  expect(times(96, () => come('198.51.100.1')).every(Boolean)).toBe(true);
  times(500, () => come('192.0.2.4'));
  expect(count('198.51.100.1')).toBe(96);
  expect(inside.size).toBe(256);
});

it("the admin gets a place of an owner's, and no owner one of the admin's", () => {
  const { come, count, trust } = makePlaces();
  for (const address of ['192.0.2.1', '192.0.2.2', '192.0.2.3']) {
    trust(address, 1);
    times(96, () => come(address));
  }
  trust('198.51.100.1', 2);
  expect(times(20, () => come('198.51.100.1')).every(Boolean)).toBe(true);
  times(200, () => come('192.0.2.1'));
  expect(count('198.51.100.1')).toBe(20);
});

it('a stranger gets a place of the one who has most; the shares become equal', () => {
  const { come, count } = makePlaces();
  for (const address of ['192.0.2.1', '192.0.2.2', '192.0.2.3', '192.0.2.4']) times(96, () => come(address));
  times(96, () => come('192.0.2.5'));
  const counts = [1, 2, 3, 4, 5].map((last) => count(`192.0.2.${last}`));
  expect(counts.reduce((sum, each) => sum + each)).toBe(256);
  expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(2);
});

it('nobody loses a place for one who has as many, or while something is under way there', () => {
  const busy = new Set<One>();
  const { come, inside } = makePlaces({ connections: 4, connections_per_address: 4 }, busy);
  for (const last of [1, 2, 3, 4]) expect(come(`192.0.2.${last}`)).toBe(true);
  expect(come('192.0.2.5')).toBe(false);
  const other = makePlaces({ connections: 4, connections_per_address: 4 }, busy);
  times(4, () => other.come('192.0.2.1'));
  for (const one of other.inside) busy.add(one);
  expect(other.come('192.0.2.2')).toBe(false);
  expect(inside.size).toBe(4);
});

it('a site with a /48 has no more than one address has', () => {
  const { come, inside } = makePlaces();
  for (let net = 0; net < 300; net += 1) come(`2001:db8:1:${net.toString(16)}::1`);
  expect(inside.size).toBe(96);
  expect(come('2001:db8:2::1')).toBe(true);
});

it('what is left is given again, and is counted once', () => {
  const { places, come, inside } = makePlaces({ connections: 2, connections_per_address: 2 });
  times(2, () => come('192.0.2.1'));
  expect(come('192.0.2.1')).toBe(false);
  for (const one of inside) times(2, () => places.leave(one));
  expect(times(2, () => come('192.0.2.1'))).toEqual([true, true]);
});
