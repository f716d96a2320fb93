import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, readlinkSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { eventually, type House, killAll, makeHouse, request, SLEEP_S, xen01 } from './house.ts';

let house: House;
beforeEach(() => {
  house = makeHouse();
});
afterEach(() => house.clean());

const go = () => writeFileSync(join(house.base, 'go'), '');
const noSecretIn = (folder: string) => !readdirSync(folder).includes('secret');

test('a job runs its steps in order, and tells its end', async () => {
  const started = await house.start('quick');
  expect(started).toMatchObject({ kind: 'reinstall', vps: 'xen01', state: 'running', steps: [] });
  const ended = await house.ended();
  expect(ended).toMatchObject({ id: started.id, state: 'succeeded', message: 'it was said' });
  expect(ended.steps.map(({ name }) => name)).toEqual(['greet', 'say']);
  for (const step of ended.steps) {
    expect(Date.parse(step.ended ?? '')).toBeGreaterThanOrEqual(Date.parse(step.started));
  }
  expect(readdirSync(house.folder(started)).sort()).toEqual([
    'lock',
    'log',
    'proc',
    'process.log',
    'request.json',
    'status.json',
  ]);
  expect(statSync(house.folder(started)).mode & 0o777).toBe(0o700);
});

test('a step that fails ends the job, and its last words are told', async () => {
  await house.start('failing');
  const ended = await house.ended();
  expect(ended.state).toBe('failed');
  expect(ended.message).toBe(
    'The reinstall of xen01 failed in step bootstrap: script fail failed (exit code 3): the mirror is down.',
  );
  expect(ended.steps.map(({ name }) => name)).toEqual(['say', 'bootstrap']);
});

test('a defect is told without its details, which are in process.log alone', async () => {
  const job = await house.start('defect');
  const { message } = await house.ended();
  expect(message).toContain('failed in step defect: The agent hit a defect of its own');
  expect(await house.jobs.installLog(xen01, 0)).not.toContain('/some/where');
  expect(readFileSync(join(house.folder(job), 'process.log'), 'utf8')).toContain('a defect at /some/where');
});

test('while a job runs, a second one is refused, and so is the lock of its VPS', async () => {
  const { id } = await house.start('slow');
  await expect(house.jobs.start('fsck', xen01, { image_type: 'vbd' })).rejects.toMatchObject({
    code: 'vps_busy',
    message: expect.stringContaining('xen01 is busy: a reinstall runs since'),
  });
  await eventually('the step wait', async () => (await house.jobs.last(xen01))?.steps.length === 2);
  await expect(house.locks.acquire(xen01, 'startVPS')).rejects.toMatchObject({
    code: 'vps_busy',
    message: expect.stringContaining(`held by a reinstall (job ${id})`),
  });
  go();
  expect(await house.ended()).toMatchObject({ id, state: 'succeeded' });
  await (await house.locks.acquire(xen01, 'startVPS', 5_000)).release();
});

test('the job begins its first step when its caller has let go of the lock', async () => {
  const lock = await house.locks.acquire(xen01, 'the caller');
  await house.jobs.start('fsck', xen01, { image_type: 'vbd' });
  await new Promise((resolve) => setTimeout(resolve, 700));
  expect(await house.jobs.current(xen01)).toMatchObject({ state: 'running', steps: [] });
  await lock.release();
  expect(await house.ended()).toMatchObject({ kind: 'fsck', state: 'succeeded' });
});

test('a job outlives a daemon that is killed with -9, and the next daemon sees it end', async () => {
  const main = fileURLToPath(new URL('./test-daemon.ts', import.meta.url));
  const daemon = spawn(process.execPath, ['--import', import.meta.resolve('tsx'), main, house.base], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const state = await new Promise((resolve) => daemon.stdout.once('data', (data) => resolve(`${data}`)));
  expect(state).toBe('running\n');
  daemon.kill('SIGKILL');
  await new Promise((resolve) => daemon.once('exit', resolve));

  const next = house.again();
  expect(await next.recover((_vps, thrown) => expect.unreachable(String(thrown)))).toEqual([]);
  expect(await next.current(xen01)).toMatchObject({ state: 'running' });
  go();
  expect(await house.ended(next)).toMatchObject({ state: 'succeeded', message: 'it was said' });
});

test('the secret is in a 0600 file until the job has read it, and in its input alone then', async () => {
  const path = (id: string) => join(house.folder({ id }), 'secret');
  const stuck = house.again({ job_command: ['sh', '-c', `sleep ${SLEEP_S}`] });
  const starting = stuck.start('reinstall', xen01, request('quick'), '$6$salt$hash');
  const failed = expect(starting).rejects.toMatchObject({ code: 'program_failed' });
  const states = join(house.base, 'state', 'states', 'xen01');
  await eventually('a job', () => existsSync(states) && readdirSync(states).some((name) => /^2/.test(name)));
  const [id = ''] = readdirSync(states);
  expect(readFileSync(path(id), 'utf8')).toBe('$6$salt$hash');
  expect(statSync(path(id)).mode & 0o777).toBe(0o600);
  await eventually('its process', () => house.processes(house.base, 'unshare').length > 0);
  killAll(house.processes(house.base));
  await failed;
  expect(noSecretIn(house.folder({ id }))).toBe(true);

  const job = await house.start('secret', '$6$salt$hash');
  expect(await house.ended()).toMatchObject({ state: 'succeeded', message: '12' });
  expect(noSecretIn(house.folder(job))).toBe(true);
  expect(await house.jobs.installLog(xen01, 0)).not.toContain('$6$');
});

test('a job whose process never comes to run is told as failed, with what it said', async () => {
  const broken = house.again({ job_command: ['/nonexistent/node'] });
  const message =
    'The reinstall of xen01 did not start (unshare: failed to execute /nonexistent/node: No such file or directory); nothing was touched.';
  await expect(broken.start('reinstall', xen01, request('quick'))).rejects.toMatchObject({
    code: 'program_failed',
    message,
  });
  expect(await house.jobs.last(xen01)).toMatchObject({ state: 'failed', message });
  expect(await house.jobs.current(xen01)).toBeUndefined();
});

test('a job that stays silent is killed after its time', async () => {
  const silent = house.again({ job_command: ['sh', '-c', `sleep ${SLEEP_S}`], start_timeout_ms: 300 });
  await expect(silent.start('reinstall', xen01, request('quick'))).rejects.toMatchObject({
    message: 'The reinstall of xen01 did not start (it said nothing); nothing was touched.',
  });
  expect(house.processes(house.base)).toEqual([]);
});

test('a job that is told to end (SIGTERM) kills its step, and is told as cancelled', async () => {
  await house.start('slow');
  await eventually('the step wait', () => house.processes('wait-for', house.base).length > 0);
  const [pid = 0] = house.processes(process.execPath, 'test-job.ts', house.base).slice(-1);
  process.kill(pid, 'SIGTERM');
  const ended = await house.ended();
  expect(ended).toMatchObject({
    state: 'failed',
    message: 'The reinstall of xen01 was cancelled in step wait.',
  });
  await eventually('no process', () => house.processes(house.base).length === 0);
});

test('the install log is the newest reinstall log: its last lines, printable, behind a link', async () => {
  expect(await house.jobs.installLog(xen01, 0)).toBeUndefined();
  const job = await house.start('quick');
  await house.ended();
  const link = join(house.base, 'mnt', '01.log');
  expect(readlinkSync(link)).toBe(join(house.folder(job), 'log'));
  writeFileSync(link, 'one\r\ntwo \x1b[1mbold\x1b[0m \u00e9\n10%\r20%\n');
  expect(await house.jobs.installLog(xen01, 0)).toBe('one\ntwo bold \n10%\n20%\n');
  expect(await house.jobs.installLog(xen01, 2)).toBe('10%\n20%\n');
  await house.jobs.start('fsck', xen01, { image_type: 'vbd' });
  await house.ended();
  expect(await house.jobs.installLog(xen01, 1)).toBe('20%\n');
});

test('a log that goes beyond its cap says so once, and the job goes on', async () => {
  const job = await house.start('loud');
  expect(await house.ended()).toMatchObject({ state: 'succeeded', message: 'it was said' });
  const log = readFileSync(join(house.folder(job), 'log'), 'utf8');
  expect(log.length).toBeLessThan(100_200);
  expect(log.split('the log is cut off here')).toHaveLength(2);
});

test('forgetting deletes ended jobs and the link, never a job that runs', async () => {
  await house.start('quick');
  await house.ended();
  const running = await house.start('slow');
  await house.jobs.forget(xen01);
  expect(await house.jobs.current(xen01)).toMatchObject({ id: running.id });
  expect(readdirSync(join(house.base, 'state', 'states', 'xen01'))).toEqual([running.id]);
  go();
  await house.ended();
  await house.jobs.forget(xen01);
  expect(await house.jobs.last(xen01)).toBeUndefined();
  expect(readdirSync(join(house.base, 'mnt'))).toEqual([]);
});
