import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { parseVpsId, type VpsId } from '../../src/core/vps.ts';
import { createFileLocks, createVpsLocks } from '../../src/drivers/flock.ts';
import { createRunner } from '../../src/drivers/run.ts';

const xen01 = parseVpsId('xen01') as VpsId;
const xen02 = parseVpsId('02') as VpsId;
const runner = createRunner({ path: process.env['PATH'] ?? '' });
const files = createFileLocks(runner);
let run_dir: string;
beforeEach(() => {
  run_dir = mkdtempSync(join(tmpdir(), 'dtc-xen-claim-'));
});
afterEach(() => rmSync(run_dir, { recursive: true }));

const locks = () => createVpsLocks({ run_dir, locks: files });

describe("the claim on a VPS's disks", () => {
  const cannot = 'cannot be checked';
  const disks_path = () => join(run_dir, 'lock', 'xen01.disks');
  const asXensScript = () =>
    runner.run({
      label: 'the script',
      program: 'flock',
      args: ['--shared', '--nonblock', disks_path(), 'true'],
      timeout_ms: 10_000,
    });

  test('keeps out whoever would start the guest, and others that work on them, but not the lock', async () => {
    const lock = await locks().acquire(xen01, 'fsckVPSpartition');
    const claim = await locks().claimDisks(xen01, cannot);
    expect(statSync(disks_path()).mode & 0o777).toBe(0o600);
    expect((await asXensScript()).exit_code).toBe(1);
    await expect(locks().claimDisks(xen01, cannot)).rejects.toMatchObject({
      code: 'vps_busy',
      message: 'xen01 cannot be checked: something works on its disks; try again when that is done.',
    });
    await (await locks().claimDisks(xen02, cannot)).release();
    await claim.release();
    expect((await asXensScript()).exit_code).toBe(0);
    await (await locks().claimDisks(xen01, cannot)).release();
    await lock.release();
  });

  test('is refused while the guest is being started', async () => {
    await (await locks().claimDisks(xen01, cannot)).release();
    const start = await files.tryLock(disks_path(), 0, 'shared');
    await expect(locks().claimDisks(xen01, cannot)).rejects.toMatchObject({
      code: 'vps_running',
      message: 'xen01 cannot be checked: its guest is being started.',
    });
    await start?.release();
    await (await locks().claimDisks(xen01, cannot)).release();
  });
});
