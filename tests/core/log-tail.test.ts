import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readLogTail } from '../../src/core/log-tail.ts';
import { cpuOf } from '../cpu.ts';

let root: string;
let path: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'dtc-xen-log-tail-'));
  path = join(root, 'guest-xen01.log');
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

const tailOf = (written: string) => {
  writeFileSync(path, written, 'latin1');
  return readLogTail(path, 0);
};

it('has one line end where a console writes carriage returns before it, and one for each that stands alone', async () => {
  expect(await tailOf('a\r\nb\r\r\nc\rd\r\re\r')).toBe('a\nb\nc\nd\n\ne\n');
});

describe("a guest's console does not hold the daemon, whatever is written there: 512 KiB of", () => {
  it.each([
    ['carriage returns', '\r'],
    ['beginnings of a sequence', '\x1b['],
    ['one sequence that does not end', '\x1b[', '0'],
    ['beginnings of a string', '\x1b]'],
    ['one string that does not end', '\x1b]', 'x'],
    ['escapes', '\x1b'],
    ['intermediates', '\x1b ', ' '],
    ['line ends', '\n'],
    ['carriage returns and line ends', '\r\r\n'],
    ['bytes that nobody can read', '\xff'],
  ])('%s', async (_, first, more = first) => {
    const written = (first + more.repeat(Math.ceil((512 * 1024) / more.length))).slice(0, 512 * 1024);
    writeFileSync(path, written, 'latin1');
    const { cpu_ms } = await cpuOf(() => readLogTail(path, 100));
    expect(cpu_ms).toBeLessThan(1_000);
  });
});
