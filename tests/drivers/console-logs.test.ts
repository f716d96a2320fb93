import {
  appendFileSync,
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseVpsId, type VpsId } from '../../src/core/vps.ts';
import { createConsoleLogs } from '../../src/drivers/console-logs.ts';

const xen01 = parseVpsId('01') as VpsId;
const KIB = 1024;
const line = (n: number) => `line ${String(n).padStart(6, '0')}\n`;
const lines = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, i) => line(from + i)).join('');

let folder: string;
let log: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'dtc-xen-console-logs-'));
  log = join(folder, 'guest-xen01.log');
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));
const logs = () => createConsoleLogs({ config: { console_log_dir: folder, xen_log_dir: folder } });

describe('the last lines of a console', () => {
  it('are told as they were meant to be read, whatever the guest wrote', async () => {
    writeFileSync(
      log,
      '\x1b]0;title\x07\x1b[2J\x1b[0;1;31mred\x1b[0m\ttab\r\r\n\x1b(Bb\x1b7c\x00\xe9\x9b31m\n\x1bPdcs\x1b\\end',
      'latin1',
    );
    expect(await logs().tail(xen01, 0)).toBe('red tab\nbc31m\nend');
    expect(await logs().tail(xen01, -0)).toBe('red tab\nbc31m\nend');
    expect(await logs().tail(xen01, 1)).toBe('end');
  });

  it('are undefined where there are none, and where the log is a link', async () => {
    expect(await logs().tail(xen01, 5)).toBeUndefined();
    symlinkSync('/etc/shadow', log);
    expect(await logs().tail(xen01, 5)).toBeUndefined();
    expect(
      await createConsoleLogs({
        config: { console_log_dir: '/nonexistent', xen_log_dir: '/nonexistent' },
      }).tail(xen01, 0),
    ).toBeUndefined();
  });

  it('go back into what was cut off', async () => {
    writeFileSync(`${log}.1`, lines(0, 10));
    writeFileSync(log, lines(10, 13));
    expect(await logs().tail(xen01, 2)).toBe(lines(11, 13));
    expect(await logs().tail(xen01, 5)).toBe(lines(8, 13));
    expect(await logs().tail(xen01, 0)).toBe(lines(0, 13));
    rmSync(log);
    expect(await logs().tail(xen01, 2)).toBe(lines(8, 10));
  });

  it('of a guest that sends nothing but the beginnings of control strings are read in a moment', async () => {
    writeFileSync(log, '\x1b]'.repeat(512 * KIB));
    const started = performance.now();
    expect(await logs().tail(xen01, 0)).toBe('');
    expect(performance.now() - started).toBeLessThan(2_000);
  });
});

describe('a console that grows', () => {
  it('is cut in its place, and its writer goes on at the end', async () => {
    const writer = openSync(log, 'a');
    writeSync(writer, lines(0, 100_000));
    await logs().trim();
    expect([statSync(log).size, statSync(`${log}.1`).size]).toEqual([0, 512 * KIB]);
    expect(statSync(`${log}.1`).mode & 0o777).toBe(0o600);
    writeSync(writer, lines(100_000, 100_002));
    expect(await logs().tail(xen01, 3)).toBe(lines(99_999, 100_002));
    await logs().trim();
    expect(readFileSync(log, 'utf8')).toBe(lines(100_000, 100_002));
    writeSync(writer, lines(0, 100_000));
    await logs().trim();
    await logs().trim();
    expect(readdirSync(folder).sort()).toEqual(['guest-xen01.log', 'guest-xen01.log.1']);
    expect(statSync(`${log}.1`).size).toBe(512 * KIB);
    closeSync(writer);
  });

  it('is left alone where it is no VPS, or no file', async () => {
    for (const name of ['hypervisor.log', 'guest-other.log', 'guest-xen01.log.bak', 'guest-xen123456.log'])
      writeFileSync(join(folder, name), Buffer.alloc(600 * KIB));
    mkdirSync(join(folder, 'precious'));
    appendFileSync(join(folder, 'precious', 'file'), Buffer.alloc(600 * KIB));
    await logs().trim();
    expect(readdirSync(folder).filter((name) => name.endsWith('.1'))).toEqual([]);
    await createConsoleLogs({
      config: { console_log_dir: '/nonexistent', xen_log_dir: '/nonexistent' },
    }).trim();
  });
});

it("is forgotten with its VPS, and no other's", async () => {
  for (const name of ['guest-xen01.log', 'guest-xen01.log.1', 'guest-xen011.log'])
    writeFileSync(join(folder, name), 'x');
  await logs().forget(xen01);
  await logs().forget(xen01);
  expect(readdirSync(folder)).toEqual(['guest-xen011.log']);
  expect(existsSync(log)).toBe(false);
});
