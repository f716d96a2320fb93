import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseConfig } from '../../src/config/load.ts';
import { parseVpsId, type VpsId } from '../../src/core/vps.ts';
import { lostReboot } from '../../src/core/xl-log.ts';
import { createXl } from '../../src/drivers/xl.ts';
import { createSmallPrograms, type SmallPrograms } from './small-programs.ts';
import { transcript } from './transcript.ts';

const xen01 = parseVpsId('01') as VpsId;
const HEADING = transcript('001').stdout;
const row = (domid: number, state: string, memory = 384) =>
  `${'xen01'.padEnd(40)} ${`${domid}`.padStart(5)} ${`${memory}`.padStart(5)}     1     ${state}       4.0\n`;

let programs: SmallPrograms;
let scripts = 0;
beforeEach(() => {
  programs = createSmallPrograms();
});
afterEach(() => programs.cleanup());

/**
 * An xl whose listing is played from a script: each `xl list` shows the next state, the last one for ever. `change` is
 * what any other subcommand does.
 */
/** Nothing is saved, and no process of xl's lives. */
const CONFIG = parseConfig(
  'job_runner=detached\nproc_dir=/nowhere\nxen_save_dir=/nowhere\nxen_dir=/nowhere\nxen_log_dir=/nowhere',
);

function scriptedXl(states: readonly string[], change = 'exit 0', config = CONFIG) {
  scripts += 1;
  const folder = join(programs.root, `script-${scripts}`);
  mkdirSync(folder);
  states.forEach((state, at) => {
    writeFileSync(join(folder, `list-${at}`), HEADING + state);
  });
  programs.add(
    'xl',
    `cd '${folder}'; echo "$*" >> asked
if [ "$1" = list ]; then
  n=$(cat n 2>/dev/null || echo 0); [ -e "list-$((n + 1))" ] && echo $((n + 1)) > n
  exec cat "list-$n"
fi
${change}`,
  );
  const xl = createXl({
    runner: programs.runner,
    config,
    poll_ms: 10,
    settle_ms: 1_000,
    ask_timeout_ms: 5_000,
    create_timeout_ms: 400,
    shutdown_timeout_ms: 400,
    destroy_timeout_ms: 400,
  });
  const asked = () => readFileSync(join(folder, 'asked'), 'utf8').trim().split('\n');
  return { xl, asked };
}

const failWith = (number: string) => {
  writeFileSync(join(programs.root, 'stderr'), transcript(number).stderr);
  return `cat ../stderr >&2; exit ${transcript(number).exit}`;
};

describe('xl shutdown', () => {
  it('waits through the teardown until the domain is gone', async () => {
    const states = [row(3, '-b----'), row(3, '---s--'), row(3, '--ps--'), row(3, '--psc-'), ''];
    const { xl, asked } = scriptedXl(states);
    await xl.shutdown(xen01, 5_000);
    expect(asked()).toEqual(['list', 'shutdown xen01', 'list', 'list', 'list', 'list']);
  });

  it('does not ask a domain that is going already', async () => {
    const { xl, asked } = scriptedXl([row(3, '--ps--'), row(3, '--ps--'), '']);
    await xl.shutdown(xen01, 5_000);
    expect(asked()).toEqual(['list', 'list', 'list']);
  });

  it('says that the guest is stopping when it does not go in time', async () => {
    const { xl } = scriptedXl([row(3, '-b----')]);
    expect(await xl.shutdown(xen01, 80)).toBe('stopping');
    const [domain] = await xl.list();
    expect(domain && xl.isAskedToStop(domain)).toBe(true);
  });

  it('tells a guest that does not acknowledge, and one that makes xl hang', async () => {
    const { xl } = scriptedXl([row(3, '-b----')], failWith('069'));
    await expect(xl.shutdown(xen01, 5_000)).rejects.toMatchObject({
      code: 'program_failed',
      message: expect.stringMatching(
        /^xen01: xl shutdown failed \(exit code 1\): the guest did not answer.*domain 3/,
      ),
    });
    const hanging = scriptedXl([row(3, '-b----')], 'sleep 60');
    await expect(hanging.xl.shutdown(xen01, 5_000)).rejects.toMatchObject({
      code: 'program_timeout',
      message: expect.stringMatching(
        /^xen01: xl shutdown did not end within 0.4 s and was killed; Xen has xen01/,
      ),
    });
  });

  it('leaves a guest stopped that was lost at its own reboot, before it was asked or while it is waited for', async () => {
    const log = join(programs.root, 'xl-xen01.log');
    for (const states of [[''], [row(3, '-b----'), row(3, '--psr-'), '']]) {
      writeFileSync(log, 'Done. Rebooting now\nlibxl: error: unable to add disk devices\n');
      const { xl } = scriptedXl(states, 'exit 0', { ...CONFIG, xen_log_dir: programs.root });
      const end = await xl.shutdown(xen01, 5_000).catch(({ code }) => code);
      expect(end).toBe(states.length === 1 ? 'vps_not_running' : 'stopped');
      expect(lostReboot(readFileSync(log, 'utf8'))).toBeUndefined();
    }
  });

  it('takes a guest that went by itself for what it is: gone', async () => {
    const { xl } = scriptedXl([row(3, '-b----'), ''], failWith('002'));
    await xl.shutdown(xen01, 5_000);
  });

  it.each([
    ['---sc-', 'crashed'],
    ['---s--', 'preserved'],
  ])('tells a domain that stays as it is (%s)', async (state, phase) => {
    const { xl, asked } = scriptedXl([row(3, state)]);
    await expect(xl.shutdown(xen01, 5_000)).rejects.toMatchObject({
      code: 'program_failed',
      message: `xen01 is down, but its configuration keeps its domain 3 (${phase}); destroy it.`,
    });
    expect(asked()).not.toContain('shutdown xen01');
  });

  it('tells a guest that comes back under a new id, and one that is not there', async () => {
    for (const between of [[], [''], ['', '']]) {
      const back = scriptedXl([row(3, '-b----'), row(3, '--psr-'), ...between, row(4, '--p---', 0)]);
      await expect(back.xl.shutdown(xen01, 5_000)).rejects.toMatchObject({
        message: expect.stringContaining('started again as domain 4'),
      });
    }
    await scriptedXl([row(3, '-b----'), row(3, '--psr-'), '']).xl.shutdown(xen01, 5_000);
    await expect(scriptedXl(['']).xl.shutdown(xen01, 5_000)).rejects.toMatchObject({
      code: 'vps_not_running',
    });
  });
});

describe('xl destroy', () => {
  it('is done when the domain is gone, though xl fails while Xen tears it down (record 209)', async () => {
    const { xl } = scriptedXl([row(2, '--ps--'), row(2, '--ps--'), row(2, '--ps--'), ''], failWith('209'));
    await xl.destroy(xen01, 5_000);
  });

  it('tries again after a destroy that hung, whose domain stays paused', async () => {
    const { xl, asked } = scriptedXl(
      [row(2, '-b----'), row(2, '--p---'), ''],
      '[ "$(grep -c destroy asked)" = 2 ] || exec sleep 60',
    );
    await xl.destroy(xen01, 5_000);
    // The last look is for the domain of a reboot.
    expect(asked()).toEqual(['list', 'destroy xen01', 'list', 'destroy xen01', 'list', 'list']);
  });

  it('goes on with the domain of a reboot that the guest was in, and tells one that comes back again and again', async () => {
    const once = scriptedXl([row(2, '--psr-'), '', row(3, '--p---', 0), row(3, '-b----'), '']);
    await once.xl.destroy(xen01, 5_000);
    expect(once.asked().filter((word) => word === 'destroy xen01')).toHaveLength(2);
    const ever = scriptedXl([2, 3, 4, 5, 6, 7].map((domid) => row(domid, '-b----')));
    await expect(ever.xl.destroy(xen01, 5_000)).rejects.toMatchObject({
      message: expect.stringContaining('was started again as domain'),
    });
    expect(ever.asked().filter((word) => word === 'destroy xen01').length).toBeLessThan(6);
  });

  it('tells a failure where the domain shows no sign of going', async () => {
    const { xl } = scriptedXl([row(2, '-b----')], 'echo "libxl: error: libxl.c:1:f: no" >&2; exit 1');
    await expect(xl.destroy(xen01, 5_000)).rejects.toMatchObject({
      code: 'program_failed',
      message:
        'xen01: xl destroy failed (exit code 1): xl says: no; Xen has xen01 as domain 2, state -b---- (running).',
    });
  });
});

describe('xl create', () => {
  it('hands over the file, and looks whether the domain is there', async () => {
    const { xl, asked } = scriptedXl([row(8, '------')]);
    await xl.create(xen01, '/etc/xen/xen01');
    expect(asked()).toEqual(['create /etc/xen/xen01', 'list']);
  });

  it('does not believe exit code 0 alone', async () => {
    const { xl } = scriptedXl(['']);
    await expect(xl.create(xen01, '/etc/xen/xen01')).rejects.toThrow(
      /xl create reported success, but Xen has no such domain/,
    );
  });

  it('tells why it failed and what is there', async () => {
    const { xl } = scriptedXl([''], failWith('051'));
    await expect(xl.create(xen01, '/etc/xen/xen01')).rejects.toMatchObject({
      code: 'program_failed',
      message:
        'xen01: xl create failed (exit code 3): its disk xvda is missing: there is no /dev/vg0/nosuch; Xen has no domain xen01 now.',
    });
  });

  it('is vps_running where there is a domain after all', async () => {
    const { xl } = scriptedXl([row(8, 'r-----')], failWith('074'));
    await expect(xl.create(xen01, '/etc/xen/xen01')).rejects.toMatchObject({ code: 'vps_running' });
  });

  it('looks again after a timeout', async () => {
    const { xl } = scriptedXl([row(9, '--p---', 0)], 'sleep 60');
    await expect(xl.create(xen01, '/etc/xen/xen01')).rejects.toMatchObject({
      code: 'program_timeout',
      message: expect.stringContaining('Xen has xen01 as domain 9, state --p--- (building)'),
    });
  });
});

describe('xl', () => {
  it('is never handed a name that is not of a VPS', async () => {
    const { xl } = scriptedXl(['']);
    for (const name of ['0', 'Domain-0', '-a', 'xen01 0', 'xen', 'xen01\n']) {
      await expect(xl.create({ number: '0', name }, '/etc/xen/x')).rejects.toThrowError(
        'not the name of a VPS',
      );
      await expect(xl.destroy({ number: '0', name }, 100)).rejects.toThrowError('not the name of a VPS');
    }
  });

  it('tells an xl that is not there, prints nonsense, fails, or hangs', async () => {
    const bare = createSmallPrograms('');
    const ask = (poll = 300) =>
      createXl({ runner: bare.runner, config: CONFIG, ask_timeout_ms: poll }).list();
    try {
      await expect(ask()).rejects.toMatchObject({ code: 'program_missing' });
      bare.add('xl', 'echo "Segmentation fault"');
      await expect(ask()).rejects.toMatchObject({ code: 'program_output' });
      bare.add('xl', 'printf "%s\\n" "cannot init xl context" >&2; exit 1');
      await expect(ask()).rejects.toMatchObject({ code: 'program_failed' });
      bare.add('xl', 'while :; do printf "%s" aaaaaaaaaaaaaaaaaaaaaaaaa; done');
      await expect(ask()).rejects.toMatchObject({ code: 'program_timeout' });
    } finally {
      bare.cleanup();
    }
  });
});
