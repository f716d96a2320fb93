import { execFileSync } from 'node:child_process';
import {
  existsSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { createFakeNode } from './fake-node.ts';
import { openNodeWithGuests } from './guests.ts';
import { withState } from './lib/store.mjs';
import { call } from './replay.ts';

type House = Awaited<ReturnType<typeof openNodeWithGuests>>;
let house: House;

const names = async () => (await house.node.domains()).map(({ name }) => name);
const saved = () => readdirSync(house.node.xen_save_dir).sort();
const show = async (...args: string[]) => {
  const answer = await call(house.node, ['systemctl', 'show', ...args]);
  return answer.stdout.trim().split('\n');
};
const bootId = () => readFileSync(join(house.node.proc_dir, 'sys/kernel/random/boot_id'), 'utf8');

vi.setConfig({ testTimeout: 120_000 });

beforeEach(async () => {
  house = await openNodeWithGuests({ timing: { boot_ms: 0 } });
});
afterEach(() => house.node.cleanup());

it('saves every guest at its orderly end, and restores them at its start, with those that are linked', async () => {
  const files = [];
  for (const name of ['xen01', 'xen02', 'xen03']) files.push(await house.guest(name));
  for (const file of files.slice(0, 2)) await house.xl('create', '-q', file);
  for (const name of ['xen02', 'xen03'])
    symlinkSync(join(house.xen_dir, name), join(house.xen_dir, 'auto', name));
  expect(await house.node.xendomainsStop()).toEqual({
    restored: [],
    created: [],
    saved: ['xen01', 'xen02'],
    failed: [],
  });
  expect([await names(), saved()]).toEqual([[], ['xen01', 'xen02']]);
  await house.node.boot();
  writeFileSync(join(house.node.xen_save_dir, '.xen09.restoring'), 'not looked at');
  expect(await house.node.xendomainsStart(house.xen_dir)).toEqual({
    restored: ['xen01', 'xen02'],
    created: ['xen03'],
    saved: [],
    failed: [],
  });
  expect(await names()).toEqual(['xen01', 'xen02', 'xen03']);
  expect(saved()).toEqual(['.xen09.restoring']);
  expect(await house.node.xendomainsStart(house.xen_dir)).toMatchObject({
    restored: [],
    created: [],
    failed: [],
  });
});

it('keeps memory that could not be restored, and does not start its guest from its disk', async () => {
  const file = await house.guest('xen01');
  symlinkSync(file, join(house.xen_dir, 'auto/xen01'));
  writeFileSync(join(house.node.xen_save_dir, 'xen01'), 'x'.repeat(100));
  expect(await house.node.xendomainsStart(house.xen_dir)).toMatchObject({ created: [], failed: ['xen01'] });
  expect([await names(), saved()]).toEqual([[], ['xen01']]);
});

it('loses guests and processes in a power cut, and no file', async () => {
  const file = await house.guest('xen01');
  await house.xl('create', '-q', file);
  const before = bootId();
  await house.node.powerCut();
  expect([await names(), house.processes()]).toEqual([[], []]);
  expect(existsSync(join(house.node.dev_dir, 'vg0/xen01'))).toBe(true);
  expect(house.log('xen01')).toMatch(/^Waiting for domain xen01/);
  expect(bootId()).toBe(before);
  await house.node.boot();
  expect(bootId()).not.toBe(before);
  await house.xl('create', '-q', file);
  expect(await house.domid('xen01')).toBe(1);
});

it('shows what xendomains.service is doing', async () => {
  expect(existsSync(join(house.node.proc_dir, '1/comm'))).toBe(false);
  expect(await show('--property=ActiveState,SubState', '--property=Job', 'xendomains.service')).toEqual([
    'ActiveState=active',
    'SubState=exited',
    'Job=',
  ]);
  await house.node.boot();
  expect(readFileSync(join(house.node.proc_dir, '1/comm'), 'utf8')).toBe('systemd\n');
  expect(await show('--property=Job,ActiveState', '--', 'xendomains.service')).toEqual([
    'ActiveState=inactive',
    'Job=37',
  ]);
  await house.node.setXendomains({ active_state: 'activating', job: 5 });
  expect(await show('--property=SubState,UnitFileState,LoadState,Job', 'xendomains.service')).toEqual([
    'LoadState=loaded',
    'SubState=start',
    'UnitFileState=enabled',
    'Job=5',
  ]);
  await house.node.xendomainsStart(house.xen_dir);
  expect(await show('--property=ActiveState,Job', 'xendomains.service')).toEqual([
    'ActiveState=active',
    'Job=',
  ]);
  for (const args of [
    ['show', 'xendomains.service'],
    ['show', '--property=MainPID', 'xendomains.service'],
    ['show', '--property=Job', 'other.service'],
    ['stop', 'xendomains.service'],
  ]) {
    expect(await call(house.node, ['systemctl', ...args]), args.join(' ')).toMatchObject({
      exit: 2,
      stderr: expect.stringContaining('is not part of the fake'),
    });
  }
});

it('ends the processes of its guests when it is cleaned up, its folder goes, or who made it has ended', async () => {
  const isThere = (pid: number | undefined) => existsSync(`/proc/${pid}`);
  const owner = () => join(house.node.root, 'state/owner');
  for (const end of [
    () => house.node.cleanup(),
    () => rmSync(house.node.root, { recursive: true }),
    () => execFileSync('mkfifo', [`${owner()}.new`]) && renameSync(`${owner()}.new`, owner()),
  ]) {
    house.node.cleanup();
    house = await openNodeWithGuests();
    await house.xl('create', '-q', await house.guest('xen01'));
    const [xl] = await withState(house.node.root, ({ xls }) => Object.values(xls));
    const pid = xl?.real_pid;
    expect(isThere(pid)).toBe(true);
    end();
    await expect.poll(() => isThere(pid), { timeout: 90_000 }).toBe(false);
  }
});

it('can be taken up again with its guests', async () => {
  await house.xl('create', '-q', await house.guest('xen01'));
  const again = await createFakeNode({ root: house.node.root });
  expect(await again.domains()).toMatchObject([{ name: 'xen01', id: 1 }]);
  expect(await again.xlProcess('xen01')).toBe(await house.node.xlProcess('xen01'));
});
