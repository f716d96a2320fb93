import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { isEnded, jobFolder, writeStatus } from '../../src/jobs/folder.ts';
import { mountsBelow } from '../../src/jobs/leftovers.ts';
import { createJobStore } from '../../src/jobs/store.ts';
import {
  eventually,
  type House,
  jobCommand,
  killAll,
  loopDevices,
  makeHouse,
  makeImage,
  request,
  SLEEP_S,
  xen01,
} from './house.ts';

let house: House;
let image: string;
beforeEach(() => {
  house = makeHouse();
  image = makeImage(house.base);
});
afterEach(() => house.clean());

const mount_point = () => join(house.base, 'mnt', '01');
const mounted = () =>
  mountsBelow(readFileSync('/proc/self/mountinfo', 'utf8'), join(house.base, 'mnt')).length > 0;
const nodeOfJob = () => house.processes(process.execPath, 'test-job.ts', house.base).at(-1) ?? 0;
/** Nothing is wrong with the jobs of these tests. */
const trouble = (_vps: unknown, thrown: unknown) => expect.unreachable(String(thrown));
const lockIsFree = async (path: string) => {
  const lock = await house.files.tryLock(path);
  await lock?.release();
  return lock !== undefined;
};

/** Starts the job that mounts the image and leaves processes about, and waits until it is in the middle of that. */
async function startMounting() {
  const before = house.processes('sleep', SLEEP_S).length;
  const job = await house.start('mounting');
  await eventually('the mount', () => existsSync(join(house.base, 'mounted')));
  await eventually('its three sleepers', () => house.processes('sleep', SLEEP_S).length === before + 3);
  expect(loopDevices(image)).not.toBe('');
  expect(mounted()).toBe(false);
  return { ...job, before };
}

/** What the next daemon makes of a job that died in the middle of `mounting`. */
async function expectCutOff(job: { id: string }) {
  const [settled] = await house.again().recover(trouble);
  expect(settled).toMatchObject({
    id: job.id,
    state: 'failed',
    message: 'The reinstall of xen01 was cut off in step bootstrap. Nothing is lost.',
  });
  expect(await house.again().recover(trouble)).toEqual([]);
  expect(readFileSync(join(house.folder(job), 'log'), 'utf8')).toContain('was cut off in step bootstrap');
  await (await house.locks.acquire(xen01, 'the next', 5_000)).release();
}

test('when the process of a job is killed with -9, its lock is free once nothing of it lives or is mounted', async () => {
  const job = await startMounting();
  const lock = join(house.folder(job), 'lock');
  expect(await lockIsFree(lock)).toBe(false);
  killAll([nodeOfJob()]);
  await eventually('a free lock', () => lockIsFree(lock));
  expect(house.processes('sleep', SLEEP_S)).toHaveLength(job.before);
  expect(loopDevices(image)).toBe('');
  execFileSync('e2fsck', ['-p', image]);
  await expectCutOff(job);
});

test('when all that leads to a job is killed with -9 at once, nothing of it stays either', async () => {
  const job = await startMounting();
  killAll(house.processes(house.base));
  await eventually('no sleeper', () => house.processes('sleep', SLEEP_S).length === job.before);
  await eventually('no loop device', () => loopDevices(image) === '');
  await expectCutOff(job);
});

test('a job that dies before its first step says that nothing was touched', async () => {
  await house.start('dead');
  expect(await house.ended()).toMatchObject({
    state: 'failed',
    message: 'The reinstall of xen01 was cut off before anything was touched: start it again.',
  });
});

test('a step that leaves a mount and a process behind does not keep them beyond its job', async () => {
  const before = house.processes('sleep', SLEEP_S).length;
  await house.start('leaving');
  expect(await house.ended()).toMatchObject({ state: 'succeeded', message: 'done' });
  expect(house.processes('sleep', SLEEP_S)).toHaveLength(before);
  expect(loopDevices(image)).toBe('');
});

test('what a dead job left on the host is taken down: mounts, loop devices, processes with its mark', async () => {
  const { folder, status } = await createJobStore(join(house.base, 'state', 'states')).create(xen01, {
    kind: 'reinstall',
    request: request('mounting'),
  });
  await writeStatus(folder, {
    ...status,
    state: 'running',
    steps: [{ name: 'configure', share: 5, started: status.created }],
    fate: { state: 'failed', told: 'Nothing is lost.' },
  });
  mkdirSync(mount_point());
  execFileSync('mount', ['-o', 'loop', image, mount_point()]);
  mkdirSync(join(mount_point(), 'a b'));
  execFileSync('mount', ['-t', 'tmpfs', 'none', join(mount_point(), 'a b')]);
  execFileSync('setsid', ['--fork', 'sleep', SLEEP_S], {
    env: { ...process.env, DTC_XEN_JOB: folder.id },
    cwd: mount_point(),
    stdio: 'ignore',
  });
  expect(await house.jobs.current(xen01)).toBeUndefined();
  expect(await house.jobs.last(xen01)).toMatchObject({
    state: 'failed',
    message: 'The reinstall of xen01 was cut off in step configure. Nothing is lost.',
  });
  expect(mounted()).toBe(false);
  expect(house.processes('sleep', SLEEP_S)).toEqual([]);
  // A private mount namespace that some other program of this machine made meanwhile holds a copy of the mount.
  await vi.waitFor(() => expect(loopDevices(image)).toBe(''), { timeout: 60_000, interval: 200 });
}, 90_000);

test('a job that was told as failed before its process comes to run is left alone by it', async () => {
  const { folder, status } = await createJobStore(join(house.base, 'state', 'states')).create(xen01, {
    kind: 'reinstall',
    request: request('quick'),
  });
  await writeStatus(folder, { ...status, created: new Date(0).toISOString() });
  const [settled] = await house.jobs.recover(trouble);
  expect(settled?.message).toBe('The reinstall of xen01 never started; nothing was touched: start it again.');
  const [node = '', ...args] = jobCommand(house.base);
  execFileSync(node, [...args, folder.path]);
  expect(await house.jobs.last(xen01)).toEqual(settled);
});

test('a job that was being started when the node went down is settled at once when it is back', async () => {
  const { folder, status } = await createJobStore(join(house.base, 'state', 'states')).create(xen01, {
    kind: 'reinstall',
    request: request('quick'),
  });
  await writeStatus(folder, { ...status, boot_id: '6f0b0f9e-0000-4000-8000-000000000000' });
  const [settled] = await house.jobs.recover(trouble);
  expect(settled?.message).toBe('The reinstall of xen01 never started; nothing was touched: start it again.');
  expect(await house.jobs.current(xen01)).toBeUndefined();
});

test('a job that is just being started by somebody else is not settled', async () => {
  const { status } = await createJobStore(join(house.base, 'state', 'states')).create(xen01, {
    kind: 'fsck',
    request: { image_type: 'vbd' },
  });
  expect(await house.jobs.recover(trouble)).toEqual([]);
  expect(await house.jobs.current(xen01)).toEqual(status);
});

test('many who ask at once after a dead job all hear that there is none', async () => {
  const job = await house.start('slow');
  killAll([nodeOfJob()]);
  await eventually('a free lock', () => lockIsFree(join(house.folder(job), 'lock')));
  const answers = await Promise.all(Array.from({ length: 10 }, () => house.jobs.current(xen01)));
  expect(answers.every((answer) => answer === undefined)).toBe(true);
});

test('ended jobs are pruned to ten and the newest reinstall; ids sort by time whatever the clock does', async () => {
  const store = createJobStore(join(house.base, 'state', 'states'));
  const ids: string[] = [];
  for (let at = 0; at < 13; at++) {
    const kind = at === 0 ? 'reinstall' : 'fsck';
    const { folder, status } = await store.create(xen01, { kind, request: { image_type: 'vbd' } as never });
    await writeStatus(folder, { ...status, state: 'succeeded', ended: status.created });
    ids.push(folder.id);
  }
  expect([...ids].sort()).toEqual(ids);
  await store.prune(xen01, 10);
  expect((await store.list(xen01)).map(({ folder }) => folder.id).reverse()).toEqual([
    ids[0],
    ...ids.slice(3),
  ]);
});

test('what crashes leave of folders is swept, and a damaged state is told as a failed job', async () => {
  const parent = join(house.base, 'state', 'states', 'xen01');
  const store = createJobStore(join(house.base, 'state', 'states'));
  const { folder } = await store.create(xen01, { kind: 'fsck', request: { image_type: 'vbd' } });
  const left = [
    join(parent, '.new-20261122T021027.123Z-ab12'),
    join(parent, '.gone-20261122T021027.123Z-ab12'),
  ];
  for (const path of left) {
    mkdirSync(path);
    utimesSync(path, 0, 0);
  }
  writeFileSync(join(folder.path, 'status.json'), '{"id": tr');
  expect(await house.jobs.recover(trouble)).toEqual([]);
  expect(left.some((path) => existsSync(path))).toBe(false);
  const last = await house.jobs.last(xen01);
  expect(last && isEnded(last)).toBe(true);
  expect(last?.message).toContain('is damaged');
});

test("DTC-Xen's state file in the place of a VPS's folder gives way", async () => {
  mkdirSync(join(house.base, 'state', 'states'), { recursive: true });
  writeFileSync(join(house.base, 'state', 'states', 'xen01'), 'mkos');
  expect(await house.jobs.recover(trouble)).toEqual([]);
  expect(await house.jobs.current(xen01)).toBeUndefined();
  await house.start('quick');
  expect(await house.ended()).toMatchObject({ state: 'succeeded' });
});

test('a folder that is no job is refused', () => {
  expect(() => jobFolder('/var/lib/dtc-xen/states/xen01;reboot/1')).toThrow('is not a job');
});
