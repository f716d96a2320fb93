import { execFile, execFileSync, spawn } from 'node:child_process';
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createNightlyRefresh, nightlyTime } from '../../src/base/nightly.ts';
import { createRunner } from '../../src/drivers/run.ts';
import { PROGRAM_PATH } from '../jobs/plan-harness.ts';
import { type House, makeHouse } from './house.ts';

const MAIN = resolve(import.meta.dirname, '../../src/main.ts');
const KEY = /trixie-[0-9a-f]{16}/;

let house: House;
let config: string;
beforeEach(() => {
  house = makeHouse();
  config = join(house.home, 'dtc-xen.conf');
  const folders = {
    state_dir: 'state',
    run_dir: 'run',
    scripts_dir: 'scripts',
    provisioning_mount_point: 'mnt',
  };
  const lines = Object.entries(folders).map(([key, name]) => `${key}=${join(house.home, name)}\n`);
  writeFileSync(
    config,
    `${lines.join('')}program_path=${PROGRAM_PATH}\ndebian_repo=http://mirror.test/debian\n`,
  );
});
afterEach(() => house.clean());

const argv = (...words: string[]) => [
  '--import',
  import.meta.resolve('tsx'),
  MAIN,
  'base',
  ...words,
  '--config',
  config,
];
function base(...words: string[]): Promise<{ code: number; out: string; said: string }> {
  return new Promise((done) => {
    execFile(process.execPath, argv(...words), (error, out, said) =>
      done({ code: error ? Number(error.code) : 0, out, said }),
    );
  });
}

function running(word: string): string[] {
  const pids = readdirSync('/proc').filter((name) => /^[0-9]+$/.test(name) && Number(name) !== process.pid);
  return pids.filter((pid) => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes(word);
    } catch (error) {
      if (['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) return false;
      throw error;
    }
  });
}

describe('dtc-xen base', () => {
  it('shows, refreshes and drops', async () => {
    expect(await base('list')).toMatchObject({
      code: 0,
      out: 'There is no base; the first reinstall makes one.\n',
    });
    const refreshed = await base('refresh');
    expect(refreshed).toMatchObject({ code: 0, out: '' });
    expect(refreshed.said).toMatch(
      /^base trixie-[0-9a-f]{16}: being made\n[\s\S]*: made in [0-9.]+ s, [0-9]+ MiB\n$/,
    );
    const { out } = await base('list');
    expect(out).toMatch(
      /^trixie-[0-9a-f]{16} {2}20[0-9T:-]+Z {2}[0-9]+ MiB {2}trixie [a-z0-9]+ by mmdebstrap [0-9][^ ]*\n$/,
    );
    expect((await base('drop', KEY.exec(out)?.[0] ?? '')).code).toBe(0);
    expect(house.files()).toEqual([]);
    expect(await base('drop', 'trixie-0123456789abcdef')).toMatchObject({ code: 1, out: '' });
    expect(await base('mend')).toMatchObject({ code: 2, out: '' });
  });

  it('killed with -9 in the making, leaves no base and no process, and the next one makes it', async () => {
    writeFileSync(join(house.home, 'wait'), '');
    const making = spawn(process.execPath, argv('refresh'), { stdio: 'ignore' });
    const ended = new Promise((done) => making.once('close', done));
    while (house.made() === 0) await sleep(20);
    making.kill('SIGKILL');
    await ended;
    for (let tries = 0; running(house.home).length > 0 && tries < 100; tries += 1) await sleep(20);
    expect(running(house.home)).toEqual([]);
    expect(house.files().map((name) => name.replace(KEY, 'KEY'))).toEqual(['.making-KEY']);
    expect(await house.keeper().list()).toEqual([]);
    rmSync(join(house.home, 'wait'));
    expect((await base('refresh')).code).toBe(0);
    expect(await house.keeper().list()).toHaveLength(1);
    expect(house.files().filter((name) => name.startsWith('.making'))).toEqual([]);
    expect(execFileSync('findmnt', ['-rno', 'TARGET']).toString()).not.toContain(house.home);
  });
});

describe('the nightly refresh', () => {
  it('is at night, and nodes have minutes of their own', () => {
    const times = Array.from({ length: 500 }, (_, i) => nightlyTime(`node${i}.example.com`));
    expect(new Set(times).size).toBeGreaterThan(150);
    for (const time of times) expect(time).toMatch(/^[0-5]?[0-9] [1-4] \* \* \*$/);
    expect(nightlyTime('node1.example.com')).toBe(times[1]);
  });

  it('runs a process that gives way to all others, once at a time, and ends it when the daemon ends', async () => {
    const program = join(house.home, 'agent');
    writeFileSync(program, `#!/bin/sh\necho "$(nice) $*" >>${house.home}/called\nsleep 100\n`, {
      mode: 0o755,
    });
    const ends: unknown[] = [];
    const nightly = createNightlyRefresh({
      runner: house.runner,
      job_runner: 'detached',
      program_path: PROGRAM_PATH,
      agent: [program, '--config', config],
      onEnd: (end) => ends.push(end),
    });
    const run = nightly.run();
    await nightly.run();
    while (running(`${house.home}/agent`).length === 0) await sleep(20);
    await nightly.stop();
    await run;
    expect(running(program)).toEqual([]);
    expect(readFileSync(join(house.home, 'called'), 'utf8')).toBe(
      `19 --config ${config} base refresh stale\n`,
    );
    expect(ends).toEqual([]);
  });

  it('is a unit of its own where systemd is, which goes on when the daemon ends', async () => {
    const called = join(house.home, 'called');
    writeFileSync(join(house.home, 'systemd-run'), `#!/bin/sh\nprintf '%s\\n' "$@" >${called}\nexit 3\n`, {
      mode: 0o755,
    });
    const program_path = `${house.home}:${PROGRAM_PATH}`;
    const ends: unknown[] = [];
    await createNightlyRefresh({
      runner: createRunner({ path: program_path }),
      job_runner: 'systemd',
      program_path,
      agent: ['/usr/sbin/dtc-xen-agent'],
      onEnd: ({ exit }) => ends.push(exit),
    }).run();
    expect(ends).toEqual([3]);
    const words = readFileSync(called, 'utf8').trim().split('\n');
    expect(words).toEqual(
      expect.arrayContaining(['--wait', '--unit=dtc-xen-base-refresh', '--slice=dtc-xen-jobs.slice']),
    );
    expect(words).toEqual(
      expect.arrayContaining(['NoNewPrivileges=yes', 'TasksMax=1024'].map((word) => `--property=${word}`)),
    );
    const command = words.slice(words.indexOf('--') + 1);
    expect(command).toEqual(['/usr/sbin/dtc-xen-agent', 'base', 'refresh', 'stale']);
  });

  it('tells what went wrong', async () => {
    const ends: unknown[] = [];
    const nightly = createNightlyRefresh({
      runner: house.runner,
      job_runner: 'detached',
      program_path: PROGRAM_PATH,
      agent: ['/bin/ls', '/nowhere'],
      onEnd: (end) => ends.push(end),
    });
    await nightly.run();
    expect(ends).toEqual([{ exit: 2, last_words: expect.stringContaining('No such file') }]);
  });
});
