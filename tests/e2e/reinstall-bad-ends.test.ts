// Reinstalls that do not come to their end: the old system is untouched, and the caller is told why; and the way back.
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ImageType } from '../../src/core/ports.ts';
import { type Site, startSite } from '../site.ts';
import { configured, installMarked, leftOver, order, systemOn } from './marked-systems.ts';

let site: Site;
beforeAll(async () => {
  site = await startSite({ node: { size_mib: 160 } });
  installMarked(site);
  const folder = join(site.folder.path, 'os/broken');
  mkdirSync(folder);
  writeFileSync(join(folder, 'install_os'), '#!/bin/sh\necho "E: the mirror is on fire" >&2\nexit 1\n');
  chmodSync(join(folder, 'install_os'), 0o755);
});
afterAll(() => site.stop());

const setup = (vpsname: string, hddsize: number, imagetype: ImageType) =>
  site.modern('setupLVMDisks', { vpsname, hddsize, swapsize: 8, imagetype });
/** Starts a reinstall, and waits for its end. */
async function reinstall(vpsname: string, marker: number) {
  const { result } = await site.modern('reinstallVPSos', order(site, vpsname, marker));
  return { result, ...(await site.jobEnd(vpsname)) };
}
const job = (vpsname: string) => site.modern('getVPSJob', { vpsname });

/** The VPS has this system, whole, with its own configuration, and nothing else is left. */
function has(vpsname: string, type: ImageType, marker: number): void {
  expect(leftOver(site, vpsname)).toEqual([]);
  expect(systemOn(site, vpsname, type)).toEqual({ marker, complete: true });
  expect(configured(site, vpsname)).toBe(marker);
}

describe.each([
  ['lvm', 'xen01'],
  ['vbd', 'xen02'],
] as const)('on %s', (type, vpsname) => {
  beforeAll(async () => {
    await setup(vpsname, 48, type);
    expect(await reinstall(vpsname, 101)).toMatchObject({ result: 'OK, started mkos.', state: 'succeeded' });
    expect(systemOn(site, vpsname, type, '.old')).toBeUndefined();
  });

  it('a template that exits with 1 leaves the old system, and is told with its last words', async () => {
    const { result } = await site.modern('reinstallVPSos', {
      ...order(site, vpsname, 109),
      ostype: 'broken',
    });
    expect(result).toBe('OK, started mkos. The old system stays for 24 h: rollbackVPSos brings it back.');
    const { state, message } = await site.jobEnd(vpsname);
    expect(state).toBe('failed');
    expect(message).toMatch(
      /failed in step bootstrap: .*E: the mirror is on fire\. The system that was there is as it was\.$/,
    );
    has(vpsname, type, 101);
  });

  it('a template that hangs is cancelled: nothing of it is left, and the old system starts', async () => {
    await site.modern('reinstallVPSos', { ...order(site, vpsname, 109), ostype: 'slow' });
    await site.jobStep(vpsname, 'bootstrap');
    expect(await site.legacy('getVPSState', { vpsname })).toBe('mkos');
    expect(await job(vpsname)).toMatchObject({ state: 'running', step: 'bootstrap', percent: 5, ended: '' });
    expect(await site.modern('cancelVPSJob', { vpsname })).toEqual({
      result: `The reinstall of ${vpsname} was cancelled in step bootstrap. The system that was there is as it was.`,
    });
    expect(await job(vpsname)).toMatchObject({ state: 'failed', step: 'bootstrap', percent: 5 });
    has(vpsname, type, 101);
    await site.modern('startVPS', { vpsname });
    await site.modern('destroyVPS', { vpsname });
    await expect(site.modern('cancelVPSJob', { vpsname })).rejects.toThrow(/has no job that runs/);
  });

  it('a reinstall is rolled back, and that is, too', async () => {
    expect(await reinstall(vpsname, 102)).toMatchObject({ state: 'succeeded' });
    has(vpsname, type, 102);
    expect(await site.legacy('rollbackVPSos', { vpsname })).toBe('OK');
    has(vpsname, type, 101);
    expect(systemOn(site, vpsname, type, '.old')).toEqual({ marker: 102, complete: true });
    await site.modern('startVPS', { vpsname });
    await expect(site.modern('rollbackVPSos', { vpsname })).rejects.toThrow(
      /cannot be rolled back: Xen has it/,
    );
    await site.modern('destroyVPS', { vpsname });
    await site.modern('rollbackVPSos', { vpsname });
    has(vpsname, type, 102);
  });
});

describe('a volume group without much room', () => {
  it('gives that of an earlier old system to the next reinstall', async () => {
    // 156 MiB: 48 of the root, 48 of the old one, 8 of swap; 52 are free.
    await setup('xen03', 40, 'lvm');
    const { state, message } = await reinstall('xen01', 103);
    expect([state, message]).toEqual(['succeeded', expect.stringContaining('The old system stays for 24 h')]);
    has('xen01', 'lvm', 103);
    expect(systemOn(site, 'xen01', 'lvm', '.old')).toEqual({ marker: 102, complete: true });
  });

  it('gives that of old systems to the disks of others', async () => {
    await setup('xen04', 12, 'lvm');
    expect(systemOn(site, 'xen01', 'lvm', '.old')).toBeUndefined();
    await expect(site.modern('rollbackVPSos', { vpsname: 'xen01' })).rejects.toThrow(
      /it has no old system; the last one was deleted on .*: the disks of xen04 needed its room\./,
    );
    has('xen01', 'lvm', 103);
  });

  it('has no room for a second system: it is built in place, and answer and message say what that means', async () => {
    const told = /A second root disk of 48 MB has no room: \d+ MB are free; .* this cannot be undone\.$/;
    const { result, state, message } = await reinstall('xen01', 104);
    expect(result).toMatch(told);
    expect([state, message]).toEqual(['succeeded', expect.stringMatching(told)]);
    has('xen01', 'lvm', 104);
    expect(systemOn(site, 'xen01', 'lvm', '.old')).toBeUndefined();
  });
});

it('killVPS takes the old system along', async () => {
  expect(systemOn(site, 'xen02', 'vbd', '.old')).toBeDefined();
  await site.modern('killVPS', { vpsname: 'xen02', imagetype: 'vbd' });
  expect(systemOn(site, 'xen02', 'vbd')).toBeUndefined();
  expect(systemOn(site, 'xen02', 'vbd', '.old')).toBeUndefined();
});
