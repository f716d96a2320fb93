// Bad input from the node's disks: a file system that is full, a volume group that is not there or not the only one.
import { execFileSync } from 'node:child_process';
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type Site, startSite } from '../site.ts';
import { good, type Watched, watch } from './bad-calls.ts';

const KEY = readFileSync(new URL('../core/fixtures/ssh-keys/ed25519.pub', import.meta.url), 'utf8').trim();
const FULL =
  /^A file of the agent could not be written: a file system of the node is full; make room \(df shows where\), and try again\.$/;

describe('a file system that is full', () => {
  let site: Site;
  let agent: Watched;
  const mounted: string[] = [];
  beforeAll(async () => {
    site = await startSite();
    agent = watch(site);
    await site.modern('setupLVMDisks', good('setupLVMDisks', 'xen01'));
    await site.modern('changeVPSsshKey', { vpsname: 'xen01', keystring: KEY });
  });
  afterEach(() => {
    for (const path of mounted.splice(0)) execFileSync('umount', [path]);
  });
  afterAll(() => site.stop());

  /** Puts a small file system with the same content in a folder's place, and fills it. */
  function fill(name: string): void {
    const path = join(site.folder.path, name);
    const content = mkdtempSync(join(tmpdir(), 'content-'));
    cpSync(path, content, { recursive: true, preserveTimestamps: true });
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m,mode=755', 'full', path]);
    mounted.push(path);
    execFileSync('cp', ['-a', `${content}/.`, path]);
    rmSync(content, { recursive: true });
    execFileSync('sh', ['-c', 'cat /dev/zero > "$0/filler" || exit 0', path], { stdio: 'ignore' });
  }
  const intact = async (work: () => Promise<unknown>) => {
    const before = await site.snapshot();
    await work();
    expect(await site.snapshot()).toEqual(before);
  };

  it('state_dir: no job begins, no half of one stays, and no key is lost', async () => {
    fill('state');
    await intact(async () => {
      for (const operation of ['reinstallVPSos', 'fsckVPSpartition']) {
        expect(await agent.refused('no_space', operation, good(operation))).toMatch(FULL);
      }
      const key = { vpsname: 'xen01', keystring: `${KEY} again` };
      expect(await agent.refused('no_space', 'changeVPSsshKey', key)).toMatch(FULL);
    });
  });

  it('etc_dir: the users stay as they are', async () => {
    fill('etc');
    await intact(async () => {
      const params = good('changeVPSsoapPassword');
      expect(await agent.refused('no_space', 'changeVPSsoapPassword', params)).toMatch(FULL);
    });
  });

  it('xen_dir: no configuration is half written', async () => {
    fill('xen');
    await intact(async () => {
      for (const operation of ['writeXenHVMconf', 'changeBSDkernel']) {
        expect(await agent.refused('no_space', operation, good(operation))).toMatch(FULL);
      }
    });
  });

  it('run_dir: a VPS that cannot be locked is not touched', async () => {
    fill('run');
    await intact(async () => {
      for (const operation of ['killVPS', 'changeVPSxmPassword']) {
        const told = await agent.asks(
          'modern',
          operation,
          Object.entries(good(operation)) as [string, string][],
        );
        expect(told).toMatchObject({ status: 500, code: 'no_space' });
      }
    });
  });

  it('provisioning_mount_point: no image is made', async () => {
    fill('mnt');
    await intact(async () => {
      const params = { ...good('setupLVMDisks', 'xen02'), imagetype: 'vbd' };
      const message = await agent.refused('no_space', 'setupLVMDisks', params);
      expect(message).toMatch(/^xen02: its disks need 80 MB, and \S+ has 0 MB free\.$/);
    });
  });

  it("the VPS's own disk: the installation fails, leaves nothing mounted, and the VPS cannot be started", async () => {
    const folder = join(site.folder.path, 'os/greedy');
    mkdirSync(folder);
    const lines = [
      '#!/bin/sh',
      'while [ "$1" != -path ]; do shift; done',
      'exec dd if=/dev/zero of="$2/all" bs=1M',
    ];
    writeFileSync(join(folder, 'install_os'), `${lines.join('\n')}\n`);
    chmodSync(join(folder, 'install_os'), 0o755);
    await site.modern('reinstallVPSos', { ...good('reinstallVPSos'), ostype: 'greedy' });
    const { state, message } = await site.jobEnd('xen01');
    expect(state).toBe('failed');
    expect(message).toMatch(
      /^The reinstall of xen01 failed in step bootstrap: .*hold an unfinished system: mend the cause, and reinstall it\.$/,
    );
    expect(await site.legacy('getVPSInstallLog', { vpsname: 'xen01', numlines: 0 })).toContain(
      'No space left on device',
    );
    await agent.refused('vps_not_installed', 'startVPS', { vpsname: 'xen01' });
    await agent.healthy();
  });

  it('the agent is as well as before', () => agent.healthy());
});

describe.each([
  ['that does not exist', 'nosuch', /There is no volume group nosuch; see provisioning_volgroup/],
  ['whose name is none', '../vg0', /There is no volume group \.\.\/vg0; see provisioning_volgroup/],
  [
    'that is one of several, and none is named',
    '',
    /The node has several volume groups \(vg0, vg1\); name one/,
  ],
])('a volume group %s', (_what, provisioning_volgroup, sentence) => {
  let site: Site;
  let agent: Watched;
  beforeAll(async () => {
    site = await startSite({ config: { provisioning_volgroup } });
    agent = watch(site);
    const world = join(site.node.root, 'state/world.json');
    const state = JSON.parse(readFileSync(world, 'utf8'));
    state.vgs.vg1 = { ...state.vgs.vg0, uuid: 'aaaaaa-bbbb-cccc-dddd-eeee-ffff-gggggg', lvs: [] };
    writeFileSync(world, JSON.stringify(state));
  });
  afterAll(() => site.stop());

  it('is told by everything that needs it', async () => {
    await agent.unchanged(async () => {
      for (const operation of ['setupLVMDisks', 'killVPS', 'getFreeSpace']) {
        expect(await agent.refused('no_volume_group', operation, good(operation))).toMatch(sentence);
      }
      for (const operation of ['reinstallVPSos', 'fsckVPSpartition', 'writeXenHVMconf', 'changeBSDkernel']) {
        const message = await agent.refused('disks_missing', operation, good(operation));
        expect(message).toMatch(
          /^xen01 has no disks; make them with setupLVMDisks first\. Volumes were not looked for: /,
        );
        expect(message).toMatch(sentence);
      }
    });
  });
});
