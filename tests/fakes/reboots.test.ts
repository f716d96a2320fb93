import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { openNodeWithGuests } from './guests.ts';
import { call, system } from './replay.ts';

type House = Awaited<ReturnType<typeof openNodeWithGuests>>;
let house: House;
let config: string;

const soon = { timeout: 90_000, interval: 10 };
const isRunning = (name: string) => expect.poll(() => house.state(name), soon).toMatch(/^[r-][b-]----$/);

vi.setConfig({ testTimeout: 120_000 });

beforeEach(async () => {
  house = await openNodeWithGuests({ timing: { boot_ms: 0, shutdown_ms: 20, teardown_ms: 60 } });
  config = await house.guest('xen01');
});
afterEach(() => house.node.cleanup());

it('leaves a process of xl for a guest, until its end', async () => {
  expect(house.processes()).toEqual([]);
  expect(await house.xl('create', '-q', config)).toMatchObject({ exit: 0 });
  const [process, ...others] = house.processes();
  expect(others).toEqual([]);
  expect(process).toMatchObject({
    comm: 'xl\n',
    args: ['/usr/lib/xen-4.20/bin/xl', 'create', '-q', config],
    log: join(house.node.xen_log_dir, 'xl-xen01.log'),
  });
  expect(await house.node.xlProcess('xen01')).toBe(process?.pid);
  expect(house.log('xen01')).toBe(`Waiting for domain xen01 (domid 1) to die [pid ${process?.pid}]\n`);
  await house.xl('shutdown', 'xen01');
  await expect.poll(() => house.domid('xen01'), soon).toBeUndefined();
  await expect.poll(house.processes, soon).toEqual([]);
  expect(house.log('xen01').split('\n').slice(1)).toEqual([
    'Domain 1 has shut down, reason code 0 0x0',
    'Action for shutdown reason code 0 is destroy',
    'Domain 1 needs to be cleaned up: destroying the domain',
    'Done. Exiting now',
    '',
  ]);
});

it('shows xl create itself while it makes a domain, and forgets one that was killed', async () => {
  await house.node.setTiming({ name_ms: 60_000 });
  const child = spawn(join(house.node.bin, 'xl'), ['create', config], { stdio: 'ignore' });
  await expect.poll(house.processes, soon).toMatchObject([{ args: [expect.anything(), 'create', config] }]);
  expect(await house.node.domains()).toEqual([]);
  child.kill('SIGKILL');
  await expect.poll(async () => [await house.node.domains(), house.processes()], soon).toEqual([[], []]);
});

it('has no domain of a guest between the two that its reboot takes, and a process all the while', async () => {
  await house.node.setTiming({ reboot_gap_ms: 600_000 });
  await house.xl('create', config);
  const pid = await house.node.xlProcess('xen01');
  await house.node.end('xen01', 'reboot');
  await expect.poll(() => house.domid('xen01'), soon).toBeUndefined();
  expect(await house.xl('domid', 'xen01')).toMatchObject({ exit: 1 });
  expect((await house.xl('list')).stdout).not.toContain('xen01');
  expect(house.processes()).toMatchObject([{ pid, args: [expect.anything(), 'create', config] }]);
  expect(house.log('xen01')).toMatch(
    /Domain 1 needs to be cleaned up: destroying the domain\nDone\. Rebooting now\n$/,
  );
  await house.node.setTiming({ reboot_gap_ms: 2000 });
  await isRunning('xen01');
  expect(await house.domid('xen01')).toBe(2);
  expect(await house.node.xlProcess('xen01')).toBe(pid);
  expect(house.log('xen01')).toMatch(
    new RegExp(`\\nDone. Rebooting now\\nWaiting for domain xen01 \\(domid 2\\) to die \\[pid ${pid}\\]\\n$`),
  );
});

it('reboots a guest that nobody looks at, again and again', async () => {
  await house.xl('create', config);
  for (const id of [2, 3, 4]) {
    await house.xl('reboot', 'xen01');
    await new Promise((done) => setTimeout(done, 1500));
    await expect.poll(() => house.domid('xen01'), soon).toBe(id);
    await isRunning('xen01');
  }
});

it('loses a guest in its reboot, and says so in the log alone', async () => {
  await house.xl('create', config);
  await house.node.loseNextReboot('xen01');
  await house.node.end('xen01', 'reboot');
  await expect.poll(house.processes, soon).toEqual([]);
  expect(await house.node.domains()).toEqual([]);
  const lines = house.log('xen01').split('\n');
  expect(lines.slice(lines.indexOf('Done. Rebooting now') + 1)).toEqual([
    'libxl: error: libxl_aoutils.c:539:async_exec_timeout: killing execution of /etc/xen/scripts/block add because of timeout',
    'libxl: error: libxl_create.c:1727:domcreate_launch_dm: Domain 2:unable to add disk devices',
    'libxl: error: libxl_domain.c:354:libxl_domain_info: Domain 2:Getting domain info: No such process',
    'libxl: error: libxl_domain.c:1179:libxl__destroy_domid: Domain 2:Non-existant domain',
    'libxl: error: libxl_domain.c:1133:domain_destroy_callback: Domain 2:Unable to destroy guest',
    'libxl: error: libxl_domain.c:1060:domain_destroy_cb: Domain 2:Destruction of domain failed',
    '',
  ]);
  expect(await house.xl('create', config)).toMatchObject({ exit: 0 });
  await house.node.end('xen01', 'reboot');
  await expect.poll(() => house.domid('xen01'), soon).toBe(4);
});

it('keeps the logs of earlier starts, and the open one under its new name', async () => {
  await house.node.setTiming({ reboot_gap_ms: 600_000 });
  await house.xl('create', config);
  const first = await house.node.xlProcess('xen01');
  await house.node.end('xen01', 'reboot');
  await expect.poll(() => house.domid('xen01'), soon).toBeUndefined();
  expect(await house.xl('create', config)).toMatchObject({ exit: 0 });
  const old = house.processes().find(({ pid }) => pid === first);
  expect(old?.log).toBe(join(house.node.xen_log_dir, 'xl-xen01.log.1'));
  expect(house.log('xen01')).toMatch(/^Waiting for domain xen01 \(domid 2\)/);
  // The reboot comes too late: the name is taken.
  await house.node.setTiming({ reboot_gap_ms: 0 });
  await expect.poll(() => house.processes().length, soon).toBe(1);
  expect(house.log('xen01', '.1')).toMatch(/Domain with name "xen01" already exists/);
  expect(await house.domid('xen01')).toBe(2);
});

it('leaves a guest down that reboots when its process of xl has been killed', async () => {
  await house.xl('create', config);
  await house.node.killXl('xen01');
  expect(house.processes()).toEqual([]);
  await house.node.end('xen01', 'reboot');
  await new Promise((done) => setTimeout(done, 500));
  expect(await house.node.domains()).toMatchObject([{ id: 1, state: '---sr-' }]);
  expect(await house.xl('destroy', 'xen01')).toMatchObject({ exit: 0 });
  expect(await house.node.domains()).toEqual([]);
});

it('says of a destroyed guest that it was, and of a preserved one that it waits no more', async () => {
  await house.xl('create', config);
  await house.xl('destroy', 'xen01');
  await expect.poll(house.processes, soon).toEqual([]);
  expect(house.log('xen01')).toMatch(/\nDomain 1 has been destroyed\.\n$/);
  await house.xl('create', config, 'on_crash="preserve"');
  await house.node.end('xen01', 'crash');
  await expect.poll(house.processes, soon).toEqual([]);
  expect(house.log('xen01')).toMatch(
    /\nAction for shutdown reason code 3 is preserve\nDone\. Exiting now\n$/,
  );
  expect(await house.state('xen01')).toBe('---sc-');
});

it('leaves a process that has what xl was called with: an inherited lock is held for as long as the guest lives', async () => {
  const lock = join(house.node.root, 'lock');
  await system('flock', '-n', lock, join(house.node.bin, 'xl'), 'create', '-q', config);
  const tryLock = () =>
    system('flock', '-n', lock, 'true').then(
      () => 'free',
      () => 'held',
    );
  expect(await tryLock()).toBe('held');
  await house.xl('destroy', 'xen01');
  await expect.poll(tryLock, soon).toBe('free');
});

it('knows its processes from within a PID namespace, too', async () => {
  await house.xl('create', config);
  const before = house.processes();
  expect(before).toMatchObject([{ pid: expect.any(Number) }]);
  await system('unshare', '--pid', '--fork', '--mount-proc', join(house.node.bin, 'xl'), 'list');
  expect(house.processes()).toEqual(before);
  expect(before[0]?.pid).toBeGreaterThan(4_200_000);
});

it('saves a guest and goes on with it: not listed meanwhile, another id, no boot', async () => {
  const file = join(house.node.root, 'xen01.save');
  await house.xl('create', config);
  expect(await house.xl('save', 'xen01', file)).toMatchObject({ exit: 0 });
  expect(await house.node.domains()).toEqual([]);
  await expect.poll(house.processes, soon).toEqual([]);
  expect(house.log('xen01')).toMatch(
    /\nDomain 1 has shut down, reason code 2 0x2\nDomain has suspended\.\nContinue waiting for domain 1\nDomain 1 has been destroyed\.\n$/,
  );
  await house.node.setTiming({ boot_ms: 600_000 });
  expect(await house.xl('restore', '-p', file)).toMatchObject({ exit: 0 });
  expect(await house.node.domains()).toMatchObject([{ name: 'xen01', id: 2, state: '--p---' }]);
  expect(house.processes()).toMatchObject([{ args: [expect.anything(), 'restore', '-p', file] }]);
  expect(await house.xl('unpause', 'xen01')).toMatchObject({ exit: 0 });
  expect(await house.state('xen01')).toBe('-b----');
  expect(existsSync(file)).toBe(true);
  // A reboot of a restored guest is a start from its disks.
  await house.node.end('xen01', 'reboot');
  await expect.poll(() => house.state('xen01'), soon).toBe('r-----');
});

it('lists a guest that is being saved as suspended; a save that was killed cannot be restored', async () => {
  const file = join(house.node.root, 'xen01.save');
  await house.xl('create', config);
  await house.node.setTiming({ save_ms: 60_000 });
  const child = spawn(join(house.node.bin, 'xl'), ['save', 'xen01', file], { stdio: 'ignore' });
  await expect.poll(() => house.state('xen01'), soon).toBe('---ss-');
  child.kill('SIGKILL');
  expect(await house.xl('destroy', 'xen01')).toMatchObject({ exit: 0 });
  expect(await house.xl('restore', file)).toMatchObject({
    exit: 2,
    stderr: expect.stringContaining('to its end'),
  });
  expect(await call(house.node, ['xl', 'save', 'xen01', '/nosuch/file'])).toMatchObject({ exit: 1 });
});
