// What is left of a restore that was cut off at any instant: the guest never runs while its old memory lies there.
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { AgentError } from '../../src/core/errors.ts';
import { type Domain, parseVpsId, type VpsId } from '../../src/core/vps.ts';
import { createSavedGuests } from '../../src/drivers/saved-guests.ts';
import { createXlSaved } from '../../src/drivers/xl-saved.ts';

const xen01 = parseVpsId('01') as VpsId;
const there = (state: string): Domain => ({
  ...{ name: 'xen01', domid: 4, memory_mib: 64, vcpus: 1, cpu_seconds: 1 },
  state,
});

let folder: string;
let domain: Domain | undefined;
let calls: string[];
/** The call that fails, or the one that the process dies at: before it, or when it is done. */
let fails: string | undefined;
let dies: string | undefined;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'saved-'));
  mkdirSync(join(folder, 'log'));
  [domain, calls, fails, dies] = [undefined, [], undefined, undefined];
});
afterEach(() => {
  vi.useRealTimers();
  rmSync(folder, { recursive: true });
});

class Death extends Error {}
const put = (name: string) => writeFileSync(join(folder, name), 'memory');
const files = () =>
  readdirSync(folder)
    .filter((name) => name !== 'log')
    .sort();

function make() {
  return createXlSaved({
    saved: createSavedGuests({ xen_save_dir: folder, xen_log_dir: join(folder, 'log') }),
    find: async () => domain,
    async change(_vps, command, args) {
      calls.push([command, ...args].join(' '));
      if (dies === `before ${command}`) throw new Death();
      if (command === fails) {
        return { there: domain, failure: new AgentError('program_failed', `xl ${command} failed`) };
      }
      if (command === 'restore') domain = there('--p---');
      if (command === 'unpause') {
        expect(files(), 'the guest runs beside its old memory').not.toContain('xen01');
        expect(files()).not.toContain('.xen01.restoring');
        domain = there('-b----');
      }
      if (command === 'destroy') domain = undefined;
      if (dies === `after ${command}`) throw new Death();
      return { there: undefined, failure: undefined };
    },
    restore_timeout_ms: 1,
    destroy_timeout_ms: 1,
  });
}

it('restores paused, takes the name of the memory away, and only then lets the guest run', async () => {
  put('xen01');
  await make().restore(xen01);
  expect(calls).toEqual([`restore -p ${join(folder, '.xen01.restoring')}`, 'unpause xen01']);
  expect(files()).toEqual([]);
  await expect(make().restore(xen01)).rejects.toMatchObject({ code: 'vps_not_running' });
});

describe('a restore that dies', () => {
  /** What is left after the death is looked after, as the daemon does twice a minute. */
  async function die(at: string) {
    vi.useFakeTimers({ toFake: ['performance'] });
    put('xen01');
    dies = at;
    await expect(make().restore(xen01)).rejects.toThrow(Death);
    dies = undefined;
    const next = make();
    expect((await next.savedVpses()).map(({ name }) => name)).toEqual(['xen01']);
    const told = [...(await next.tidySaved(xen01))];
    vi.advanceTimersByTime(30_000);
    told.push(...(await next.tidySaved(xen01)));
    return told;
  }

  it('before xl: the memory has its name again', async () => {
    expect(await die('before restore')).toEqual([expect.stringMatching(/its saved memory is there again/)]);
    expect([domain, files()]).toEqual([undefined, ['xen01']]);
  });

  it('after xl: the domain, which never ran, goes, and the memory has its name again', async () => {
    expect(await die('after restore')).toEqual([expect.stringMatching(/its saved memory is there again/)]);
    expect([domain, files()]).toEqual([undefined, ['xen01']]);
  });

  it('before the guest runs: it runs', async () => {
    expect(await die('before unpause')).toEqual([expect.stringMatching(/restored and still paused/)]);
    expect([domain?.state, files()]).toEqual(['-b----', []]);
  });

  it('when the guest runs: nothing is left', async () => {
    expect(await die('after unpause')).toEqual([]);
    expect([domain?.state, files()]).toEqual(['-b----', []]);
  });

  it('before the guest runs, and the power goes: its memory is nothing any more, as if the plug had been pulled', async () => {
    put('.xen01.resuming');
    await make().tidySaved(xen01);
    expect(files()).toEqual([]);
  });
});

it("a restore that fails beside another's domain leaves that one alone; its memory is set aside when it runs", async () => {
  put('xen01');
  domain = there('-b----');
  fails = 'restore';
  await expect(make().restore(xen01)).rejects.toThrow('xl restore failed');
  expect(await make().tidySaved(xen01)).toEqual([
    expect.stringMatching(/left-behind now, and may be deleted/),
  ]);
  expect(files()).toEqual(['.xen01.left-behind']);
  expect(calls).toHaveLength(1);
});

it('a restore that failed while the clock was years behind leaves memory to go on from, whatever is left of the log', async () => {
  writeFileSync(join(folder, 'log/xl-xen01.log'), 'Waiting for domain xen01 (domid 3) to die [pid 5002]\n');
  put('xen01');
  fails = 'restore';
  vi.useFakeTimers({ toFake: ['Date'], now: 60_000 });
  await expect(make().restore(xen01)).rejects.toThrow('xl restore failed');
  vi.useRealTimers();
  expect(await make().tidySaved(xen01)).toEqual([]);
  expect(files()).toEqual(['xen01']);
});

it('memory that lies beside a guest that runs is set aside, after a minute; xendomains deletes it at once', async () => {
  vi.useFakeTimers({ toFake: ['performance'] });
  put('xen01');
  domain = there('-b----');
  const saved = make();
  for (let looks = 0; looks < 2; looks += 1) {
    expect(await saved.tidySaved(xen01)).toEqual([]);
    vi.advanceTimersByTime(30_000);
  }
  expect(existsSync(join(folder, 'xen01'))).toBe(true);
  expect(await saved.tidySaved(xen01)).toHaveLength(1);
  expect(files()).toEqual(['.xen01.left-behind']);
});

describe('memory that somebody has started the guest past, as xendomains does after a restore that failed', () => {
  const startGuest = async () => {
    await sleep(20);
    rmSync(join(folder, 'log/xl-xen01.log'), { force: true });
    writeFileSync(join(folder, 'log/xl-xen01.log'), 'Waiting for domain xen01 (domid 3) to die [pid 1200]\n');
  };

  it('is nothing to go on from: the guest may have run for a moment only, and is set aside', async () => {
    put('xen01');
    await startGuest();
    await expect(make().restore(xen01)).rejects.toMatchObject({ code: 'vps_not_running' });
    expect(calls).toEqual([]);
    expect(await make().tidySaved(xen01)).toEqual([expect.stringMatching(/started anew.*left-behind/)]);
    expect(files()).toEqual(['.xen01.left-behind']);
  });

  it('is known by what was seen before the start, whatever the clock says then', async () => {
    put('xen01');
    const ahead = new Date(Date.now() + 86_400_000);
    utimesSync(join(folder, 'xen01'), ahead, ahead);
    const daemon = make();
    expect(await daemon.tidySaved(xen01)).toEqual([]);
    await startGuest();
    for (let times = 0; times < 2; times += 1)
      await expect(daemon.restore(xen01)).rejects.toMatchObject({ code: 'vps_not_running' });
    expect(await daemon.tidySaved(xen01)).toHaveLength(1);
    expect(files()).toEqual(['.xen01.left-behind']);
  });

  it('is not what a clock makes of it that was set back before the guest was saved: its log ends with the save', async () => {
    await startGuest();
    const log = join(folder, 'log/xl-xen01.log');
    const back = (ms: number) => new Date(Date.now() - 86_400_000 + ms);
    appendFileSync(
      log,
      'Domain 3 has shut down, reason code 2 0x2\nDomain has suspended.\nContinue waiting for domain 3\nDomain 3 has been destroyed.\n',
    );
    utimesSync(log, back(900), back(900));
    put('xen01');
    utimesSync(join(folder, 'xen01'), back(0), back(0));
    expect(await make().tidySaved(xen01)).toEqual([]);
    // Saved elsewhere later, and the memory from before still lies here: by that clock, or by one that was never set.
    utimesSync(log, back(180_000), back(180_000));
    expect(await make().tidySaved(xen01)).toEqual([expect.stringMatching(/started anew/)]);
    expect(files()).toEqual(['.xen01.left-behind']);
    renameSync(join(folder, '.xen01.left-behind'), join(folder, 'xen01'));
    utimesSync(log, new Date(Date.now() + 60_000), new Date(Date.now() + 60_000));
    expect(await make().tidySaved(xen01)).toEqual([expect.stringMatching(/started anew/)]);
    expect(files()).toEqual(['.xen01.left-behind']);
  });

  it('is what it was where the start was before it, is no start, or was one of ours that never ran', async () => {
    await startGuest();
    await sleep(20);
    put('xen01');
    expect(await make().tidySaved(xen01)).toEqual([]);
    await sleep(20);
    rmSync(join(folder, 'log/xl-xen01.log'));
    writeFileSync(join(folder, 'log/xl-xen01.log'), '');
    expect(await make().tidySaved(xen01)).toEqual([]);
    dies = 'after restore';
    await expect(make().restore(xen01)).rejects.toThrow(Death);
    await startGuest();
    [domain, dies] = [undefined, undefined];
    expect(await make().tidySaved(xen01)).toEqual([expect.stringMatching(/is there again/)]);
    await make().restore(xen01);
    expect(files()).toEqual([]);
  });
});

it('destroyVPS lets go of it in whatever stage', async () => {
  for (const name of ['xen01', '.xen01.restoring', '.xen01.resuming', 'xen011']) put(name);
  await make().forgetSaved(xen01);
  expect(files()).toEqual(['xen011']);
});
