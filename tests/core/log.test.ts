// What the daemon's log looks like to journald, and to those who read JSON.
import { execFileSync } from 'node:child_process';
import { closeSync, fstatSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';

const SOURCE = import.meta.resolve('../../src/core/log.ts');
const PROGRAM = `
import { createLog } from ${JSON.stringify(SOURCE)};
const log = createLog({ log_level: 'trace' });
for (const level of ['trace', 'debug', 'info', 'warn', 'error', 'fatal']) log[level]({ vps: 'xen01' }, level + '\\nsecond <1>');
`;
let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'dtc-xen-log-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

/** The lines that a process logs into a file, which $JOURNAL_STREAM says is the journal, or another one. */
function logged(stream: (file: { dev: bigint; ino: bigint }) => string): string[] {
  const path = join(folder, 'log');
  const fd = openSync(path, 'w');
  const env = { ...process.env, JOURNAL_STREAM: stream(fstatSync(fd, { bigint: true })) };
  execFileSync(
    process.execPath,
    ['--import', import.meta.resolve('tsx'), '--input-type=module', '-e', PROGRAM],
    {
      env,
      stdio: ['ignore', fd, 'inherit'],
    },
  );
  closeSync(fd);
  return readFileSync(path, 'utf8').trimEnd().split('\n');
}

test('journald reads the priority of each line, so that journalctl -p warning finds what matters', () => {
  const lines = logged(({ dev, ino }) => `${dev}:${ino}`);
  const parts = lines.map((line) => /^<([0-7])>(\{.*\})$/.exec(line) ?? []);
  expect(parts.map(([, priority, json = '{}']) => [priority, JSON.parse(json).level])).toEqual([
    ['7', 'trace'],
    ['7', 'debug'],
    ['6', 'info'],
    ['4', 'warn'],
    ['3', 'error'],
    ['2', 'fatal'],
  ]);
});

test('where standard output is not the journal each line is JSON alone, with an ISO time', () => {
  const lines = logged(({ dev, ino }) => `${dev}:${ino + 1n}`);
  expect(lines).toHaveLength(6);
  for (const line of lines) {
    const { time, vps } = JSON.parse(line);
    expect(vps).toBe('xen01');
    expect(time).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  }
});
