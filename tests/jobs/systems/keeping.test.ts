// How long old systems stay, what they go for, and what stands in the way of an exchange.
import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { vpsOf } from '../plan-harness.ts';
import { makeSystemsSite } from './site.ts';

const HOUR_S = 3_600;
const vps = vpsOf('01');
const start = Date.parse('2026-11-22T02:00:00Z');
/** The node has been up for so many hours since the first test's begin; the wall clock says so, too. */
const at = (hours: number) => {
  site.clock.uptime_s = 1_000_000 + hours * HOUR_S;
  return () => new Date(start + hours * HOUR_S * 1000);
};

let site: ReturnType<typeof makeSystemsSite>;
beforeEach(() => {
  site = makeSystemsSite();
});
afterEach(() => site.clean());

/** A VPS that was reinstalled: `approve` is the last thing that was done of it where it is not `settled`. */
async function reinstalled(of = vps, settled = true): Promise<void> {
  site.put(of, 'old root');
  await site.configure(of, '# old config');
  const systems = site.systems();
  await systems.begin(of, 'vbd', await systems.choose(of, 'vbd'));
  site.put(of, 'new root', '.new');
  await systems.approve(of, {
    type: 'vbd',
    config: { text: '# new config', mode: 0o644, autostart: true },
    job: 'a',
  });
  if (settled) await systems.settle(of);
}

/** Says that an old system is kept since some time. */
function keptSince(of: typeof vps, hours: number): void {
  const noted = JSON.parse(readFileSync(site.record(of, 'old'), 'utf8')) as object;
  writeFileSync(site.record(of, 'old'), JSON.stringify({ ...noted, since_s: hours * HOUR_S }));
}
const oldThere = (of = vps) => existsSync(join(site.folder, 'mnt', `${of.name}.old.img`));

describe('an old system', () => {
  it('goes when its hours are over, and then says so', async () => {
    await reinstalled();
    keptSince(vps, 0);
    await site.keeper(at(23.9)).tidy();
    expect(oldThere()).toBe(true);
    await site.keeper(at(24)).tidy();
    expect(oldThere()).toBe(false);
    await expect(site.systems().rollback(vps)).rejects.toMatchObject({
      code: 'not_found',
      message:
        'xen01 cannot be rolled back: it has no old system; the last one was deleted on 2026-11-23T02:00:00.000Z: its time was over (reinstall_keep_hours = 24).',
    });
  });

  it.each([
    'its root is a disk with nothing on it',
    'it has no configuration, as after a reinstall in place that failed',
  ])('stays where it is the only whole one: %s', async (why) => {
    await reinstalled();
    keptSince(vps, 0);
    if (why.startsWith('its root')) site.put(vps, '');
    else await site.configure(vps, undefined);
    await site.keeper(at(1_000)).tidy();
    expect(oldThere()).toBe(true);
    const systems = site.systems({ free_bytes: () => 0 });
    await systems.makeRoom('vbd', 1, vpsOf('02'));
    expect(oldThere()).toBe(true);
    await systems.rollback(vps);
    expect(site.look(vps)).toMatchObject({ roots: { 'xen01.img': 'old root' }, config: '# old config' });
  });

  it('that is a disk with nothing on it is no system: rollbackVPSos does not put it in the place of one', async () => {
    await reinstalled();
    site.put(vps, '', '.old');
    const before = site.look(vps);
    await expect(site.systems().rollback(vps)).rejects.toMatchObject({
      code: 'not_found',
      message: expect.stringMatching(
        /^xen01 cannot be rolled back: there is nothing that blkid knows on \S+xen01\.old\.img, .*Nothing was touched\.$/,
      ),
    });
    expect(site.look(vps)).toEqual(before);
    await site.keeper(at(0)).tidy();
    await site.keeper(at(24)).tidy();
    expect(oldThere()).toBe(false);
  });

  it('that nobody noted is kept from when it is found', async () => {
    await reinstalled();
    rmSync(site.record(vps, 'old'));
    await site.keeper(at(0)).tidy();
    await site.keeper(at(23)).tidy();
    expect(oldThere()).toBe(true);
    await site.keeper(at(24)).tidy();
    expect(oldThere()).toBe(false);
  });

  it('stays while somebody is at work on its VPS', async () => {
    await reinstalled();
    keptSince(vps, 0);
    const lock = await site.locks.acquire(vps, 'a test');
    await site.keeper(at(30)).tidy();
    expect(oldThere()).toBe(true);
    await lock.release();
    await site.keeper(at(30)).tidy();
    expect(oldThere()).toBe(false);
  });

  it('is never had: rollbackVPSos says so', async () => {
    site.put(vps, 'old root');
    await expect(site.systems().rollback(vps)).rejects.toMatchObject({
      code: 'not_found',
      message: 'xen01 cannot be rolled back: it has no old system; it has never had one.',
    });
  });

  it('makes room for others, the oldest first, and no more than are needed', async () => {
    const [a, b, c] = [vpsOf('11'), vpsOf('12'), vpsOf('13')];
    for (const [of, hours] of [
      [a, 3],
      [b, 1],
      [c, 2],
    ] as const) {
      await reinstalled(of);
      keptSince(of, hours);
    }
    at(4);
    const size = statSync(join(site.folder, 'mnt/xen11.old.img')).size;
    const systems = site.systems({ free_bytes: () => [a, b, c].filter((of) => !oldThere(of)).length * size });
    await systems.makeRoom('vbd', 4 * size, vps);
    expect([a, b, c].map(oldThere)).toEqual([true, true, true]);
    await systems.makeRoom('vbd', 2 * size, vps);
    expect([a, b, c].map(oldThere)).toEqual([true, false, false]);
    await systems.makeRoom('vbd', 2 * size, vps);
    expect([a, b, c].map(oldThere)).toEqual([true, false, false]);
  });
});

describe('how a reinstall is done', () => {
  const choose = (settings: string, free_bytes: number) => {
    site.clean();
    site = makeSystemsSite(settings);
    site.put(vps, 'x'.repeat(8 * 1024 * 1024));
    return site
      .configure(vps, '# old config')
      .then(() => site.systems({ free_bytes: () => free_bytes }).choose(vps, 'vbd'));
  };
  const MIB = 1024 * 1024;

  it.each([
    ['auto', 8 * MIB, { mode: 'swap', old_goes_first: false }],
    [
      'auto',
      7 * MIB,
      { mode: 'in-place', told: expect.stringMatching(/8 MB has no room: 7 MB .* cannot be undone\.$/) },
    ],
    ['swap', 8 * MIB, { mode: 'swap', told: expect.stringMatching(/stays for 24 h: rollbackVPSos/) }],
    ['in-place', 80 * MIB, { mode: 'in-place', told: expect.stringMatching(/cannot be undone\.$/) }],
  ])('reinstall_mode=%s with %i bytes free', async (mode, free, expected) => {
    expect(await choose(`reinstall_mode=${mode}`, free)).toMatchObject(expected);
  });

  it('is refused with reinstall_mode=swap where there is no room', async () => {
    await expect(choose('reinstall_mode=swap', 7 * MIB)).rejects.toMatchObject({
      code: 'no_space',
      message: expect.stringMatching(
        /^xen01 cannot be reinstalled: .* 7 MB are free, and reinstall_mode is swap/,
      ),
    });
  });

  it('takes the room of the old system of an earlier reinstall', async () => {
    await choose('', 7 * MIB);
    site.put(vps, 'x'.repeat(1 * MIB), '.old');
    const systems = site.systems({ free_bytes: () => 7 * MIB });
    const choice = await systems.choose(vps, 'vbd');
    expect(choice).toMatchObject({ mode: 'swap', old_goes_first: true });
    await systems.begin(vps, 'vbd', choice);
    expect(oldThere()).toBe(false);
  });
});

describe('where removed disks are overwritten before their room is given to others', () => {
  const MIB = 1024 * 1024;
  const withRoom = (free_bytes: number, waiting_bytes: number) =>
    site.systems({ free_bytes: () => free_bytes, waiting_bytes: () => waiting_bytes });

  it.each(['auto', 'swap'])(
    'a reinstall with reinstall_mode=%s waits for room that is on its way',
    async (mode) => {
      site.clean();
      site = makeSystemsSite(`reinstall_mode=${mode}`);
      site.put(vps, 'x'.repeat(8 * MIB));
      await site.configure(vps, '# old config');
      await expect(withRoom(3 * MIB, 6 * MIB).choose(vps, 'vbd')).rejects.toMatchObject({
        code: 'no_space',
        message:
          'xen01 cannot be reinstalled yet: A second root disk of 8 MB has no room: 3 MB are free. The room is there in 5 s: 6 MB of removed disks are overwritten at full speed now. Call again then. Nothing was touched.',
      });
      const never = withRoom(3 * MIB, 4 * MIB).choose(vps, 'vbd');
      if (mode === 'auto') expect(await never).toMatchObject({ mode: 'in-place' });
      else await expect(never).rejects.toMatchObject({ code: 'no_space' });
    },
  );

  it('an old system that has to go first gives its disk to the new one, which is the same customer’s', async () => {
    await reinstalled();
    const choice = await withRoom(0, 0).choose(vps, 'vbd');
    expect(choice).toMatchObject({ mode: 'swap', old_goes_first: true });
    const disk = await withRoom(0, 0).begin(vps, 'vbd', choice);
    expect(disk.path).toMatch(/\/xen01\.new\.img$/);
    expect(site.look(vps).roots).toEqual({ 'xen01.img': 'new root', 'xen01.new.img': 'old root' });
    await expect(site.systems().rollback(vps)).rejects.toThrow(
      /deleted on .*: another reinstall needed its room/,
    );
    await site.keeper().recover();
    expect(site.look(vps).roots).toEqual({ 'xen01.img': 'new root' });
  });

  it('an old system of another size does not', async () => {
    await reinstalled();
    site.put(vps, 'x'.repeat(8 * MIB), '.old');
    expect(await withRoom(0, 0).choose(vps, 'vbd')).toMatchObject({ mode: 'in-place' });
    expect(await withRoom(8 * MIB, 0).choose(vps, 'vbd')).toMatchObject({ old_goes_first: false });
  });

  it('old systems make room for others only as far as more than what waits is wanted', async () => {
    await reinstalled(vpsOf('11'));
    const size = statSync(join(site.folder, 'mnt/xen11.old.img')).size;
    await withRoom(size, 2 * size).makeRoom('vbd', 3 * size, vps);
    expect(oldThere(vpsOf('11'))).toBe(true);
    let waiting_bytes = size;
    const systems = site.systems({
      free_bytes: () => 0,
      waiting_bytes: () => waiting_bytes,
      onCall: (name) => {
        if (name === 'removeRoot') waiting_bytes += size;
      },
    });
    await systems.makeRoom('vbd', 2 * size, vps);
    expect(oldThere(vpsOf('11'))).toBe(false);
  });
});

describe('an approved system', () => {
  const guest = { name: 'xen01', domid: 3, memory_mib: 512, vcpus: 1, state: '-b----', cpu_seconds: 1 };

  it('waits while the old one runs, and takes its place when that has stopped', async () => {
    await reinstalled(vps, false);
    const before = site.look(vps);
    site.domains.push(guest);
    await site.keeper().recover();
    await expect(site.systems().settle(vps)).rejects.toMatchObject({ code: 'vps_running' });
    expect(site.look(vps)).toEqual(before);
    site.domains.pop();
    await site.keeper().recover();
    expect(site.look(vps)).toMatchObject({ config: '# new config', unfinished: false });
  });

  it('whose disks have their names, though maybe not on the disk yet, is forgotten only after a flush', async () => {
    await reinstalled(vps, false);
    const record = site.record(vps, 'names');
    const noted = readFileSync(record);
    await site.systems().settle(vps);
    writeFileSync(record, noted);
    const flushes: boolean[] = [];
    const onCall = (name: string) => {
      if (name === 'flush') flushes.push(existsSync(record));
    };
    await site.systems({ onCall }).settle(vps);
    expect(flushes).toEqual([true]);
    expect(existsSync(record)).toBe(false);
  });

  it('whose disk somebody removed leaves the old one what it was', async () => {
    await reinstalled(vps, false);
    rmSync(join(site.folder, 'mnt/xen01.new.img'));
    expect(await site.systems().settle(vps)).toMatch(/is gone, and the old one stays/);
    expect(site.look(vps)).toEqual({
      ...{ roots: { 'xen01.img': 'old root' }, config: '# old config' },
      ...{ autostart: true, unfinished: false },
    });
  });

  it('whose disk somebody removed leaves the old one, and the one before it, which was to go for it', async () => {
    await reinstalled(vps);
    const systems = site.systems();
    await systems.begin(vps, 'vbd', await systems.choose(vps, 'vbd'));
    site.put(vps, 'third root', '.new');
    const config = { text: '# third config', mode: 0o644, autostart: true };
    await systems.approve(vps, { type: 'vbd', config, job: 'b' });
    rmSync(join(site.folder, 'mnt/xen01.new.img'));
    expect(await site.systems().settle(vps)).toMatch(/is gone, and the old one stays/);
    expect(site.look(vps)).toEqual({
      ...{ roots: { 'xen01.img': 'new root', 'xen01.old.img': 'old root' }, config: '# new config' },
      ...{ autostart: true, unfinished: false },
    });
    await site.systems().rollback(vps);
    expect(site.look(vps)).toMatchObject({
      ...{ roots: { 'xen01.img': 'old root', 'xen01.old.img': 'new root' }, config: '# old config' },
    });
  });

  it('does not push away a disk that nobody knows', async () => {
    await reinstalled(vps, false);
    site.put(vps, 'a stranger', '.old');
    await expect(site.systems().settle(vps)).rejects.toMatchObject({
      code: 'program_failed',
      message: expect.stringMatching(
        /its disk in the role old is one that nobody knows \(a copy is another disk, too\); rename or remove it by hand/,
      ),
    });
    expect(site.look(vps).roots).toMatchObject({ 'xen01.img': 'old root', 'xen01.old.img': 'a stranger' });
    rmSync(join(site.folder, 'mnt/xen01.old.img'));
    await site.systems().settle(vps);
    expect(site.look(vps).roots).toEqual({ 'xen01.img': 'new root', 'xen01.old.img': 'old root' });
  });

  it('is told of where its record is damaged, and nothing is touched', async () => {
    await reinstalled(vps, false);
    writeFileSync(site.record(vps, 'names'), '{"phase":');
    await expect(site.systems().settle(vps)).rejects.toThrow(/names\.json is damaged; look which/);
    await site.keeper().recover();
    expect(site.look(vps).roots).toEqual({ 'xen01.img': 'old root', 'xen01.new.img': 'new root' });
  });
});
