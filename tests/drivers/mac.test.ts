import { expect, it } from 'vitest';
import { parseVpsId, type VpsId } from '../../src/core/vps.ts';
import { guestMac } from '../../src/drivers/mac.ts';

const vps = (number: string) => parseVpsId(number) as VpsId;

it('is stable, locally administered and not multicast', () => {
  const options = { prefix: '', node: 'node1.example.com', vps: vps('01'), index: 0 };
  expect(guestMac(options)).toBe(guestMac({ ...options }));
  expect(guestMac(options)).toMatch(/^02(:[0-9a-f]{2}){5}$/);
});

it('differs by node, by VPS (01 is not 1) and by interface: 1000 nodes with 60 VPSes have no two alike', () => {
  const seen = new Set<string>();
  let made = 0;
  for (let node = 0; node < 1000; node += 1) {
    for (let number = 1; number <= 29; number += 1) {
      for (const index of [0, 1]) {
        const name = `${number}`.padStart(2, '0');
        seen.add(guestMac({ prefix: '', node: `node${node}.example.com`, vps: vps(name), index }));
        made += 1;
      }
    }
    for (const name of ['1', '2']) {
      seen.add(guestMac({ prefix: '', node: `node${node}.example.com`, vps: vps(name), index: 0 }));
      made += 1;
    }
  }
  expect(made).toBe(60_000);
  expect(seen.size).toBe(made);
});

it('keeps the prefix; a node of its own prefix has no two alike', () => {
  const mac = guestMac({ prefix: '00:16:3E', node: 'a', vps: vps('01'), index: 0 });
  expect(mac).toMatch(/^00:16:3e(:[0-9a-f]{2}){3}$/);
  expect(guestMac({ prefix: '00:16:3e', node: 'b', vps: vps('01'), index: 0 })).not.toBe(mac);
  expect(guestMac({ prefix: '00:16:3e:01', node: 'a', vps: vps('258'), index: 0 })).toBe('00:16:3e:01:01:02');
  const node = new Set(
    Array.from({ length: 256 }, (_, at) =>
      guestMac({ prefix: '00:16:3e:01:02', node: 'a', vps: vps(`${at}`), index: 0 }),
    ),
  );
  expect(node.size).toBe(256);
});

it('refuses a multicast prefix', () => {
  expect(() => guestMac({ prefix: '01:00:5e', node: 'a', vps: vps('01'), index: 0 })).toThrowError(
    /multicast/,
  );
});
