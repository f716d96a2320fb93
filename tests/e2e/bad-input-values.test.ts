// Bad input: values of the right type that cannot be used.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { operations } from '../../src/operations/index.ts';
import { type Site, startSite } from '../site.ts';
import { type Field, fieldsOf, good, type Watched, watch } from './bad-calls.ts';

const keyFile = (name: string) =>
  readFileSync(new URL(`../core/fixtures/ssh-keys/${name}.pub`, import.meta.url), 'utf8').trim();

let site: Site;
let agent: Watched;
beforeAll(async () => {
  site = await startSite();
  agent = watch(site);
  await site.modern('setupLVMDisks', good('setupLVMDisks', 'xen01'));
});
afterAll(() => site.stop());

const takeVps = operations.filter(({ input }) => 'vpsname' in input.shape).map(({ name }) => name);
const withValue = (operation: string, name: string, value: string): Field[] =>
  fieldsOf({ ...good(operation), [name]: value });
const LONG = '1'.repeat(10_000);

describe('a name that is none', () => {
  const NAMES = [
    'xen01; reboot',
    'xen01$(reboot)',
    'xen01`reboot`',
    'xen01|reboot',
    '../x',
    '../../etc/passwd',
    '/etc/xen/xen01',
    'xen01/',
    'xen01\n',
    '01\n',
    '\nxen01',
    ' xen01',
    'xen01 xen02',
    'xen01\t',
    '',
    '-1',
    '--help',
    '-xen01',
    'Domain-0',
    'xen',
    'XEN01',
    'xenxen01',
    'xen01swap',
    'xen123456',
    '123456',
    '1.0',
    '1e1',
    '0x1',
    LONG,
    `xen${LONG}`,
    'xen\u0660\u0661',
    '\u0660\u0661',
    '\uff10\uff11',
    '\u00b9',
    'xen01\u0000'.replace('\u0000', '\u2400'),
    'xen01\u00a0',
    'xen01\u202e',
    '*',
    '%s%n',
    '__proto__',
  ];
  it.each(takeVps)('%s refuses all of them', async (operation) => {
    await agent.unchanged(async () => {
      for (const name of NAMES) {
        const message = await agent.refused(
          'invalid_value',
          operation,
          withValue(operation, 'vpsname', name),
        );
        expect(message).toBe(
          `${operation}: vpsname must be a VPS name such as xen01 or 01 (one to five digits).`,
        );
      }
    });
  });

  it('0 is xen0, and never the node itself', async () => {
    await agent.unchanged(async () => {
      for (const name of ['0', '00', '000', '00000', 'xen0']) {
        for (const operation of ['shutdownVPS', 'destroyVPS', 'getCPUUsage']) {
          const message = await agent.refused('vps_not_running', operation, { vpsname: name });
          expect(message).toContain(name.startsWith('xen') ? name : `xen${name}`);
        }
        await agent.refused('vps_not_installed', 'startVPS', { vpsname: name });
        expect(await site.legacy('getVPSState', { vpsname: name })).toBe('Not running');
      }
    });
    const words = site.node.calls().flat();
    expect(words.filter((word) => /^0+$|^Domain-0$/.test(word))).toEqual([]);
    expect(await site.node.poweredOff()).toBe(false);
  });

  it('digits are kept as they come: 1 is not 01', async () => {
    await agent.unchanged(() => agent.refused('disks_missing', 'fsckVPSpartition', { vpsname: '1' }));
  });
});

describe('a number that is none', () => {
  const SIZES = [
    ['setupLVMDisks', 'hddsize'],
    ['setupLVMDisks', 'swapsize'],
    ['reinstallVPSos', 'ramsize'],
    ['writeXenHVMconf', 'ramsize'],
    ['changeBSDkernel', 'ramsize'],
  ] as const;
  const NOT_SIZES = ['0', '-1', '1e99', '1e3', '10G', '10 MB', '64M', '0x40', '1.5', '1,000', '', '6 4', '+'];
  const NOT_DIGITS = [
    '++5',
    'NaN',
    'Infinity',
    'null',
    '\uff16\uff14',
    '\u0666\u0664',
    '9'.repeat(20),
    LONG,
    '\u00a064',
  ];

  it.each(SIZES)('%s, %s', async (operation, field) => {
    await agent.unchanged(async () => {
      for (const value of [...NOT_SIZES, ...NOT_DIGITS]) {
        const message = await agent.refused('invalid_value', operation, withValue(operation, field, value));
        expect(message).toMatch(
          new RegExp(`^${operation}: ${field} must be a whole number from \\d+ to \\d+, in digits\\.$`),
        );
      }
    });
  });

  it.each([
    ['getVPSInstallLog', 'numlines'],
    ['getCollectedPerformanceData', 'count'],
  ])('%s, %s', async (operation, field) => {
    await agent.unchanged(async () => {
      // An empty one is one left out, where it may be.
      const none = NOT_SIZES.slice(2).concat(NOT_DIGITS, '--1', '-');
      for (const value of field === 'count' ? none.filter((text) => text !== '') : none) {
        const message = await agent.refused('invalid_value', operation, withValue(operation, field, value));
        expect(message).toBe(`${operation}: ${field} must be a whole number (0 or less: all).`);
      }
    });
  });

  it('a disk that is larger than the volume group, or than the file system, says what there is', async () => {
    const disks = (imagetype: string) => ({ vpsname: 'xen02', hddsize: 67_108_864, swapsize: 16, imagetype });
    await agent.unchanged(async () => {
      for (const type of ['lvm', 'vbd']) {
        const message = await agent.refused('no_space', 'setupLVMDisks', disks(type));
        expect(message).toMatch(/^xen02: its disks need 67108880 MB, and .* has \d+ MB free\.$/);
      }
    });
  });
});

describe('a word that is none', () => {
  it.each([
    ['setupLVMDisks', 'imagetype', ['LVM', 'file', 'lvm;vbd', '__proto__'], 'lvm, vbd'],
    ['killVPS', 'imagetype', ['zfs', 'constructor'], 'lvm, vbd'],
    ['reinstallVPSos', 'imagetype', [' ', 'zfs'], 'lvm, vbd'],
    ['changeBSDkernel', 'kerneltype', ['', '/boot/vmlinuz', '../x'], 'normal, install'],
  ])('%s, %s', async (operation, field, values, words) => {
    await agent.unchanged(async () => {
      for (const value of values) {
        const message = await agent.refused('invalid_value', operation, withValue(operation, field, value));
        expect(message).toBe(`${operation}: ${field} must be one of ${words}.`);
      }
    });
  });

  it.each(['../tiny', 'tiny/../slow', '/bin', '.', '..', '', 'Tiny', 'tiny\n', '-h', '__proto__'])(
    'the operating system %j is not known',
    async (os) => {
      await agent.unchanged(() =>
        agent.refused('unknown_os', 'reinstallVPSos', withValue('reinstallVPSos', 'ostype', os)),
      );
    },
  );

  it.each(['../../../etc/passwd', '/etc/passwd', 'a.iso', 'a.iso,xvdc,w', '', 'hdd ', '-b'])(
    'the iso %j is not there',
    async (iso) => {
      await agent.unchanged(() =>
        agent.refused('not_found', 'writeXenHVMconf', withValue('writeXenHVMconf', 'howtoboot', iso)),
      );
    },
  );
});

describe('an address that is none', () => {
  const NOT_ADDRESSES = [
    'abc',
    '192.0.2.300',
    '192.0.2',
    '192.0.2.010',
    '192.0.2.10/24',
    '192.0.2.10;reboot',
    '192.0.2.10 ; reboot',
    '$(reboot)',
    '::1',
    '2001:db8::1',
    '0.0.0.0',
    '127.0.0.1',
    '224.0.0.1',
    '255.255.255.255',
    '3221225994',
    '0xC000020A',
    '\u0661.\u0662.\u0663.\u0664',
    'a'.repeat(2000),
  ];
  const thirtyThree = Array.from({ length: 33 }, (_, i) => `192.0.2.${i + 1}`);

  it('in nics', async () => {
    const others = [
      '',
      '+',
      '\n\n',
      ',,',
      '192.0.2.10 192.0.2.11',
      '192.0.2.10,255.255.255.0,192.0.2.255,extra',
      '192.0.2.10,255.0.255.0,',
      '192.0.2.10,0.0.0.0,',
      '192.0.2.10,24,',
      '192.0.2.10,,192.0.2.999',
      '192.0.2.10,,+192.0.2.10,,',
      '192.0.2.10,,+nonsense',
      thirtyThree.join('+'),
      '1'.repeat(3000),
    ];
    await agent.unchanged(async () => {
      for (const value of [...NOT_ADDRESSES, ...others]) {
        const message = await agent.refused(
          'invalid_value',
          'reinstallVPSos',
          withValue('reinstallVPSos', 'nics', value),
        );
        expect(message).toContain('nics');
      }
    });
  });

  it('in allipaddrs, and in the ipaddr of older panels', async () => {
    const others = [
      '',
      ' ',
      '192.0.2.10,192.0.2.11',
      '192.0.2.10 192.0.2.10',
      thirtyThree.join(' '),
      '192.0.2.1\n',
    ];
    const older = {
      vpsname: 'xen01',
      ostype: 'tiny',
      hddsize: 64,
      ramsize: 64,
      password: 'x',
      imagetype: 'lvm',
    };
    await agent.unchanged(async () => {
      for (const value of [...NOT_ADDRESSES, ...others]) {
        for (const operation of ['writeXenHVMconf', 'changeBSDkernel']) {
          const message = await agent.refused(
            'invalid_value',
            operation,
            withValue(operation, 'allipaddrs', value),
          );
          expect(message).toContain('allipaddrs');
        }
        const message = await agent.refused('invalid_value', 'reinstallVPSos', { ...older, ipaddr: value });
        expect(message).toContain('ipaddr');
      }
    });
  });

  it('in the gateway, of which there is one', async () => {
    const two = ['192.0.2.1 192.0.2.2', '192.0.2.1,192.0.2.2', '192.0.2.1+192.0.2.2', '192.0.2.1\n192.0.2.2'];
    await agent.unchanged(async () => {
      for (const value of [...two, ' ', ...NOT_ADDRESSES]) {
        const message = await agent.refused(
          'invalid_value',
          'reinstallVPSos',
          withValue('reinstallVPSos', 'gateway', value),
        );
        expect(message).toContain('gateway');
      }
      const again: Field[] = [...fieldsOf(good('reinstallVPSos')), ['gateway', '192.0.2.3']];
      const message = await agent.refused('repeated_parameter', 'reinstallVPSos', again);
      expect(message).toBe('reinstallVPSos: the parameter gateway is there twice.');
    });
  });

  it('in the name servers, of which there are two at most', async () => {
    const others = [
      ',',
      '192.0.2.2,',
      '192.0.2.2 192.0.2.3',
      '192.0.2.2,192.0.2.3,192.0.2.4',
      'ns.example.com',
    ];
    await agent.unchanged(async () => {
      for (const value of [...others, ...NOT_ADDRESSES]) {
        const message = await agent.refused(
          'invalid_value',
          'reinstallVPSos',
          withValue('reinstallVPSos', 'dns', value),
        );
        expect(message).toContain('dns');
      }
    });
  });
});

describe('an ssh key that is none', () => {
  const ed25519 = keyFile('ed25519');
  const rsa = keyFile('rsa');
  const [type = '', base64 = ''] = ed25519.split(' ');
  const KEYS: Readonly<Record<string, string>> = {
    'with the option command=': `command="/bin/sh" ${ed25519}`,
    'with options': `no-pty,from="192.0.2.1" ${ed25519}`,
    'with environment=': `environment="LD_PRELOAD=/tmp/x" ${ed25519}`,
    'with a line before it': `command="/bin/sh"\n${ed25519}`,
    'two keys on two lines': `${ed25519}\n${rsa}`,
    'two keys on one line': `${ed25519} ${rsa}`,
    'two keys by CR': `${ed25519}\r${rsa}`,
    'two keys by CR LF': `${ed25519}\r\n${rsa}`,
    'two keys by U+2028': `${ed25519}\u2028${rsa}`,
    'a newline in the middle': `${type}\n${base64}`,
    'a newline in the base64': `${type} ${base64.slice(0, 20)}\n${base64.slice(20)}`,
    'no base64': type,
    'half of it': `${type} ${base64.slice(0, -4)}`,
    'too much of it': `${type} ${base64}AAAA`,
    'wrong base64': `${type} ${base64.slice(0, 10)}!${base64.slice(11)}`,
    'base64 of something else': `${type} ${Buffer.from('hello world').toString('base64')}`,
    'the type of another key': `ssh-rsa ${base64}`,
    'no key at all': 'hello',
    'a private key': '-----BEGIN OPENSSH PRIVATE KEY-----',
    'an old DSA key': `ssh-dss ${base64}`,
    'a comment line': `#${ed25519}`,
    nothing: '',
    'white space': '   ',
    '17 kB': `${ed25519} ${'x'.repeat(17_000)}`,
  };
  it.each(Object.entries(KEYS))('%s', async (_what, keystring) => {
    await agent.unchanged(async () => {
      const message = await agent.refused('invalid_value', 'changeVPSsshKey', {
        vpsname: 'xen01',
        keystring,
      });
      expect(message).toMatch(/keystring/);
    });
  });

  it('a comment cannot become more than a comment', async () => {
    const keystring = `${ed25519.split(' ').slice(0, 2).join(' ')} me\u00e9"$(id)`;
    expect(await site.legacy('changeVPSsshKey', { vpsname: 'xen03', keystring })).toBe('OK');
    const file = join(site.folder.path, 'state/ttyssh_home/xen03/.ssh/authorized_keys');
    expect(readFileSync(file, 'utf8').trimEnd().split('\n')).toHaveLength(1);
  });
});
