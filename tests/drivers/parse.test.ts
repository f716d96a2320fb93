import { describe, expect, it } from 'vitest';
import { bytesOf, parseLvmReport } from '../../src/drivers/parse/lvm-report.ts';
import { parseXlInfo } from '../../src/drivers/parse/xl-info.ts';
import { parseXlList } from '../../src/drivers/parse/xl-list.ts';
import { transcript } from './transcript.ts';

const HEADING = 'Name                                        ID   Mem VCPUs\tState\tTime(s)\n';
const DOM0 = 'Domain-0                                     0  2048     2     r-----    1187.3\n';

describe('xl list', () => {
  it('reads the listings of a real host, without Domain-0', () => {
    expect(parseXlList(transcript('001').stdout)).toEqual([]);
    expect(parseXlList(transcript('126').stdout)).toEqual([
      { name: 'xen02', domid: 2, memory_mib: 256, vcpus: 1, state: '-b----', cpu_seconds: 64.3 },
      { name: 'xen01', domid: 3, memory_mib: 384, vcpus: 1, state: '-b----', cpu_seconds: 61.6 },
    ]);
    expect(parseXlList(transcript('187').stdout)[0]?.state).toBe('---s--');
    expect(parseXlList(transcript('198').stdout)[0]?.state).toBe('---sc-');
  });

  it.each([
    ['a b c', 7],
    ['xen01 7 384 1 r----- 1.0', 8],
    ['a-name-that-is-longer-than-the-forty-columns-of-its-place', 12345],
    ['', 9],
  ])('reads from the right, whatever the name: %s', (name, domid) => {
    const row = `${name.padEnd(40)} ${`${domid}`.padStart(5)} ${'0'.padStart(5)} ${'0'.padStart(5)}     --p---  ${'0.0'.padStart(8)}\n`;
    expect(parseXlList(HEADING + DOM0 + row)).toEqual([
      { name, domid, memory_mib: 0, vcpus: 0, state: '--p---', cpu_seconds: 0 },
    ]);
  });

  it.each([
    ['nothing', ''],
    ['an error alone', 'cannot init xl context\n'],
    ['a heading alone, which would look like "nothing runs"', HEADING],
    ['no Domain-0', `${HEADING}xen01    8   384     1     r-----       4.0\n`],
    ['half a line', `${HEADING}${DOM0}xen01                                        8   38`],
    ['an unknown state', `${HEADING}${DOM0}xen01   8   384     1     zzzzzz       4.0\n`],
    ['the verbose listing', HEADING.replace('Time(s)', 'Time(s)   UUID') + DOM0],
  ])('refuses %s', (_, text) => {
    expect(() => parseXlList(text)).toThrowError(expect.objectContaining({ code: 'program_output' }));
  });
});

describe('xl info', () => {
  it('reads the memory of a real host', () => {
    expect(parseXlInfo(transcript('030').stdout)).toEqual({ total_memory_mib: 4095, free_memory_mib: 2004 });
  });

  it.each(['', 'free_memory : many\ntotal_memory : 4095\n', 'total_memory           : 4095\n'])(
    'refuses %j',
    (text) => {
      expect(() => parseXlInfo(text)).toThrowError(expect.objectContaining({ code: 'program_output' }));
    },
  );
});

describe('reports of LVM', () => {
  it('takes no row of one that has none', () => {
    expect(parseLvmReport(transcript('210').stdout, 'vg')).toEqual([]);
  });

  it.each(['', 'Segmentation fault', '{}', '{"report": 7}', '{"report": [{"lv": [{"lv_name": 1}]}]}'])(
    'refuses %j',
    (text) => {
      expect(() => parseLvmReport(text, 'lv')).toThrowError(
        expect.objectContaining({ code: 'program_output' }),
      );
    },
  );

  it.each([undefined, '', '1.00g', '-1', '1e9', '12345678901234567890'])('refuses a size of %j', (size) => {
    expect(() => bytesOf(size === undefined ? {} : { size }, 'size')).toThrowError(
      /number of bytes for size/,
    );
    expect(bytesOf({ size: '1073741824' }, 'size')).toBe(1073741824);
  });
});
