import { describe, expect, it } from 'vitest';
import { parseVpsId, type VpsId } from '../../src/core/vps.ts';
import { chooseMac, macOf } from '../../src/drivers/mac.ts';

const vps = (number: string) => parseVpsId(number) as VpsId;
const choose = (prefix: string, number: string, taken: readonly string[] = [], node = 'node1.example.com') =>
  chooseMac({ prefix, node, vps: vps(number), taken: new Set(taken) });

describe('a new MAC address', () => {
  it('is stable, locally administered and not multicast', () => {
    expect(choose('', '01')).toBe(choose('', '01'));
    expect(choose('', '01')).toMatch(/^02(:[0-9a-f]{2}){5}$/);
  });

  it('differs by node and by VPS (01 is not 1): 1000 nodes with 31 VPSes have no two alike', () => {
    const seen = new Set<string>();
    let made = 0;
    for (let node = 0; node < 1000; node += 1) {
      for (let number = 1; number <= 29; number += 1) {
        seen.add(choose('', `${number}`.padStart(2, '0'), [], `node${node}.example.com`));
        made += 1;
      }
      for (const number of ['1', '2']) {
        seen.add(choose('', number, [], `node${node}.example.com`));
        made += 1;
      }
    }
    expect(seen.size).toBe(made);
  });

  it('keeps the prefix', () => {
    expect(choose('00:16:3E', '01')).toMatch(/^00:16:3e(:[0-9a-f]{2}){3}$/);
    expect(choose('00:16:3e', '01')).not.toBe(choose('00:16:3e', '01', [], 'node2.example.com'));
    expect(choose('00:16:3e:01', '258')).toBe('00:16:3e:01:01:02');
  });

  it("is DTC-Xen's under a prefix of five bytes: the number's digits as they stand, VPS 10 is :10", () => {
    expect(choose('00:16:3e:01:02', '01')).toBe('00:16:3e:01:02:01');
    expect(choose('00:16:3e:01:02', '10')).toBe('00:16:3e:01:02:10');
    expect(choose('00:16:3e:01:02', '99')).toBe('00:16:3e:01:02:99');
    const all = Array.from({ length: 256 }, (_, at) => choose('00:16:3e:01:02', `${at}`.padStart(2, '0')));
    expect(new Set(all).size).toBe(256);
    expect(all.every((mac) => /^00:16:3e:01:02:[0-9a-f]{2}$/.test(mac))).toBe(true);
  });

  it.each(['', '00:16:3e', '00:16:3e:01', '00:16:3e:01:02'])(
    'is never one that another guest has, under the prefix "%s"',
    (prefix) => {
      const taken: string[] = [];
      for (let at = 0; at < 40; at += 1) {
        const mac = choose(prefix, '10', taken);
        expect(taken).not.toContain(mac);
        expect(mac).toMatch(/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/);
        taken.push(mac);
      }
    },
  );

  it('is none that another number would have, as long as others are free', () => {
    const second = choose('00:16:3e:01:02', '10', ['00:16:3e:01:02:10']);
    expect(second.slice(-2)).toMatch(/[a-f]/);
  });

  it('is refused where all 256 of a prefix are taken', () => {
    const all = Array.from({ length: 256 }, (_, at) => `00:16:3e:01:02:${at.toString(16).padStart(2, '0')}`);
    expect(() => choose('00:16:3e:01:02', '10', all)).toThrowError(
      /vps_mac_prefix 00:16:3e:01:02 .*no address left for xen10/,
    );
  });

  it('is refused for a multicast prefix', () => {
    expect(() => choose('01:00:5e', '01')).toThrowError(/multicast/);
  });
});

describe('the MAC address of a configuration', () => {
  it.each([
    ['vif = [ "mac=00:16:3E:01:02:10,bridge=xenbr0,ip=192.0.2.1" ]', '00:16:3e:01:02:10'],
    ["vif = [ 'mac=00:16:3e:01:02:10, ip=192.0.2.1 192.0.2.2' ]\n", '00:16:3e:01:02:10'],
    ["vif = [ 'type=ioemu, mac=00:16:3e:01:02:10, ip=192.0.2.1' ]\n", '00:16:3e:01:02:10'],
    ['vif = [ "mac=0:16:3e:1:2:a" ]', '00:16:3e:01:02:0a'],
    ['vif = [ "mac=00:16:3e:01:02:10", "mac=00:16:3e:01:02:11" ]', '00:16:3e:01:02:10'],
    ["import os\nvif = [ 'mac=00:16:3e:01:02:10' ]\n", '00:16:3e:01:02:10'],
    [
      "import os\n#vif = [ 'mac=00:16:3e:01:02:99' ]\nvif = [ 'mac=00:16:3e:01:02:10' ]\n",
      '00:16:3e:01:02:10',
    ],
    ["vif = [ 'ip=192.0.2.1' ]\n", undefined],
    ['vif = [ "mac=01:16:3e:01:02:10" ]', undefined],
    ['name = "mac=00:16:3e:01:02:10"', undefined],
    ['', undefined],
  ])('in %j', (text, mac) => {
    expect(macOf(text)).toBe(mac);
  });
});
