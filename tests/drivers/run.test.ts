import { once } from 'node:events';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { holding } from '../../src/core/held-locks.ts';
import { createFileLocks } from '../../src/drivers/flock.ts';
import { createRunner, lastWords } from '../../src/drivers/run.ts';
import { createSmallPrograms, type SmallPrograms } from './small-programs.ts';

let programs: SmallPrograms;
beforeEach(() => {
  programs = createSmallPrograms();
});
afterEach(() => programs.cleanup());

interface More {
  readonly args?: string[];
  readonly timeout_ms?: number;
  readonly input?: string;
  readonly signal?: AbortSignal;
  readonly env?: Record<string, string>;
}

type Work = <T>(work: () => Promise<T>) => Promise<T>;

/** Does work under two locks. */
async function underLocks<T>(work: () => Promise<T>): Promise<T> {
  const files = createFileLocks(createRunner({ path: '/usr/bin' }));
  const taken = [
    await files.tryLock(join(programs.root, 'one')),
    await files.tryLock(join(programs.root, 'two')),
  ];
  const [one, two] = taken;
  if (!one || !two) throw new Error('the locks of a test are held');
  try {
    return await holding(one, () => holding(two, work));
  } finally {
    await one.release();
    await two.release();
  }
}

/** Whether a process lives; a zombie that nobody has reaped does not. */
function lives(pid: number): boolean {
  if (!existsSync(`/proc/${pid}/stat`)) return false;
  return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
}

async function gone(pid: number): Promise<boolean> {
  for (let tries = 0; tries < 50; tries += 1) {
    if (!lives(pid)) return true;
    await sleep(20);
  }
  return false;
}

describe.each<[string, Work]>([
  ['the runner', (work) => work()],
  ['the runner under locks', underLocks],
])('%s', (_, under) => {
  const run = (program: string, more: More = {}) =>
    under(() =>
      programs.runner.run({ label: `test ${program}`, program, args: [], timeout_ms: 10_000, ...more }),
    );
  const check = (program: string, ok_codes: number[] = []) =>
    under(() =>
      programs.runner.check({ label: `test ${program}`, program, args: [], timeout_ms: 5_000, ok_codes }),
    );

  it('hands over arguments as they are, in a small environment', async () => {
    programs.add('show', 'printf "%s|" "$@"; env | sort');
    const { stdout, exit_code } = await run('show', { args: ['a b', '$(id)', '; rm -rf /', '*', ''] });
    expect(exit_code).toBe(0);
    expect(stdout).toMatch(/^a b\|\$\(id\)\|; rm -rf \/\|\*\|\|/);
    expect(stdout).toContain('LC_ALL=C\n');
    expect(stdout).not.toContain('VITEST');
  });

  it('keeps both streams and any exit code; check makes an error of it', async () => {
    programs.add('fail', 'echo out; echo "the disk is full" >&2; exit 7');
    expect(await run('fail')).toMatchObject({ exit_code: 7, stdout: 'out\n', stderr: 'the disk is full\n' });
    await expect(check('fail')).rejects.toMatchObject({
      code: 'program_failed',
      message: 'test fail failed (exit code 7): the disk is full',
    });
    expect((await check('fail', [7])).exit_code).toBe(7);
  });

  it('gives input, and bears a program that does not read it', async () => {
    programs.add('count', 'wc -c');
    programs.add('deaf', 'exec <&-; exit 3');
    expect((await run('count', { input: 'x'.repeat(200_000) })).stdout.trim()).toBe('200000');
    expect((await run('deaf', { input: 'x'.repeat(2_000_000) })).exit_code).toBe(3);
    expect((await run('count')).stdout.trim()).toBe('0');
  });

  it('caps what it keeps, says so, and still reads the program to its end', async () => {
    programs.add('much', 'head -c 3000000 /dev/zero | tr "\\0" x; echo done >&2');
    const { stdout, stderr, truncated } = await run('much');
    expect(stdout).toHaveLength(64 * 1024);
    expect(stderr).toBe('done\n');
    expect(truncated).toBe(true);
  });

  it('ends the whole group when time is up, and those who ignore SIGTERM too', async () => {
    const pids = join(programs.root, 'pids');
    programs.add('hang', `trap '' TERM; (trap '' TERM; sleep 100) & echo $! $$ > '${pids}'; sleep 100`);
    const started = performance.now();
    await expect(run('hang', { timeout_ms: 300 })).rejects.toMatchObject({
      code: 'program_timeout',
      message: 'test hang did not end within 0.3 s and was killed.',
    });
    expect(performance.now() - started).toBeLessThan(6_000);
    for (const pid of readFileSync(pids, 'utf8').split(' ').map(Number)) expect(await gone(pid)).toBe(true);
  });

  it('ends a program whose caller gives up, and starts none for one who has', async () => {
    const begun = join(programs.root, 'begun');
    programs.add('hang', `touch '${begun}'; sleep 100`);
    const controller = new AbortController();
    const running = run('hang', { signal: controller.signal });
    const looking = setInterval(() => existsSync(begun) && controller.abort(), 10);
    await expect(running).rejects.toMatchObject({
      code: 'program_timeout',
      message: 'test hang was cancelled and was killed.',
    });
    clearInterval(looking);
    await expect(run('hang', { signal: controller.signal })).rejects.toMatchObject({
      code: 'program_timeout',
    });
  });

  it('reads what was written in time, though it was kept from reading for longer', async () => {
    const pid_file = join(programs.root, 'pid');
    programs.add('late', `(sleep 0.15; echo word; exec sleep 30) & echo $$ $! > '${pid_file}'`);
    const running = run('late');
    const pids = () => readFileSync(pid_file, 'utf8').split(' ').map(Number) as [number, number];
    // Between what lies in pipes and the timers, as when an answer is put together for long.
    const isReaped = () => {
      try {
        return existsSync(pid_file) && pids().length === 2 && !process.kill(pids()[0], 0);
      } catch {
        return true;
      }
    };
    const watch = () => {
      if (!isReaped()) setImmediate(watch);
      else for (const end = performance.now() + 1_500; performance.now() < end; );
    };
    setImmediate(watch);
    expect((await running).stdout).toBe('word\n');
    process.kill(pids()[1]);
  });

  it('does not wait for a daemon that the program leaves behind, and leaves it alone', async () => {
    const pid_file = join(programs.root, 'pid');
    programs.add('leave', `sleep 30 & echo $! > '${pid_file}'; echo started`);
    const started = performance.now();
    expect((await run('leave')).stdout).toBe('started\n');
    expect(performance.now() - started).toBeLessThan(5_000);
    const pid = Number(readFileSync(pid_file, 'utf8'));
    expect(lives(pid)).toBe(true);
    process.kill(pid);
  });

  it('tells what is not installed, not to be executed, or was ended by a signal', async () => {
    await expect(run('nosuch')).rejects.toMatchObject({ code: 'program_missing' });
    programs.add('plain', 'exit 0');
    writeFileSync(join(programs.root, 'bin', 'noexec'), 'x', { mode: 0o644 });
    await expect(run('noexec')).rejects.toMatchObject({ code: 'program_missing' });
    programs.add('suicide', 'kill -9 $$');
    await expect(run('suicide')).rejects.toMatchObject({
      code: 'program_failed',
      message: 'test suicide was ended by SIGKILL.',
    });
  });

  it('tells an exit code that a shell would mean something by from what it means', async () => {
    programs.add('code', 'exit "$1"');
    for (const code of [126, 127, 137, 143])
      expect((await run('code', { args: [String(code)] })).exit_code).toBe(code);
    programs.add('terminated', 'kill -TERM $$');
    await expect(run('terminated')).rejects.toMatchObject({
      message: 'test terminated was ended by SIGTERM.',
    });
    await expect(run('nosuch', { env: { PATH: programs.root } })).rejects.toMatchObject({
      code: 'program_missing',
      message: 'test nosuch cannot be run: nosuch is not installed, or not to be executed.',
    });
  });

  it('gives a program no file but its three, and no word that a shell takes for its own', async () => {
    programs.add('exec', 'for at in /proc/$$/fd/*; do readlink "$at"; done; printf "%s\\n" "$@"');
    const { stdout } = await run('exec', { args: ['-c', 'a b', '$x', '3'] });
    expect(stdout.split('\n').slice(-5)).toEqual(['-c', 'a b', '$x', '3', '']);
    expect(stdout).not.toMatch(new RegExp(`${programs.root}/(one|two)$`, 'm'));
  });

  it('speaks with a program, and tells one that is not there', async () => {
    programs.add('echoing', 'cat; echo "that is all" >&2; exit 3');
    const spoken = await under(async () => {
      const dialogue = programs.runner.converse({ label: 'test', program: 'echoing', args: [] });
      dialogue.input.write('hello\n');
      const [heard] = await once(dialogue.output, 'data');
      return { heard: String(heard), end: await dialogue.close(5_000) };
    });
    expect(spoken).toEqual({ heard: 'hello\n', end: { exit: 3, last_words: 'that is all' } });
    const missing = await under(() =>
      programs.runner.converse({ label: 'test', program: 'nosuch', args: [] }).close(5_000),
    );
    expect(missing.exit).toBe('not started');
    programs.add('deaf', "trap '' TERM; exec <&-; sleep 60");
    const deaf = await under(() =>
      programs.runner.converse({ label: 'test', program: 'deaf', args: [] }).close(300),
    );
    expect(deaf.exit).toBe('SIGKILL');
  });

  it('makes one printable line of last words', () => {
    expect(lastWords({ stdout: '', stderr: '' })).toBe('it said nothing');
    expect(lastWords({ stdout: 'a', stderr: 'b\n\x1b[31mc\x07\n\n' })).toBe('[31mc');
    expect(lastWords({ stdout: '', stderr: 'x'.repeat(500) })).toHaveLength(203);
  });
});
