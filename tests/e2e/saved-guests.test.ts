// A guest whose memory is saved, one that reboots itself, one whose reboot is lost: none of them is stopped.
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Site, startSite } from '../site.ts';
import { good, type Watched, watch } from './bad-calls.ts';

const run = promisify(execFile);
const vpsname = 'xen01';

const TEST_MS = 180_000;

let site: Site;
let agent: Watched;
beforeAll(async () => {
  site = await startSite();
  agent = watch(site);
  await site.modern('setupLVMDisks', good('setupLVMDisks', vpsname));
  for (let time = 0; time < 2; time += 1) {
    await site.modern('reinstallVPSos', good('reinstallVPSos', vpsname));
    expect(await site.jobEnd(vpsname)).toMatchObject({ state: 'succeeded' });
  }
});
afterAll(() => site.stop());

const xl = (...args: string[]) => run(join(site.node.bin, 'xl'), args);
const file = (name = vpsname) => join(site.node.xen_save_dir, name);
const state = async () => (await site.modern('getVPSState', { vpsname }))['state'];
const CHANGES = [
  ['fsckVPSpartition', 'cannot be checked'],
  ['reinstallVPSos', 'cannot be reinstalled'],
  ['rollbackVPSos', 'cannot be rolled back'],
  ['changeVPSrootPassword', 'cannot be given a new root password'],
  ['killVPS', 'cannot be deleted'],
] as const;
const params = (operation: string) =>
  operation === 'changeVPSrootPassword' ? { vpsname, password: 'x' } : good(operation, vpsname);

it(
  'a guest saved to disk counts as stopped: whatever changes its disk is refused; startVPS restores it; destroyVPS lets go of it',
  async () => {
    await site.modern('startVPS', { vpsname });
    await xl('save', vpsname, file());
    expect(await state()).toBe('saved');
    expect(await site.legacy('getVPSState', { vpsname })).toEqual('Not running');
    for (const [operation, cannot] of CHANGES) {
      await agent.unchanged(async () => {
        const message = await agent.refused('vps_saved', operation, params(operation));
        expect(message).toMatch(`xen01 ${cannot}: its memory is saved in ${file()}, and goes on`);
      });
    }
    expect(await agent.refused('vps_saved', 'shutdownVPS', { vpsname })).toMatch('startVPS restores it');

    expect(await site.legacy('startVPS', { vpsname })).toEqual(['OK', 'Started xen01']);
    expect(await state()).toBe('running');
    expect(existsSync(file())).toBe(false);
    expect(
      site.node
        .calls()
        .filter(([, command]) => command === 'restore')
        .at(-1),
    ).toEqual([...['xl', 'restore', '-p', file('.xen01.restoring')]]);

    await xl('save', vpsname, file());
    expect(await site.legacy('destroyVPS', { vpsname })).toEqual(['OK', 'Destroyed xen01']);
    expect(await state()).toBe('stopped');
    expect(existsSync(file())).toBe(false);
  },
  TEST_MS,
);

it(
  'a restore that fails leaves the memory where it was',
  async () => {
    await site.modern('startVPS', { vpsname });
    await xl('save', vpsname, file());
    await site.node.setFault({ match: 'xl restore', mode: 'fail', stderr: 'xc: error: no room\n', times: 2 });
    expect(await agent.refused('program_failed', 'startVPS', { vpsname })).toMatch('xl restore failed');
    expect(existsSync(file())).toBe(true);
    await site.modern('startVPS', { vpsname });
    expect(await state()).toBe('running');
    await site.modern('destroyVPS', { vpsname });
  },
  TEST_MS,
);

it(
  "a guest that reboots itself is gone from Xen's list for a while, and passes as stopped: nothing is begun in that gap",
  async () => {
    await site.node.setTiming({ reboot_gap_ms: 5_000 });
    await site.modern('startVPS', { vpsname });
    const [before] = await site.node.domains();
    for (const [operation, cannot] of [CHANGES[0], CHANGES[3]]) {
      await site.node.end(vpsname, 'reboot');
      while ((await site.node.domains()).length > 0) await sleep(20);
      await expect(site.modern(operation, params(operation))).rejects.toMatchObject({
        code: 'vps_running',
        message: expect.stringMatching(
          new RegExp(`^xen01 ${cannot}: (xl \\(process [0-9]+\\) is starting it|Xen has it as domain)`),
        ),
      });
      while ((await site.node.domains())[0]?.state !== '-b----') await sleep(50);
    }
    expect(await site.modern('getVPSJob', { vpsname })).toMatchObject({ kind: 'reinstall' });
    expect((await site.node.domains())[0]?.id).toBeGreaterThan(before?.id ?? 0);
    await site.node.setTiming({ reboot_gap_ms: 80 });
    await site.modern('destroyVPS', { vpsname });
  },
  TEST_MS,
);

it(
  'after a boot nothing of a VPS is touched before xendomains has come to it',
  async () => {
    mkdirSync(join(site.node.proc_dir, '1'), { recursive: true });
    writeFileSync(join(site.node.proc_dir, '1/comm'), 'systemd\n');
    try {
      await site.node.setXendomains({ active_state: 'activating', job: 12 });
      for (const [operation, cannot] of CHANGES) {
        await agent.unchanged(async () => {
          const message = await agent.refused('vps_busy', operation, params(operation));
          expect(message).toMatch(`xen01 ${cannot}: the node is starting or going down`);
        });
      }
      await site.node.setXendomains({ active_state: 'active', job: 0 });
      await site.modern('fsckVPSpartition', { vpsname });
      expect(await site.jobEnd(vpsname)).toMatchObject({ state: 'succeeded' });
    } finally {
      writeFileSync(join(site.node.proc_dir, '1/comm'), 'init\n');
    }
  },
  TEST_MS,
);
