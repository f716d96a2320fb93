import { describe, expect, it } from 'vitest';
import { domainPhase, parseVpsId } from '../../src/core/vps.ts';

describe('parseVpsId', () => {
  it.each([
    ['xen01', '01'],
    ['01', '01'],
    ['1', '1'],
    ['xen99999', '99999'],
  ])('reads %s as number %s', (text, number) => {
    expect(parseVpsId(text)).toEqual({ number, name: `xen${number}` });
  });

  it.each([
    '',
    'xen',
    'xen01; reboot',
    '../x',
    'xen01\n',
    '\nxen01',
    ' xen01',
    'xen01 ',
    'Xen01',
    'xen-1',
    'xen+1',
    'xen0x1',
    'xen123456',
    'xen٠١',
    'xen０１',
    'xen01\0',
    'xenxen01',
    'Domain-0',
    'x'.repeat(10_240),
    `xen${'1'.repeat(10_240)}`,
  ])('refuses %j', (text) => {
    expect(parseVpsId(text)).toBeUndefined();
  });
});

describe('domainPhase', () => {
  it.each([
    ['r-----', 512, 'running'],
    ['-b----', 512, 'running'],
    ['------', 512, 'running'],
    ['--p---', 512, 'paused'],
    ['--p---', 0, 'building'],
    ['--ps--', 512, 'stopping'],
    ['--psr-', 512, 'stopping'],
    ['-----d', 512, 'stopping'],
    ['---s--', 512, 'preserved'],
    ['---sc-', 512, 'crashed'],
    ['--psc-', 512, 'crashed'],
  ] as const)('%s with %i MiB is %s', (state, memory_mib, phase) => {
    expect(domainPhase({ state, memory_mib })).toBe(phase);
  });
});
