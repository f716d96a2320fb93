import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseConfig } from '../../src/config/load.ts';
import { AgentError } from '../../src/core/errors.ts';
import type { Domain } from '../../src/core/vps.ts';
import { createDiskFiles } from '../../src/drivers/disk-files.ts';
import { createRunner } from '../../src/drivers/run.ts';
import { fsckPlan, fsckVerdict } from '../../src/jobs/fsck.ts';
import { hypervisorWith, locksIn, PROGRAM_PATH, runPlan, vpsOf } from './plan-harness.ts';

const vps = vpsOf('01');
const IDLE: Domain = { name: 'xen01', domid: 3, memory_mib: 512, vcpus: 1, state: '-b----', cpu_seconds: 1 };
let folder: string;
let image: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'fsck-'));
  image = join(folder, 'xen01.img');
  for (const [file, size] of [
    [image, 32 << 20],
    [join(folder, 'xen01.swap.img'), 1 << 20],
  ] as const) {
    writeFileSync(file, '');
    truncateSync(file, size);
  }
  execFileSync('mkfs.ext4', ['-q', '-F', image]);
});
afterEach(() => rmSync(folder, { recursive: true }));

const damage = (request: string) => execFileSync('debugfs', ['-w', '-R', request, image], { stdio: 'pipe' });
const digest = () => createHash('sha256').update(readFileSync(image)).digest('hex');

function check(domains: readonly Domain[] = [], scripts_dir?: string) {
  const vbd = createDiskFiles({
    runner: createRunner({ path: PROGRAM_PATH }),
    config: parseConfig(`provisioning_mount_point=${folder}\nstate_dir=${folder}/state`),
  });
  const plan = fsckPlan({
    hypervisor: hypervisorWith(domains),
    locks: locksIn(folder),
    disks: { vbd, lvm: vbd },
  });
  const order = {
    id: 'a',
    vps,
    request: { image_type: 'vbd' as const },
    secret: undefined,
    mount_point: join(folder, '01'),
  };
  return runPlan(plan(order), scripts_dir);
}

describe('a check of a real file system', () => {
  it('finds it clean', async () => {
    const { error, message, log } = await check();
    expect(error).toBeUndefined();
    expect(message).toBe('The root file system of xen01 is clean.');
    expect(log).toMatch(/xen01\.img: 11\/\d+ files/);
  });

  it('fixes what can be fixed, and then finds it clean', async () => {
    damage('set_super_value free_blocks_count 1');
    expect((await check()).message).toBe(
      'Errors on the root file system of xen01 were found and fixed (exit code 1).',
    );
    expect((await check()).message).toBe('The root file system of xen01 is clean.');
  });

  it('fails where a hand is needed, and says what to do', async () => {
    damage('clri <2>');
    const { error, log } = await check();
    expect(error).toMatchObject({ code: 'program_failed' });
    expect(error?.message).toBe(
      `The root file system of xen01 has errors that cannot be fixed without asking: leave it stopped, and run fsck.ext4 -f ${image} on the node (exit code 4).`,
    );
    expect(log).toContain('UNEXPECTED INCONSISTENCY');
  });

  it('fails where there is no file system, with what fsck said', async () => {
    truncateSync(image, 0);
    truncateSync(image, 32 << 20);
    const { error } = await check();
    expect(error).toMatchObject({ code: 'program_failed' });
    expect(error?.message).toMatch(/^script fsck-disk failed \(exit code 8\): .*superblock|Bad magic/);
  });
});

describe('a check that is refused', () => {
  it.each(['-b----', '--ps--', '---sc-', '------'])('Xen has a domain in state %s', async (state) => {
    damage('set_super_value free_blocks_count 1');
    const before = digest();
    const { error } = await check([{ ...IDLE, state }]);
    expect(error).toMatchObject({ code: 'vps_running' });
    expect(error?.message).toContain('xen01 cannot be checked: Xen has it as domain 3');
    expect(digest()).toBe(before);
  });

  it('something has the disk open', async () => {
    const mount_point = join(folder, 'elsewhere');
    mkdirSync(mount_point);
    execFileSync('mount', ['-o', 'loop,ro', image, mount_point]);
    try {
      expect((await check()).error).toMatchObject({ code: 'disks_in_use' });
    } finally {
      execFileSync('umount', [mount_point]);
    }
  });

  it('there are no disks', async () => {
    rmSync(image);
    expect((await check()).error).toMatchObject({ code: 'disks_missing' });
  });
});

describe('what an exit code means', () => {
  it.each([
    [0, 'is clean'],
    [1, 'were found and fixed'],
    [2, 'were found and fixed'],
    [3, 'were found and fixed'],
  ])('%i', (exit_code, said) => {
    expect(fsckVerdict('xen01', '/dev/vg0/xen01', exit_code)).toContain(said);
  });

  it.each([4, 5, 6, 7])('%i: errors are left', (exit_code) => {
    expect(() => fsckVerdict('xen01', '/dev/vg0/xen01', exit_code)).toThrow(AgentError);
  });

  it.each([8, 12, 16, 32, 64, 128])('%i: the check itself failed', async (exit_code) => {
    const script = join(folder, 'fsck-disk');
    writeFileSync(script, `#!/bin/sh\necho 'it went wrong' >&2\nexit ${exit_code}\n`);
    chmodSync(script, 0o755);
    const { error } = await check([], folder);
    expect(error?.message).toBe(`script fsck-disk failed (exit code ${exit_code}): it went wrong`);
  });
});
