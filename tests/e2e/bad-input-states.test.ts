// Bad input at a bad moment: the VPS runs, is held by somebody, or is not as the caller thinks.
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { operations } from '../../src/operations/index.ts';
import { type Site, startSite } from '../site.ts';
import { DIALECTS, fieldsOf, good, type Watched, watch } from './bad-calls.ts';

const KEY = readFileSync(new URL('../core/fixtures/ssh-keys/ed25519.pub', import.meta.url), 'utf8').trim();
const changing = operations.filter(({ lock }) => lock === 'vps').map(({ name }) => name);
const whole = (operation: string, vps: string) =>
  operation === 'changeVPSsshKey' ? { vpsname: vps, keystring: KEY } : good(operation, vps);

let site: Site;
let agent: Watched;
const RUNNING = 'xen01';
const INSTALLED = 'xen02';
beforeAll(async () => {
  site = await startSite();
  agent = watch(site);
  for (const vps of [RUNNING, INSTALLED]) {
    await site.modern('setupLVMDisks', good('setupLVMDisks', vps));
    await site.modern('reinstallVPSos', good('reinstallVPSos', vps));
  }
  for (const vps of [RUNNING, INSTALLED]) {
    expect(await site.jobEnd(vps)).toMatchObject({ state: 'succeeded' });
  }
  await site.modern('startVPS', { vpsname: RUNNING });
});
afterAll(() => site.stop());

describe('a VPS that runs', () => {
  it.each([
    ['startVPS', 'cannot be started'],
    ['reinstallVPSos', 'cannot be reinstalled'],
    ['fsckVPSpartition', 'cannot be checked'],
    ['killVPS', 'cannot be deleted'],
    ['writeXenHVMconf', 'cannot be configured'],
    ['changeBSDkernel', 'cannot be configured'],
  ])('%s', async (operation, cannot) => {
    await agent.unchanged(async () => {
      const message = await agent.refused('vps_running', operation, whole(operation, RUNNING));
      expect(message).toMatch(
        new RegExp(`^xen01 ${cannot}: Xen has it as domain \\d+, state .{6}: shut it down first\\.$`),
      );
    });
  });

  it("a configuration whose name is another VPS's starts nothing, and is named", async () => {
    const file = join(site.daemon().folder.path, 'xen', INSTALLED);
    const before = readFileSync(file, 'utf8');
    for (const [name, as] of [
      ["name = 'xen09'", 'xen09'],
      ['name = "xen02"; name = "xen01"', 'xen01'],
    ] as const) {
      writeFileSync(file, before.replace(/^name .*$/m, name));
      await agent.unchanged(async () => {
        const message = await agent.refused('program_failed', 'startVPS', { vpsname: INSTALLED });
        expect(message).toBe(
          `xen02 cannot be started: its configuration ${file} is that of ${as} (name = "${as}"). Put name = "xen02" into it. Nothing was started.`,
        );
      });
    }
    writeFileSync(file, before);
  });

  it('disks of other sizes or another kind are refused, and the same ones are fine', async () => {
    for (const vps of [RUNNING, INSTALLED]) {
      await agent.unchanged(async () => {
        const disks = good('setupLVMDisks', vps);
        for (const other of [{ hddsize: 128 }, { swapsize: 32 }, { hddsize: 32, swapsize: 8 }]) {
          const message = await agent.refused('disks_exist', 'setupLVMDisks', { ...disks, ...other });
          expect(message).toBe(
            `${vps} has disks of other sizes (root 64 MB, swap 16 MB) already; nothing was touched. Remove it with killVPS first.`,
          );
        }
        const message = await agent.refused('disks_exist', 'setupLVMDisks', { ...disks, imagetype: 'vbd' });
        expect(message).toContain(`${vps} has lvm disks already; nothing was touched`);
        expect(await site.legacy('setupLVMDisks', disks)).toBe('OK');
      });
    }
  });
});

describe('a VPS that does not run, or is not there', () => {
  it.each(['shutdownVPS', 'destroyVPS', 'getCPUUsage', 'getIOUsage', 'getNetworkUsage'])(
    '%s',
    async (operation) => {
      await agent.unchanged(() => agent.refused('vps_not_running', operation, { vpsname: INSTALLED }));
    },
  );

  it.each([
    ['startVPS', 'vps_not_installed'],
    ['getVPSInstallLog', 'not_found'],
    ['reinstallVPSos', 'disks_missing'],
    ['fsckVPSpartition', 'disks_missing'],
    ['writeXenHVMconf', 'disks_missing'],
    ['changeBSDkernel', 'disks_missing'],
  ] as const)('%s of one that never was', async (operation, code) => {
    await agent.unchanged(() => agent.refused(code, operation, whole(operation, 'xen77')));
  });
});

describe('a VPS that a program run by hand holds', () => {
  it('is left alone by everything that changes it', async () => {
    const folder = join(site.folder.path, 'run/lock');
    mkdirSync(folder, { recursive: true });
    const holder = spawn('flock', ['-n', join(folder, 'xen02.lock'), 'sh', '-c', 'echo held; read line'], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    try {
      await once(holder.stdout, 'data');
      await agent.unchanged(async () => {
        for (const operation of changing) {
          const message = await agent.refused('vps_busy', operation, whole(operation, INSTALLED));
          expect(message).toBe(
            'xen02 is busy: held by a program run by hand, or one that an earlier call has left; try again when that is done.',
          );
        }
      });
    } finally {
      holder.stdin.end();
      await once(holder, 'exit');
    }
    expect(await site.legacy('changeVPSsshKey', whole('changeVPSsshKey', INSTALLED))).toBe('OK');
  });
});

describe('a VPS that is being installed', () => {
  const VPS = 'xen03';
  it('by two at once: one begins, the other is told', async () => {
    await site.modern('setupLVMDisks', good('setupLVMDisks', VPS));
    const fields = fieldsOf({ ...good('reinstallVPSos', VPS), ostype: 'slow' });
    const answers = await Promise.all(
      [...DIALECTS, ...DIALECTS].map((dialect) => agent.asks(dialect, 'reinstallVPSos', fields)),
    );
    const messages = answers.map(({ message }) => message.replace(/^NOTOK - /, ''));
    const busy = expect.stringMatching(/^xen03 is busy: /);
    // Whichever comes first begins: of a client of the WSDL, told() reads refusals alone.
    const begun = expect.stringMatching(/^(OK, started mkos\.)?$/);
    expect(messages.toSorted()).toEqual([begun, busy, busy, busy]);
    expect(
      answers.filter(({ status, message }) => status === 200 && !message.startsWith('NOTOK')),
    ).toHaveLength(1);
    const log = () => site.legacy('getVPSInstallLog', { vpsname: VPS, numlines: 1 });
    await expect.poll(log, { timeout: 90_000 }).toBe('installing slow\n');
  });

  it('is left alone by everything that changes it, and says mkos', async () => {
    const before = await site.snapshot();
    for (const operation of changing) {
      const message = await agent.refused('vps_busy', operation, whole(operation, VPS));
      expect(message).toMatch(
        /^xen03 is busy: (a reinstall runs since \S+ \(step bootstrap\); wait for its end|held by a reinstall \(job \S+\), since \S+; try again when that is done)\.$/,
      );
    }
    expect(await site.snapshot()).toEqual(before);
    expect(await site.legacy('getVPSState', { vpsname: VPS })).toBe('mkos');
    site.go();
    expect(await site.jobEnd(VPS)).toMatchObject({ state: 'succeeded' });
    await agent.healthy();
  });
});

describe('a root disk that is damaged', () => {
  it('the check says that it is none, and the VPS is as it was', async () => {
    const disk = join(site.node.dev_dir, 'vg0', INSTALLED);
    truncateSync(disk, 0);
    truncateSync(disk, 64 << 20);
    for (const dialect of DIALECTS) {
      const { message } = await agent.asks(
        dialect,
        'fsckVPSpartition',
        fieldsOf(good('fsckVPSpartition', INSTALLED)),
      );
      expect(message).not.toContain('NOTOK');
      const ended = await site.jobEnd(INSTALLED);
      expect(ended).toMatchObject({ kind: 'fsck', state: 'failed' });
      expect(ended.message).toMatch(/^The fsck of xen02 failed in step fsck: .*xen02/);
    }
    expect(await site.legacy('getVPSState', { vpsname: INSTALLED })).toBe('Not running');
    await agent.healthy();
  });

  it('damage that can be mended is mended, and told', async () => {
    const disk = join(site.node.dev_dir, 'vg0', 'xen03');
    execFileSync('debugfs', ['-w', '-R', 'set_super_value free_blocks_count 1', disk], { stdio: 'ignore' });
    expect(await site.legacy('fsckVPSpartition', { vpsname: 'xen03' })).toBe('OK');
    expect(await site.jobEnd('xen03')).toMatchObject({
      kind: 'fsck',
      state: 'succeeded',
      message: 'Errors on the root file system of xen03 were found and fixed (exit code 1).',
    });
    await agent.healthy();
  });
});
