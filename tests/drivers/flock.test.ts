import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { heldLocks, holding, holdingNothing } from '../../src/core/held-locks.ts';
import type { Command } from '../../src/core/runner.ts';
import { parseVpsId, type VpsId } from '../../src/core/vps.ts';
import { createFileLocks, createVpsLocks } from '../../src/drivers/flock.ts';
import { createRunner } from '../../src/drivers/run.ts';

const xen01 = parseVpsId('xen01') as VpsId;
const xen02 = parseVpsId('02') as VpsId;
const runner = createRunner({ path: process.env['PATH'] ?? '' });
const files = createFileLocks(runner);
let run_dir: string;
let others: ChildProcess[];
let pids: number[];

beforeEach(() => {
  run_dir = mkdtempSync(join(tmpdir(), 'dtc-xen-lock-'));
  others = [];
  pids = [];
});

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

afterEach(() => {
  for (const other of others) other.kill('SIGKILL');
  for (const pid of pids) kill(pid);
  rmSync(run_dir, { recursive: true });
});

const locks = () => createVpsLocks({ run_dir, locks: files });
const inRunDir = (name: string) => join(run_dir, name);
const lock_path = () => join(run_dir, 'lock', 'xen01.lock');

/** Another process, of hold-lock.ts. */
function otherProcess(...words: string[]): ChildProcess {
  const main = fileURLToPath(new URL('./hold-lock.ts', import.meta.url));
  const child = spawn(process.execPath, ['--import', import.meta.resolve('tsx'), main, run_dir, ...words], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  others.push(child);
  return child;
}

/** Another process that takes xen01's lock and keeps it; with what it says of that. */
async function otherHolder(...program: string[]): Promise<{ said: string; child: ChildProcess }> {
  const child = otherProcess('hold', ...program);
  const said = await new Promise<string>((resolve) =>
    child.stdout?.once('data', (data) => resolve(`${data}`)),
  );
  return { said, child };
}

/** A small bash program. */
function program(name: string, script: string): string {
  const path = inRunDir(name);
  writeFileSync(path, `#!/bin/bash\n${script}\n`);
  chmodSync(path, 0o755);
  return path;
}

async function eventually(what: string, test: () => boolean): Promise<void> {
  for (let tries = 0; tries < 400; tries += 1) {
    if (test()) return;
    await sleep(25);
  }
  throw new Error(`it did not come to be: ${what}`);
}

/** The process id that a program wrote to a file; it is killed after the test. */
async function pidIn(name: string): Promise<number> {
  const read = () => (existsSync(inRunDir(name)) ? Number(readFileSync(inRunDir(name), 'utf8')) : 0);
  await eventually(`the file ${name}`, () => read() > 0);
  pids.push(read());
  return read();
}

const lives = (pid: number) => existsSync(`/proc/${pid}`);
const command = (path: string, args: string[] = [], timeout_ms = 10_000): Command => ({
  label: 'the program',
  program: path,
  args,
  timeout_ms,
});
const run = (...called: Parameters<typeof command>) => runner.run(command(...called));
const busy = { code: 'vps_busy' };

test('a second taker is refused with the name of the holder, and succeeds after the release', async () => {
  const held = await locks().acquire(xen01, 'startVPS, called by admin');
  await expect(locks().acquire(xen01, 'killVPS')).rejects.toMatchObject({
    code: 'vps_busy',
    message: expect.stringMatching(
      /^xen01 is busy: held by startVPS, called by admin, since \d{4}-.*Z; try again/,
    ),
  });
  await held.release();
  await (await locks().acquire(xen01, 'killVPS')).release();
});

test('two VPSes do not share a lock', async () => {
  const first = await locks().acquire(xen01, 'one');
  const second = await locks().acquire(xen02, 'two');
  await first.release();
  await second.release();
});

test('of many takers at once, one gets it', async () => {
  const outcomes = await Promise.allSettled(
    Array.from({ length: 8 }, (_, at) => locks().acquire(xen01, `taker ${at}`)),
  );
  const won = outcomes.filter((outcome) => outcome.status === 'fulfilled');
  expect(won).toHaveLength(1);
  for (const { value } of won) await value.release();
});

test('of processes that race for it, one at a time has it', async () => {
  const file = inRunDir('number');
  writeFileSync(file, '0');
  const racers = [1, 2, 3].map(() => once(otherProcess('count', file, '20'), 'exit'));
  for (const racer of racers) expect(await racer).toEqual([0, null]);
  expect(readFileSync(file, 'utf8')).toBe('60');
}, 300_000);

test('another process is refused, and told who holds it', async () => {
  const held = await locks().acquire(xen01, 'reinstallVPSos');
  expect((await otherHolder()).said).toContain('vps_busy xen01 is busy: held by reinstallVPSos');
  await held.release();
});

test('a holder that is killed with -9 lets go', async () => {
  const { said, child } = await otherHolder();
  expect(said).toBe('held\n');
  await expect(locks().acquire(xen01, 'me')).rejects.toMatchObject(busy);
  child.kill('SIGKILL');
  await (await locks().acquire(xen01, 'me', 5_000)).release();
});

test('who waits gets it when it is let go, and is refused when it is not', async () => {
  const held = await locks().acquire(xen01, 'the caller');
  await expect(locks().acquire(xen01, 'the job', 200)).rejects.toMatchObject(busy);
  const waiting = locks().acquire(xen01, 'the job', 10_000);
  await sleep(100);
  await held.release();
  await (await waiting).release();
});

test('flock(1) of a program that is run by hand takes the same lock', async () => {
  const byHand = () => run('flock', ['-n', lock_path(), 'true']);
  const held = await locks().acquire(xen01, 'the agent');
  expect((await byHand()).exit_code).toBe(1);
  await held.release();
  expect((await byHand()).exit_code).toBe(0);
});

test('a lock whose file cannot be made says so', async () => {
  await expect(files.tryLock(join(run_dir, 'missing', 'file'))).rejects.toMatchObject({
    code: 'program_failed',
    message: "A lock cannot be taken: its file file cannot be opened (ENOENT); look at the agent's run_dir.",
  });
  const nowhere = createFileLocks(createRunner({ path: run_dir }));
  await expect(nowhere.tryLock(join(run_dir, 'file'))).rejects.toMatchObject({ code: 'program_missing' });
});

test('releasing leaves no note of a holder, and once more takes nothing from the next one', async () => {
  const held = await locks().acquire(xen01, 'someone');
  expect(readFileSync(join(run_dir, 'lock', 'xen01.holder'), 'utf8')).toMatch(/^someone, since /);
  await held.release();
  expect(() => readFileSync(join(run_dir, 'lock', 'xen01.holder'))).toThrow('ENOENT');
  const next = await locks().acquire(xen01, 'the next');
  await held.release();
  await expect(locks().acquire(xen01, 'a third')).rejects.toMatchObject({
    message: expect.stringContaining('held by the next, since'),
  });
  await next.release();
});

test("only root may look at a VPS's locks", async () => {
  const held = await locks().acquire(xen01, 'someone');
  expect(statSync(join(run_dir, 'lock')).mode & 0o777).toBe(0o700);
  expect(statSync(lock_path()).mode & 0o777).toBe(0o600);
  await held.release();
});

describe('the lock dies before the work', () => {
  test('a holder that is killed leaves its program running, and the lock with it', async () => {
    const work = program('work', `echo $$ > "$1/working"; while [ ! -e "$1/go" ]; do sleep 0.05; done`);
    const { child } = await otherHolder(work, run_dir);
    const pid = await pidIn('working');
    child.kill('SIGKILL');
    await once(child, 'exit');
    await sleep(300);
    expect(lives(pid)).toBe(true);
    await expect(locks().acquire(xen01, 'me')).rejects.toMatchObject({
      code: 'vps_busy',
      message: expect.stringContaining('held by the other process, since'),
    });
    writeFileSync(inRunDir('go'), '');
    await (await locks().acquire(xen01, 'me', 10_000)).release();
    expect(lives(pid)).toBe(false);
  }, 300_000);

  test('so it is with one that closes every file that it does not know, as LVM does', async () => {
    const lvm = program(
      'lvm',
      `readlink /proc/$$/fd/* > "$1/seen"; for at in 3 4 5 6 7 8 9; do eval "exec $at<&-"; done
      echo $$ > "$1/working"; while [ ! -e "$1/go" ]; do sleep 0.05; done`,
    );
    const { child } = await otherHolder(lvm, run_dir);
    await pidIn('working');
    expect(readFileSync(inRunDir('seen'), 'utf8')).not.toContain('xen01.lock');
    child.kill('SIGKILL');
    await once(child, 'exit');
    await expect(locks().acquire(xen01, 'me')).rejects.toMatchObject(busy);
    writeFileSync(inRunDir('go'), '');
    await (await locks().acquire(xen01, 'me', 10_000)).release();
  }, 300_000);

  test('one that no signal ends keeps it beyond the call that gave up on it', async () => {
    const work = program('work', `trap '' TERM; echo $$ > "$1/working"; sleep 60`);
    const held = await locks().acquire(xen01, 'a call');
    // In a session of its own it is out of reach, as a process is that hangs in the kernel.
    const giving_up = holding(held, () => run('setsid', [work, run_dir], 500));
    await expect(giving_up).rejects.toMatchObject({ code: 'program_timeout' });
    await held.release();
    const pid = await pidIn('working');
    expect(lives(pid)).toBe(true);
    await expect(locks().acquire(xen01, 'me')).rejects.toMatchObject({
      message: expect.stringContaining('held by a program run by hand, or one that an earlier call has left'),
    });
    kill(pid);
    await (await locks().acquire(xen01, 'me', 10_000)).release();
  }, 300_000);

  test("what a program leaves behind does not keep it, as xl's process for a guest would", async () => {
    const xl = program('xl', `setsid sleep 60 > /dev/null 2>&1 < /dev/null & echo $! > "$1/left"`);
    const held = await locks().acquire(xen01, 'startVPS');
    expect((await holding(held, () => run(xl, [run_dir]))).exit_code).toBe(0);
    await held.release();
    const pid = await pidIn('left');
    await (await locks().acquire(xen01, 'destroyVPS')).release();
    expect(lives(pid)).toBe(true);
  });

  test('a program that is started to stay does not inherit it, nor does work that goes on without its caller', async () => {
    const job = program('job', `echo $$ > "$1"; sleep 60`);
    const held = await locks().acquire(xen01, 'the caller of a job');
    const { later } = holding(held, () => {
      runner.start({ label: 'the job', program: job, args: [inRunDir('job.pid')] });
      return { later: holdingNothing(() => run(job, [inRunDir('later.pid')], 2_000)) };
    });
    await pidIn('job.pid');
    await pidIn('later.pid');
    await held.release();
    await (await locks().acquire(xen01, 'the job')).release();
    await expect(later).rejects.toMatchObject({ code: 'program_timeout' });
  });

  test('one that sees to ending with its caller is its own child, and has it among its own files', async () => {
    const script = program('script', `echo $PPID > "$1/parent"; readlink /proc/$$/fd/* > "$1/seen"`);
    const held = await locks().acquire(xen01, 'a call');
    await holding(held, () => runner.run({ ...command(script, [run_dir]), ends_with_caller: true }));
    expect(Number(readFileSync(inRunDir('parent'), 'utf8'))).toBe(process.pid);
    expect(readFileSync(inRunDir('seen'), 'utf8').split('\n')).toContain(lock_path());
    await held.release();
    await (await locks().acquire(xen01, 'the next')).release();
  });

  test('more locks than a program can be kept from are a defect that is told', async () => {
    const work = program('work', 'touch "$1/begun"');
    const taken = await Promise.all(
      Array.from({ length: 8 }, (_, at) => files.tryLock(inRunDir(`${at}.lock`))),
    );
    const start = taken.reduce<() => unknown>(
      (inner, lock) => () => (lock ? holding(lock, inner) : inner()),
      () => run(work, [run_dir]),
    );
    await expect(start()).rejects.toThrow(`${work} would be started under 8 locks.`);
    expect(existsSync(inRunDir('begun'))).toBe(false);
    for (const lock of taken) await lock?.release();
  });

  test.each([
    ['removed', (path: string) => rmSync(path)],
    [
      'replaced',
      (path: string) => {
        writeFileSync(`${path}.new`, '');
        renameSync(`${path}.new`, path);
      },
    ],
  ])('whose file is %s is noticed before the next program', async (_, spoil) => {
    const work = program('work', `touch "$1/$2"`);
    const held = await locks().acquire(xen01, 'a call');
    await holding(held, () => run(work, [run_dir, 'first']));
    held.requireHeld();
    spoil(lock_path());
    const next = holding(held, () => run(work, [run_dir, 'second']));
    await expect(next).rejects.toMatchObject({
      code: 'lock_lost',
      message: expect.stringMatching(
        /^The lock xen01\.lock was lost: somebody removed or replaced its file\./,
      ),
    });
    expect(() =>
      holding(held, () => runner.converse({ label: 'work', program: work, args: [run_dir, 'second'] })),
    ).toThrow('The lock xen01.lock was lost');
    expect(existsSync(inRunDir('first'))).toBe(true);
    expect(existsSync(inRunDir('second'))).toBe(false);
    await held.release();
  });
});

test.each([
  ['removed', (path: string) => rmSync(path)],
  ['replaced', (path: string) => renameSync(`${path}.new`, path)],
])(
  'a lock whose file is %s between being opened and locked is taken on the one that is there',
  async (_, spoil) => {
    const file = inRunDir('a.lock');
    writeFileSync(`${file}.new`, '');
    let spoilt = false;
    const slow = createFileLocks({
      ...runner,
      check: (command) => {
        if (!spoilt) spoil(file);
        spoilt = true;
        return runner.check(command);
      },
    });
    const held = await slow.tryLock(file);
    expect(spoilt).toBe(true);
    held?.requireHeld();
    expect(await files.tryLock(file)).toBeUndefined();
    await held?.release();
    await (await files.tryLock(file))?.release();
  },
);

test('a file that is removed whenever it is locked is given up on', async () => {
  const file = inRunDir('a.lock');
  const removing = createFileLocks({
    ...runner,
    check: (command) => {
      rmSync(file);
      return runner.check(command);
    },
  });
  await expect(removing.tryLock(file)).rejects.toMatchObject({ code: 'lock_lost' });
});

test('the locks of work within work add up, and one that is let go of counts no more', async () => {
  const outer = await locks().acquire(xen01, 'outer');
  const inner = await locks().claimDisks(xen01, 'cannot be checked');
  await holding(outer, () =>
    holding(inner, async () => {
      expect(heldLocks().map(({ fd }) => fd)).toEqual([outer.fd, inner.fd]);
      expect(holdingNothing(heldLocks)).toEqual([]);
      await inner.release();
      expect(heldLocks().map(({ fd }) => fd)).toEqual([outer.fd]);
    }),
  );
  expect(heldLocks()).toEqual([]);
  await outer.release();
});
