import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { parseVpsId, type VpsId } from '../../src/core/vps.ts';
import { createFileLocks, createVpsLocks } from '../../src/drivers/flock.ts';
import { createRunner } from '../../src/drivers/run.ts';

const xen01 = parseVpsId('xen01') as VpsId;
const xen02 = parseVpsId('02') as VpsId;
const runner = createRunner({ path: process.env['PATH'] ?? '' });
const files = createFileLocks(runner);
let run_dir: string;
let others: ChildProcess[];

beforeEach(() => {
  run_dir = mkdtempSync(join(tmpdir(), 'dtc-xen-lock-'));
  others = [];
});

afterEach(() => {
  for (const other of others) other.kill('SIGKILL');
  rmSync(run_dir, { recursive: true });
});

const locks = () => createVpsLocks({ run_dir, locks: files });

/** Another process that takes xen01's lock and keeps it; resolves with what it says of that. */
async function otherProcess(): Promise<{ said: string; child: ChildProcess }> {
  const main = fileURLToPath(new URL('./hold-lock.ts', import.meta.url));
  const child = spawn(process.execPath, ['--import', import.meta.resolve('tsx'), main, run_dir], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  others.push(child);
  const said = await new Promise<string>((resolve) =>
    child.stdout?.once('data', (data) => resolve(`${data}`)),
  );
  return { said, child };
}

test('a second taker is refused with the name of the holder, and succeeds after the release', async () => {
  const held = await locks().acquire(xen01, 'startVPS, called by admin');
  await expect(locks().acquire(xen01, 'killVPS')).rejects.toMatchObject({
    code: 'vps_busy',
    message: expect.stringMatching(
      /^xen01 is busy: held by startVPS, called by admin, since \d{4}-.*Z; try again/,
    ),
  });
  await held.release();
  await (await locks().acquire(xen01, 'killVPS')).release();
});

test('two VPSes do not share a lock', async () => {
  const first = await locks().acquire(xen01, 'one');
  const second = await locks().acquire(xen02, 'two');
  await first.release();
  await second.release();
});

test('of many takers at once, one gets it', async () => {
  const outcomes = await Promise.allSettled(
    Array.from({ length: 8 }, (_, at) => locks().acquire(xen01, `taker ${at}`)),
  );
  const won = outcomes.filter((outcome) => outcome.status === 'fulfilled');
  expect(won).toHaveLength(1);
  for (const { value } of won) await value.release();
});

test('another process is refused, and told who holds it', async () => {
  const held = await locks().acquire(xen01, 'reinstallVPSos');
  expect((await otherProcess()).said).toContain('vps_busy xen01 is busy: held by reinstallVPSos');
  await held.release();
});

test('a holder that is killed with -9 lets go', async () => {
  const { said, child } = await otherProcess();
  expect(said).toBe('held\n');
  await expect(locks().acquire(xen01, 'me')).rejects.toMatchObject({ code: 'vps_busy' });
  child.kill('SIGKILL');
  await (await locks().acquire(xen01, 'me', 5_000)).release();
});

test('who waits gets it when it is let go, and is refused when it is not', async () => {
  const held = await locks().acquire(xen01, 'the caller');
  await expect(locks().acquire(xen01, 'the job', 200)).rejects.toMatchObject({ code: 'vps_busy' });
  const waiting = locks().acquire(xen01, 'the job', 10_000);
  await sleep(100);
  await held.release();
  await (await waiting).release();
});

test('flock(1) of a program that is run by hand takes the same lock', async () => {
  const file = join(run_dir, 'lock', 'xen01.lock');
  const byHand = () =>
    runner.run({ label: 'by hand', program: 'flock', args: ['-n', file, 'true'], timeout_ms: 5_000 });
  const held = await locks().acquire(xen01, 'the agent');
  expect((await byHand()).exit_code).toBe(1);
  await held.release();
  expect((await byHand()).exit_code).toBe(0);
});

test('a lock whose file cannot be made says so', async () => {
  await expect(files.tryLock(join(run_dir, 'missing', 'file'))).rejects.toMatchObject({
    code: 'program_failed',
    message: expect.stringContaining('No such file or directory'),
  });
  const nowhere = createFileLocks(createRunner({ path: run_dir }));
  await expect(nowhere.tryLock(join(run_dir, 'file'))).rejects.toMatchObject({ code: 'program_missing' });
});

test('releasing leaves no note of a holder', async () => {
  const held = await locks().acquire(xen01, 'someone');
  expect(readFileSync(join(run_dir, 'lock', 'xen01.holder'), 'utf8')).toMatch(/^someone, since /);
  await held.release();
  expect(() => readFileSync(join(run_dir, 'lock', 'xen01.holder'))).toThrow('ENOENT');
});
