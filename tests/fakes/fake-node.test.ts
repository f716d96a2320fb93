import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { createRunner } from '../../src/drivers/run.ts';
import { createFakeNode, type FakeNode } from './fake-node.ts';
import { call, system } from './replay.ts';

let node: FakeNode;
let config: string;

const xl = (...args: string[]) => call(node, ['xl', ...args]);
const lvcreate = (name: string) => call(node, ['lvcreate', '-y', '-L', '64M', '-n', name, 'vg0']);
const deviceOpen = async (name: string) => {
  const answer = await call(node, ['lvs', '--noheadings', '-o', 'lv_device_open', `vg0/${name}`]);
  return answer.stdout.trim();
};
const writeConfig = (name: string, disks: readonly string[]) => {
  const path = join(node.root, name);
  const quoted = disks.map((disk) => `"${disk}"`).join(', ');
  writeFileSync(
    path,
    `name = '${name}' # a comment\nkernel = "${node.kernel}"; ramdisk = "${node.initrd}"\nmemory = 256
disk = [\n  ${quoted},\n]\nvif = [ "mac=02:00:00:00:00:01" ]\n`,
  );
  return path;
};

beforeEach(async () => {
  node = await createFakeNode({ interpose: ['true'] });
  await lvcreate('xen01');
  await lvcreate('xen01swap');
  const lv = (name: string) => join(node.dev_dir, 'vg0', name);
  config = writeConfig('xen01', [`phy:${lv('xen01')},xvda,w`, `${lv('xen01swap')},raw,xvdb,rw`]);
});
afterEach(() => node.cleanup());

it('fails exactly the call that a fault names, as often as it says', async () => {
  await node.setFault({ match: 'xl list xen01', mode: 'fail', exit: 7, stderr: 'no\n', times: 1 });
  expect(await xl('list')).toMatchObject({ exit: 0 });
  expect(await xl('list', '-v', 'xen01')).toEqual({ exit: 7, stdout: '', stderr: 'no\n' });
  expect(await xl('list', '-v', 'xen01')).toMatchObject({
    exit: 1,
    stderr: expect.stringMatching(/invalid domain identifier/),
  });
  await node.setFault({ match: 'xl info', mode: 'nonsense' });
  await node.setFault({ match: 'xl uptime', mode: 'hang' });
  await node.setFault({ match: 'lvcreate t1', mode: 'late', exit: 5 });
  await node.setFault({ match: 'true', mode: 'fail', exit: 4 });
  expect((await xl('info')).stdout).not.toContain('free_memory');
  expect(await call(node, ['xl', 'uptime'], 500)).toMatchObject({ exit: 'timeout' });
  expect(await lvcreate('t1')).toMatchObject({ exit: 5 });
  expect(existsSync(join(node.dev_dir, 'vg0/t1'))).toBe(true);
  expect(await call(node, ['true'])).toMatchObject({ exit: 4 });
  await node.clearFaults();
  expect(await call(node, ['true'])).toMatchObject({ exit: 0 });
  expect(node.calls()).toContainEqual(['xl', 'list', '-v', 'xen01']);
});

it('takes a program away, and never lets the real one be run in its place', async () => {
  const runner = createRunner({ path: node.program_path });
  const run = (program: string) => runner.run({ label: program, program, args: [], timeout_ms: 5000 });
  for (const program of ['lvs', 'true']) {
    await node.setFault({ match: program, mode: 'missing' });
    await expect(run(program)).rejects.toMatchObject({ code: 'program_missing' });
  }
  await node.clearFaults();
  expect(await run('lvs')).toMatchObject({ exit_code: 0 });
});

it('counts traffic for as long as the domain lives', async () => {
  await xl('create', config);
  await node.traffic('xen01', {
    vif_rx_bytes: 5e9,
    root_read_sectors: 10,
    root_written_sectors: 5,
    cpu_seconds: 30,
  });
  const [before] = await node.domains();
  expect(before?.cpu_seconds).toBeGreaterThan(30);
  expect(readFileSync(join(node.proc_dir, 'net/dev'), 'utf8')).toContain('vif1.0: 5000000000 ');
  const vbd = join(node.sys_dir, 'bus/xen-backend/devices/vbd-1-51712/statistics');
  expect(readFileSync(join(vbd, 'rd_sect'), 'utf8')).toBe('10\n');
  await xl('reboot', '-w', 'xen01');
  await expect.poll(async () => (await node.domains())[0]?.id).toBe(2);
  await expect.poll(async () => (await node.domains())[0]?.state).toBe('-b----');
  expect(existsSync(vbd)).toBe(false);
  expect(readFileSync(join(node.proc_dir, 'net/dev'), 'utf8')).toMatch(/^vif2\.0: {7}0 /m);
});

it('knows who holds a volume open: a guest, a loop device, a mount', async () => {
  expect(await deviceOpen('xen01')).toBe('');
  const path = join(node.dev_dir, 'vg0/xen01');
  await system('mkfs.ext4', '-q', '-F', path);
  const mount_point = join(node.root, 'mnt');
  mkdirSync(mount_point);
  await system('mount', '-o', 'loop', path, mount_point);
  try {
    expect(await deviceOpen('xen01')).toBe('open');
    expect(await xl('create', config)).toMatchObject({
      exit: 3,
      stderr: expect.stringMatching(/is mounted in the privileged domain/),
    });
  } finally {
    await system('umount', mount_point);
  }
  // The loop device goes when the last mount namespace of the machine that copied the mount has gone, too.
  await expect.poll(() => deviceOpen('xen01'), { timeout: 90_000 }).toBe('');
  expect(await xl('create', config)).toMatchObject({ exit: 0 });
  expect(await deviceOpen('xen01')).toBe('open');
  expect(await deviceOpen('xen01swap')).toBe('open');
  await xl('destroy', 'xen01');
  expect(await deviceOpen('xen01')).toBe('');
});

it('serves image files without files in /sys, as a process does', async () => {
  const image = join(node.root, 'xen02.img');
  writeFileSync(image, '');
  expect(await xl('create', writeConfig('xen02', [`file:${image},xvda,w`]))).toMatchObject({ exit: 0 });
  expect((await xl('block-list', 'xen02')).stdout).toContain('/local/domain/0/backend/qdisk/1/51712');
  expect(existsSync(join(node.sys_dir, 'bus/xen-backend/devices/vbd-1-51712'))).toBe(false);
});

it('leaves a half built domain where xl was killed, which can be destroyed', async () => {
  await node.setTiming({ build_ms: 60_000 });
  const child = spawn(join(node.bin, 'xl'), ['create', config], { stdio: 'ignore' });
  await expect.poll(async () => (await xl('list', 'xen01')).stdout).toMatch(/xen01 +1 +0 +0 +--p--- +0\.0/);
  child.kill('SIGKILL');
  expect(await xl('create', config)).toMatchObject({
    exit: 3,
    stderr: expect.stringMatching(/already exists/),
  });
  expect(await xl('destroy', 'xen01')).toMatchObject({ exit: 0 });
  expect(await node.domains()).toEqual([]);
});

it('has guests that do not listen, or never end', async () => {
  await node.setTiming({ acknowledge_ms: 200 });
  await node.setGuest('xen01', { acknowledges: false });
  await xl('create', config);
  expect(await xl('shutdown', '-w', 'xen01')).toMatchObject({
    exit: 1,
    stderr: expect.stringMatching(/didn't acknowledge/),
  });
  await node.setGuest('xen01', { powers_off: false });
  expect(await call(node, ['xl', 'shutdown', '-w', 'xen01'], 800)).toMatchObject({ exit: 'timeout' });
  expect(await node.domains()).toMatchObject([{ name: 'xen01', id: 1 }]);
});

it('keeps its books under many calls at once', async () => {
  const names = Array.from({ length: 8 }, (_, index) => `t${index}`);
  const answers = await Promise.all(names.map(lvcreate));
  expect(answers.map(({ exit }) => exit)).toEqual(names.map(() => 0));
  const report = await call(node, ['vgs', '--noheadings', '-o', 'lv_count,vg_free_count']);
  expect(report.stdout).toBe(`  10 ${4095 - 10 * 16}\n`);
});

it('refuses what it does not know', async () => {
  expect(await call(node, ['lvcreate', '--thin', 'vg0'])).toMatchObject({ exit: 2 });
  expect(await call(node, ['lvs', '-o', 'seg_type'])).toMatchObject({ exit: 2 });
  expect(await xl('list', '-Q')).toEqual({ exit: 2, stdout: '', stderr: "option `Q' not supported.\n" });
  expect(await xl('create', config, 'vif=["mad=1"]')).toMatchObject({ exit: 2 });
});

it('can also be linked into a folder, whose neighbour holds the state', async () => {
  const links = join(node.root, 'links');
  mkdirSync(links);
  symlinkSync(resolve(import.meta.dirname, 'bin/xl'), join(links, 'xl'));
  const answer = await call({ ...node, bin: links }, ['xl', 'domid', 'Domain-0']);
  expect(answer).toEqual({ exit: 0, stdout: '0\n', stderr: '' });
});
