import { describe, expect, it } from 'vitest';
import {
  netmaskPrefix,
  parseAddressList,
  parseDns,
  parseGateway,
  parseNics,
  requireReachable,
} from '../../src/core/net.ts';

const DEFAULTS = { NETMASK: '255.255.255.0', BROADCAST: '' };
const NONE = { NETMASK: '', BROADCAST: '' };

describe('parseNics', () => {
  it('reads addresses joined by + and by line ends', () => {
    const first = { ip: '192.0.2.5', netmask: '255.255.255.0', broadcast: '192.0.2.255' };
    const second = { ip: '198.51.100.9', netmask: '255.255.255.240', broadcast: '198.51.100.15' };
    const texts = ['192.0.2.5,255.255.255.0,192.0.2.255', '198.51.100.9,255.255.255.240,198.51.100.15'];
    for (const joint of ['+', '\n', '\r\n'])
      expect(parseNics(texts.join(joint), NONE)).toEqual([first, second]);
  });

  it('takes what is missing from the configuration, and computes the broadcast address where that has none', () => {
    expect(parseNics('192.0.2.5', DEFAULTS)).toEqual([
      { ip: '192.0.2.5', netmask: '255.255.255.0', broadcast: '192.0.2.255' },
    ]);
    expect(
      parseNics('192.0.2.5,,', { NETMASK: '255.255.255.0', BROADCAST: '192.0.2.127' })[0]?.broadcast,
    ).toBe('192.0.2.127');
    expect(() => parseNics('192.0.2.5', NONE)).toThrow(/NETMASK is not set/);
  });

  it.each([
    '',
    '+',
    'example.org',
    '1.2.3',
    '1.2.3.4.5',
    '1.2.3.256',
    '01.2.3.4',
    '0x1.2.3.4',
    '127.0.0.1',
    '224.0.0.1',
    '255.255.255.255',
    '0.0.0.0',
    '::1',
    '1.2.3.4,255.0.255.0',
    '1.2.3.4,0.0.0.0',
    '1.2.3.4,24',
    '1.2.3.4/24',
    '1.2.3.4,255.255.255.0,x',
    '1.2.3.4,255.255.255.0,1.2.3.255,1.2.3.1',
    '1.2.3.4+1.2.3.4',
    '1.2.3.4;reboot',
    '1.2.3.4\0',
    ' 1.2.3.4',
    Array.from({ length: 33 }, (_, i) => `10.0.0.${i + 1}`).join('+'),
  ])('refuses %j', (text) => {
    expect(() => parseNics(text, DEFAULTS)).toThrow(expect.objectContaining({ code: 'invalid_value' }));
  });
});

describe('an address that leaves a guest without network', () => {
  it.each([
    [
      '/31, the broadcast that a panel computes is the gateway',
      '192.0.2.0,255.255.255.254,192.0.2.1',
      '192.0.2.1',
    ],
    ['/31, without one', '192.0.2.1,255.255.255.254', '192.0.2.0'],
    ['/32, the broadcast is the address', '192.0.2.5,255.255.255.255,192.0.2.5', '198.51.100.1'],
    ['/32, the broadcast is the gateway', '192.0.2.5,255.255.255.255,198.51.100.1', '198.51.100.1'],
  ])('has no broadcast address where the network has none (RFC 3021): %s', (_, text, gateway) => {
    const [nic, ...none] = parseNics(text, DEFAULTS);
    expect([nic?.broadcast, none]).toEqual(['0.0.0.0', []]);
    requireReachable(nic ? [nic] : [], gateway);
  });

  it.each([
    ['192.0.2.0', /192\.0\.2\.0 is the address of its network/],
    ['192.0.2.255', /192\.0\.2\.255 is the broadcast address of its network/],
    ['192.0.2.7,255.255.255.0,192.0.2.7', /192\.0\.2\.7 is the broadcast address of its network/],
    ['192.0.2.9,255.255.255.248,192.0.2.15+192.0.2.8,255.255.255.248', /192\.0\.2\.8 is the address/],
  ])('is refused: %s', (text, told) => {
    expect(() => parseNics(text, DEFAULTS)).toThrow(told);
  });

  it.each([
    ['192.0.2.5', '192.0.2.5', /gateway: 192\.0\.2\.5 is the VPS's own address/],
    ['192.0.2.5+192.0.2.6', '192.0.2.6', /own address/],
    ['192.0.2.5', '192.0.2.0', /gateway: 192\.0\.2\.0 is the address of the network of 192\.0\.2\.5/],
    ['192.0.2.5', '192.0.2.255', /gateway: 192\.0\.2\.255 is the broadcast address of the network of 192/],
    ['192.0.2.5,255.255.255.0,192.0.2.1', '192.0.2.1', /is the broadcast address/],
  ])('%s with the gateway %s is refused', (text, gateway, told) => {
    expect(() => requireReachable(parseNics(text, DEFAULTS), gateway)).toThrow(told);
  });

  it('a gateway in another network is nobody’s business here', () => {
    requireReachable(parseNics('192.0.2.5,255.255.255.128', DEFAULTS), '192.0.2.255');
    requireReachable(parseNics('192.0.2.5', DEFAULTS), '198.51.100.0');
  });
});

describe('the other addresses', () => {
  it('takes one gateway, never two', () => {
    expect(parseGateway('192.0.2.1', '')).toBe('192.0.2.1');
    expect(parseGateway('', '192.0.2.254')).toBe('192.0.2.254');
    for (const text of ['192.0.2.1,192.0.2.2', '192.0.2.1 192.0.2.2', '192.0.2.1\n', 'gw']) {
      expect(() => parseGateway(text, '')).toThrow(/one IPv4 address/);
    }
    expect(() => parseGateway('', '')).toThrow(/GATEWAY is not set/);
  });

  it('takes one or two name servers', () => {
    expect(parseDns('192.0.2.2,192.0.2.3', '')).toEqual(['192.0.2.2', '192.0.2.3']);
    expect(parseDns('', '192.0.2.2')).toEqual(['192.0.2.2']);
    expect(() => parseDns('', '')).toThrow(/DNS is not set/);
    for (const text of ['a', '1.1.1.1,2.2.2.2,3.3.3.3', '1.1.1.1,', 'nameserver 1.1.1.1']) {
      expect(() => parseDns(text, '')).toThrow(/dns: must be/);
    }
  });

  it('takes space-separated addresses', () => {
    expect(parseAddressList('ipaddr', '192.0.2.1 192.0.2.2')).toEqual(['192.0.2.1', '192.0.2.2']);
    for (const text of ['', '192.0.2.1,192.0.2.2', '192.0.2.1\t192.0.2.2', '192.0.2.1 192.0.2.1']) {
      expect(() => parseAddressList('ipaddr', text)).toThrow(/ipaddr/);
    }
  });

  it('knows netmasks', () => {
    expect(netmaskPrefix('255.255.255.0')).toBe(24);
    expect(netmaskPrefix('255.255.255.255')).toBe(32);
    expect(netmaskPrefix('0.0.0.0')).toBe(0);
    expect(netmaskPrefix('255.255.0.255')).toBeUndefined();
  });
});
