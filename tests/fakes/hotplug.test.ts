import { spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { openNodeWithGuests } from './guests.ts';
import { call, masked, transcripts, withoutRoot } from './replay.ts';

type House = Awaited<ReturnType<typeof openNodeWithGuests>>;
let house: House;
let script: string;

const soon = { timeout: 90_000, interval: 10 };
const line = (path: string) =>
  `format=raw,vdev=xvda,access=w,backendtype=phy,script=${script},target=${path}`;
const notes = () => {
  const file = join(house.node.root, 'notes');
  return existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n') : [];
};
const writeScript = (...lines: string[]) => {
  writeFileSync(script, `#!/bin/sh\n${lines.join('\n')}\n`);
  chmodSync(script, 0o755);
};
const note = (text: string) => `echo "${text}" >>${join(house.node.root, 'notes')}`;
const asXen = () => `exec ${join(house.node.xen_scripts_dir, 'block')} "$1"`;

vi.setConfig({ testTimeout: 120_000 });

beforeEach(async () => {
  house = await openNodeWithGuests({ timing: { boot_ms: 0, shutdown_ms: 20, teardown_ms: 60 } });
  script = join(house.node.root, 'block-own');
});
afterEach(() => house.node.cleanup());

it('runs the script of a disk at each start and end, reboots too, while the guest is there and does not run', async () => {
  const config = await house.guest('xen01', line);
  writeScript(
    note(
      '$1 $XENBUS_TYPE $XENBUS_PATH $XENBUS_BASE_PATH $(printenv vifname || echo unset) $(xenstore-read $XENBUS_PATH/params)',
    ),
    `[ "$1" = add ] && ${note('$(xl list xen01 | tail -1)')}`,
    asXen(),
  );
  expect(await house.xl('create', '-q', config)).toEqual({ exit: 0, stdout: '', stderr: '' });
  const called = (action: string, id: number) =>
    `${action} vbd backend/vbd/${id}/51712 backend unset ${join(house.node.dev_dir, 'vg0/xen01')}`;
  expect(notes()).toEqual([called('add', 1), expect.stringMatching(/^xen01 +1 +256 +1 +--p--- /)]);
  const open = await call(house.node, ['lvs', '--noheadings', '-o', 'lv_device_open', 'vg0/xen01']);
  expect(open.stdout.trim()).toBe('open');
  expect(
    readFileSync(join(house.node.sys_dir, 'bus/xen-backend/devices/vbd-1-51712/physical_device'), 'utf8'),
  ).toBe('fd:0\n');
  await house.node.end('xen01', 'reboot');
  await expect.poll(() => house.state('xen01'), soon).toBe('-b----');
  await expect.poll(() => house.domid('xen01'), soon).toBe(2);
  expect(notes().filter((each) => !each.startsWith('xen01'))).toEqual([
    called('add', 1),
    called('remove', 1),
    called('add', 2),
  ]);
  await house.xl('destroy', 'xen01');
  expect(notes().at(-1)).toBe(called('remove', 2));
  await house.xl('create', '-q', config);
  await house.xl('shutdown', 'xen01');
  await expect.poll(() => house.domid('xen01'), soon).toBeUndefined();
  expect(notes().at(-1)).toBe(called('remove', 3));
});

it('fails as libxl does where a script refuses, and lets go of the domain', async () => {
  const config = await house.guest('xen01', line);
  writeScript(
    `[ "$1" = remove ] && { ${note('remove')}; exit 0; }`,
    'xenstore-write "$XENBUS_PATH/hotplug-error" "something works on it" "$XENBUS_PATH/hotplug-status" error',
    'exit 1',
  );
  const refused = await house.xl('create', '-q', config);
  expect({ ...refused, stderr: refused.stderr.replace(/\[\d+\]/, '[PID]') }).toEqual({
    exit: 3,
    stdout: '',
    stderr: `libxl: error: libxl_exec.c:117:libxl_report_child_exitstatus: ${script} add [PID] exited with error status 1
libxl: error: libxl_device.c:1351:device_hotplug_child_death_cb: script: something works on it
libxl: error: libxl_create.c:1727:domcreate_launch_dm: Domain 1:unable to add disk devices
libxl: error: libxl_domain.c:354:libxl_domain_info: Domain 1:Getting domain info: No such process
libxl: error: libxl_domain.c:1179:libxl__destroy_domid: Domain 1:Non-existant domain
libxl: error: libxl_domain.c:1133:domain_destroy_callback: Domain 1:Unable to destroy guest
libxl: error: libxl_domain.c:1060:domain_destroy_cb: Domain 1:Destruction of domain failed
`,
  });
  expect(notes()).toEqual(['remove']);
  expect(await house.node.domains()).toEqual([]);
  expect(house.processes()).toEqual([]);
});

it.each([
  [
    '300',
    ['[ "$1" = remove ] && exit 0', 'xenstore-write "$XENBUS_PATH/hotplug-error" "SENTENCE"', 'exit 1'],
  ],
  ['303', undefined],
  ['304', ['exit 1']],
])('has the words of real Xen where the scripts of two disks fail (record %s)', async (number, lines) => {
  const record = transcripts.get(number);
  const sentence = /script: (xen01 is not started.*)/.exec(record?.stderr ?? '')?.[1] ?? '';
  await house.guest('xen01', line);
  await house.guest('xen01swap');
  const lv = (name: string) => join(house.node.dev_dir, 'vg0', name);
  script = join(house.node.root, 'etc/xen/scripts/block-dtc-xen');
  mkdirSync(join(script, '..'), { recursive: true });
  const config = join(house.node.root, 'etc/xen/xen01');
  const disks = [line(lv('xen01')), line(lv('xen01swap')).replace('xvda', 'xvdb')];
  const quoted = disks.map((each) => `"${each}"`).join(', ');
  writeFileSync(
    config,
    `name = "xen01"\nkernel = "${house.node.kernel}"\nmemory = 256\ndisk = [ ${quoted} ]\n`,
  );
  if (lines) writeScript(...lines.map((each) => each.replace('SENTENCE', sentence)));
  const same = (text: string) => masked(text).replaceAll(/Domain \d+/g, 'Domain N');
  const answer = withoutRoot(house.node, await house.xl('create', config));
  expect({ ...answer, stderr: same(answer.stderr) }).toEqual({
    exit: record?.exit,
    stdout: record?.stdout,
    stderr: same(record?.stderr ?? ''),
  });
});

it('loses a guest whose script refuses its reboot, with the reason in the log', async () => {
  const config = await house.guest('xen01', line);
  writeScript(asXen());
  await house.xl('create', '-q', config);
  writeScript('[ "$1" = remove ] && exit 0', 'xenstore-write "$XENBUS_PATH/hotplug-error" busy; exit 1');
  await house.node.end('xen01', 'reboot');
  await expect.poll(house.processes, soon).toEqual([]);
  expect(await house.node.domains()).toEqual([]);
  expect(house.log('xen01')).toMatch(/script: busy\n.*Domain 2:unable to add disk devices\n/);
});

it('kills a script that takes too long, and does not make the guest', async () => {
  const config = await house.guest('xen01', line);
  await house.node.setTiming({ script_ms: 300 });
  writeScript('[ "$1" = remove ] || exec sleep 60');
  const late = await house.xl('create', config);
  expect(late).toMatchObject({ exit: 3 });
  expect(late.stderr).toContain(
    `libxl: error: libxl_aoutils.c:539:async_exec_timeout: killing execution of ${script} add because of timeout\nlibxl: error: libxl_create.c:1727:domcreate_launch_dm: Domain 1:unable to add disk devices\n`,
  );
});

it('looks for a target by its script alone, and for the script itself', async () => {
  const config = await house.guest('xen01', line);
  writeScript(asXen());
  rmSync(join(house.node.dev_dir, 'vg0/xen01'));
  const missing = await house.xl('create', '-q', config);
  expect(missing).toMatchObject({ exit: 3 });
  expect(missing.stderr).toMatch(
    /block-own add \[\d+\] exited with error status 1\nlibxl: error: libxl_create/,
  );
  rmSync(script);
  const none = await house.xl('create', '-q', config);
  expect(none).toMatchObject({ exit: 3 });
  expect(none.stderr).toContain(`libxl: cannot execute ${script}: No such file or directory\n`);
});

it('knows who has a disk: a second guest is refused by the block script', async () => {
  writeScript(asXen());
  const first = await house.guest('xen01', line);
  const second = join(house.xen_dir, 'xen02');
  writeFileSync(second, readFileSync(first, 'utf8').replace('"xen01"', '"xen02"'));
  expect(await house.xl('create', '-q', first)).toMatchObject({ exit: 0 });
  const refused = await house.xl('create', '-q', second);
  expect(refused).toMatchObject({ exit: 3 });
  expect(refused.stderr).toContain('is mounted in a guest domain,\nand so cannot be mounted now.\n');
});

it('shows a half made guest where xl was killed in its script, which goes on', async () => {
  const config = await house.guest('xen01', line);
  writeScript('[ "$1" = remove ] && exit 0', note('begun'), 'sleep 1', note('done'), asXen());
  const child = spawn(join(house.node.bin, 'xl'), ['create', '-q', config], { stdio: 'ignore' });
  await expect.poll(notes, soon).toEqual(['begun']);
  child.kill('SIGKILL');
  await expect.poll(notes, soon).toEqual(['begun', 'done']);
  expect(await house.state('xen01')).toBe('--p---');
  expect(await house.xl('destroy', 'xen01')).toMatchObject({ exit: 0 });
});

it('restores through the script, and runs it at a save', async () => {
  const config = await house.guest('xen01', line);
  writeScript(note('$1'), asXen());
  const file = join(house.node.root, 'xen01.save');
  await house.xl('create', '-q', config);
  expect(await house.xl('save', 'xen01', file)).toMatchObject({ exit: 0 });
  expect(await house.xl('restore', file)).toMatchObject({ exit: 0 });
  expect(notes()).toEqual(['add', 'remove', 'add']);
  await house.xl('destroy', 'xen01');
  writeScript('exit 1');
  expect(await house.xl('restore', file)).toMatchObject({
    exit: 1,
    stderr: expect.stringContaining('unable to add disk devices'),
  });
});

it('refuses what it does not know of xenstore, of scripts and of disk lines', async () => {
  const config = await house.guest('xen01', line);
  writeScript('exit 0');
  expect(await house.xl('create', '-q', config)).toMatchObject({
    exit: 2,
    stderr: expect.stringContaining('has written no physical-device'),
  });
  expect(await house.node.domains()).toEqual([]);
  const read = (path: string) => call(house.node, ['xenstore-read', path]);
  expect(await read('/local/domain/0/nosuch')).toMatchObject({ exit: 2 });
  expect(await read('backend/vbd/9/51712/params')).toEqual({
    exit: 1,
    stdout: '',
    stderr: "xenstore-read: couldn't read path backend/vbd/9/51712/params\n",
  });
  expect(await call(house.node, ['xenstore-exists', 'backend/vbd/9/51712/params'])).toMatchObject({
    exit: 1,
  });
  expect(await call(house.node, ['xenstore-write', 'backend/vbd/9/51712/params', 'x'])).toMatchObject({
    exit: 2,
  });
  for (const part of ['script=block-drbd', 'backendtype=qdisk', 'direct-io-safe=1']) {
    const other = join(house.xen_dir, 'other');
    writeFileSync(other, readFileSync(config, 'utf8').replace(/script=[^,]*/, part));
    expect(await house.xl('create', '-n', other), part).toMatchObject({ exit: 2 });
  }
});
