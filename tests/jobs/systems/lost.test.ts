// Ways in which a customer's system was lost, each as it happened.
import { execFileSync, spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { AgentError } from '../../../src/core/errors.ts';
import { vpsOf } from '../plan-harness.ts';
import { Death, makeSystemsSite } from './site.ts';

const vps = vpsOf('01');
const guest = { name: 'xen01', domid: 3, memory_mib: 512, vcpus: 1, state: '-b----', cpu_seconds: 1 };
const HOUR_S = 3_600;

let site: ReturnType<typeof makeSystemsSite>;
let gone_hours = 0;
beforeEach(() => {
  gone_hours = 0;
  site = makeSystemsSite();
});
afterEach(() => site.clean());

/** Hours go by, on the node's clock and on the wall's. */
function hoursGoBy(hours: number): () => Date {
  gone_hours += hours;
  site.clock.uptime_s += hours * HOUR_S;
  const now = new Date(Date.now() + gone_hours * HOUR_S * 1000);
  return () => now;
}

/** A reinstall up to the point where its new system is whole. */
async function approve(name = 'new'): Promise<void> {
  const systems = site.systems();
  await systems.begin(vps, 'vbd', await systems.choose(vps, 'vbd'));
  site.put(vps, `${name} root`, '.new');
  const config = { text: `# ${name} config`, mode: 0o644, autostart: true };
  await systems.approve(vps, { type: 'vbd', config, job: 'a' });
}

async function installed(): Promise<void> {
  site.put(vps, 'old root');
  await site.configure(vps, '# old config');
}

/** Does the exchange, and `at` something before the `n`th call of a driver's method. */
async function settleWith(method: string, n: number, at: () => void): Promise<unknown> {
  let calls = 0;
  const onCall = (name: string) => {
    if (name !== method) return;
    calls += 1;
    if (calls === n) at();
  };
  return site
    .systems({ onCall })
    .settle(vps)
    .then(
      () => undefined,
      (error: unknown) => error,
    );
}

const die = () => {
  throw new Death();
};

describe('absence read as evidence', () => {
  it('a cut between the two renames, and the folder of the images is not mounted at the next start: both systems are there when it is', async () => {
    await installed();
    await approve();
    expect(await settleWith('renameRoot', 2, die)).toBeInstanceOf(Death);
    site.unmount();
    await site.keeper().recover();
    await site.keeper().tidy();
    expect(site.look(vps)).toMatchObject({ unfinished: true, roots: {} });
    await expect(site.systems().settle(vps)).rejects.toMatchObject({ code: 'store_away' });
    site.mount();
    await site.keeper(hoursGoBy(25)).tidy();
    await site.keeper().recover();
    expect(site.look(vps)).toEqual({
      roots: { 'xen01.img': 'new root', 'xen01.old.img': 'old root' },
      ...{ config: '# new config', autostart: true, unfinished: false },
    });
  });

  it('an exchange that only waits does not lose the system that its job called installed', async () => {
    await installed();
    await approve();
    site.unmount();
    await site.keeper().recover();
    site.mount();
    await site.keeper().tidy();
    await site.keeper().recover();
    expect(site.look(vps).roots).toEqual({ 'xen01.img': 'new root', 'xen01.old.img': 'old root' });
  });

  it('a rollback whose disks go away under it says that it is tried again, and is done when they are back', async () => {
    await installed();
    await approve();
    await site.systems().settle(vps);
    let gone = false;
    const onCall = (name: string) => {
      if (name !== 'renameRoot' || gone) return;
      gone = true;
      site.unmount();
    };
    await expect(site.systems({ onCall }).rollback(vps)).rejects.toThrow(
      /\. What was begun is noted, and tried again every half minute; the log says what stands in the way\.$/,
    );
    expect(gone).toBe(true);
    site.mount();
    await site.keeper().recover();
    expect(site.look(vps)).toEqual({
      roots: { 'xen01.img': 'old root', 'xen01.old.img': 'new root' },
      ...{ config: '# old config', autostart: true, unfinished: false },
    });
  });

  it('an unfinished system and an old one are never deleted where they are all that there is', async () => {
    site.put(vps, 'the only one', '.new');
    site.put(vps, 'an old one', '.old');
    await site.keeper().tidy();
    await site.keeper(hoursGoBy(1_000)).tidy();
    await site.keeper(hoursGoBy(1_000)).tidy();
    expect(site.look(vps).roots).toEqual({
      'xen01.new.img': 'the only one',
      'xen01.old.img': 'an old one',
    });
  });

  it('disks are not made below a folder that is not mounted, and the VPS is not told to have none', async () => {
    await installed();
    await site.systems().choose(vps, 'vbd');
    await approve();
    site.unmount();
    const systems = site.systems();
    await expect(systems.choose(vps, 'vbd')).rejects.toThrow(AgentError);
    await expect(systems.makeRoom('vbd', 1, vps)).rejects.toMatchObject({ code: 'store_away' });
    expect(readdirSync(join(site.folder, 'mnt'))).toEqual([]);
  });
});

it('a number that is used again as identity: cp -a of the folder to a larger disk while an exchange waits deletes nothing', async () => {
  const mount = join(site.folder, 'mnt');
  const larger = join(site.folder, 'larger');
  mkdirSync(larger);
  // In both, numbers of inodes are given in the order of creation.
  for (const at of [mount, larger]) execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', at]);
  try {
    await installed();
    site.domains.push(guest);
    await approve();
    await site.keeper().recover();
    for (const name of ['.dtc-xen-store', 'xen01.new.img', 'xen01.img'])
      if (existsSync(join(mount, name))) execFileSync('cp', ['-a', join(mount, name), larger]);
    execFileSync('umount', [mount]);
    // Not moved: below a shared mount, as on any Debian, the kernel refuses that.
    execFileSync('mount', ['--bind', larger, mount]);
    execFileSync('umount', [larger]);
    site.domains.pop();
    await site.keeper().recover();
    expect(site.look(vps)).toEqual({
      roots: { 'xen01.img': 'old root', 'xen01.new.img': 'new root' },
      ...{ config: '# old config', autostart: true, unfinished: true },
    });
    await expect(site.systems().settle(vps)).rejects.toThrow(/one that nobody knows|none of its disks/);
  } finally {
    for (const at of [mount, larger]) spawnSync('umount', [at]);
  }
});

it.each([
  ['at once', 0],
  ['after the hourly tidying', 1],
])(
  'a number that is used again as identity: an old system whose image was copied comes back with its own configuration, %s',
  async (_, tidied) => {
    await installed();
    await approve();
    await site.systems().settle(vps);
    const image = join(site.folder, 'mnt/xen01.old.img');
    renameSync(image, `${image}.first`);
    execFileSync('cp', ['-a', `${image}.first`, image]);
    rmSync(`${image}.first`);
    if (tidied) await site.keeper(hoursGoBy(1)).tidy();
    await site.systems().rollback(vps);
    expect(site.look(vps)).toMatchObject({
      roots: { 'xen01.img': 'old root', 'xen01.old.img': 'new root' },
      config: '# old config',
    });
    await site.systems().rollback(vps);
    expect(site.look(vps)).toMatchObject({ roots: { 'xen01.img': 'new root' }, config: '# new config' });
  },
);

it('a number that is used again as identity: the note of a disk that is the root again says nothing of the one beside it', async () => {
  await installed();
  await approve();
  await site.systems().settle(vps);
  // By hand: the old system is put back, with a configuration of the admin's.
  const at = (name: string) => join(site.folder, 'mnt', name);
  renameSync(at('xen01.img'), at('aside'));
  renameSync(at('xen01.old.img'), at('xen01.img'));
  renameSync(at('aside'), at('xen01.old.img'));
  await site.configure(vps, '# by hand');
  await site.systems().rollback(vps);
  expect(site.look(vps)).toMatchObject({ roots: { 'xen01.img': 'new root' }, config: '# by hand' });
});

it('what is begun with systems keeps an old one from being noted with the configuration of another', async () => {
  await installed();
  await approve();
  const error = await settleWith('put', 1, die);
  expect(error).toBeInstanceOf(Death);
  expect(site.look(vps).roots).toEqual({ 'xen01.img': 'new root', 'xen01.old.img': 'old root' });
  await site.systems().dropExpired(vps);
  await site.systems().settle(vps);
  await site.systems().rollback(vps);
  expect(site.look(vps)).toMatchObject({ roots: { 'xen01.img': 'old root' }, config: '# old config' });
});

it('a stale note deletes the wrong system: one that could not be written does not date the next old system', async () => {
  await installed();
  await approve('second');
  await site.systems().settle(vps);
  hoursGoBy(23.5);
  await approve('third');
  const blocked = join(site.folder, 'state/states/xen01/.old.json.new');
  mkdirSync(join(blocked, 'no room'), { recursive: true });
  await expect(site.systems().settle(vps)).rejects.toThrow();
  await site.keeper(hoursGoBy(0.7)).tidy();
  expect(site.look(vps).roots).toEqual({ 'xen01.img': 'third root', 'xen01.old.img': 'second root' });
  rmSync(blocked, { recursive: true });
  await site.keeper().recover();
  await site.keeper(hoursGoBy(23)).tidy();
  expect(site.look(vps).roots).toEqual({ 'xen01.img': 'third root', 'xen01.old.img': 'second root' });
  await site.keeper(hoursGoBy(1)).tidy();
  expect(site.look(vps).roots).toEqual({ 'xen01.img': 'third root' });
});

it('retention by the wall clock: a clock in 2099, or a boot in 1970, deletes no old system', async () => {
  await installed();
  await approve();
  await site.systems().settle(vps);
  for (const wall of ['2099-01-01T00:00:00Z', '1970-01-01T00:00:30Z', '2031-01-01T00:00:00Z']) {
    await site.keeper(() => new Date(wall)).tidy();
    site.clock.boot_id = wall;
    site.clock.uptime_s = 10;
    await site.keeper(() => new Date(wall)).tidy();
  }
  expect(site.look(vps).roots).toEqual({ 'xen01.img': 'new root', 'xen01.old.img': 'old root' });
});

it('an exchange that cannot begin takes the VPS down: what has not moved has its configuration again', async () => {
  await installed();
  await approve();
  const refused = new AgentError('program_failed', 'Cannot change VG vg0 while PVs are missing.');
  const error = await settleWith('renameRoot', 1, () => {
    throw refused;
  });
  expect(error).toBe(refused);
  expect(site.look(vps)).toEqual({
    roots: { 'xen01.img': 'old root', 'xen01.new.img': 'new root' },
    ...{ config: '# old config', autostart: true, unfinished: true },
  });
  await site.keeper().recover();
  expect(site.look(vps).config).toBe('# new config');
});

it('the look comes before the configuration goes: a guest that was started between the two keeps its root and its configuration', async () => {
  await installed();
  await approve();
  // The configuration was read by an xl a moment ago, whose domain comes to be now.
  const error = await settleWith('remove', 1, () => site.domains.push(guest));
  expect(site.look(vps)).toEqual({
    roots: { 'xen01.img': 'old root', 'xen01.new.img': 'new root' },
    ...{ config: '# old config', autostart: true, unfinished: true },
  });
  expect(error).toMatchObject({ code: 'vps_running' });
});

it('a pending exchange is not overwritten by the next order when the guest stops at that moment', async () => {
  await installed();
  site.domains.push(guest);
  await approve();
  await expect(site.systems().settle(vps)).rejects.toMatchObject({ code: 'vps_running' });
  site.domains.pop();
  const systems = site.systems();
  const choice = { mode: 'swap', old_goes_first: false, told: undefined } as const;
  await expect(systems.begin(vps, 'vbd', choice)).rejects.toMatchObject({ code: 'vps_busy' });
  await expect(systems.choose(vps, 'vbd')).rejects.toMatchObject({ code: 'vps_busy' });
  await expect(systems.rollback(vps)).rejects.toMatchObject({ code: 'vps_busy' });
  await systems.settle(vps);
  expect(site.look(vps).roots).toEqual({ 'xen01.img': 'new root', 'xen01.old.img': 'old root' });
});

it.each(['rollbackVPSos', "an admin's mv"])(
  'a system that was old, and is the root again by %s, is kept for all of its hours when it is old once more',
  async (way) => {
    await installed();
    await approve();
    await site.systems().settle(vps);
    // The current one is removed by hand, and the old one takes its place.
    rmSync(join(site.folder, 'mnt/xen01.img'));
    if (way === 'rollbackVPSos') await site.systems().rollback(vps);
    else renameSync(join(site.folder, 'mnt/xen01.old.img'), join(site.folder, 'mnt/xen01.img'));
    await site.keeper(hoursGoBy(23)).tidy();
    await approve('third');
    await site.systems().settle(vps);
    await site.keeper(hoursGoBy(13)).tidy();
    const both = { 'xen01.img': 'third root', 'xen01.old.img': 'old root' };
    expect(site.look(vps).roots).toEqual(both);
    await site.keeper(hoursGoBy(12)).tidy();
    expect(site.look(vps).roots).toEqual({ 'xen01.img': 'third root' });
  },
);

it('an exchange whose disks turn into copies between two looks is not told as done', async () => {
  await installed();
  await approve();
  const mount = join(site.folder, 'mnt');
  const error = await settleWith('remove', 1, () => {
    for (const name of readdirSync(mount).filter((each) => each.endsWith('.img'))) {
      copyFileSync(join(mount, name), join(mount, '.copy'));
      renameSync(join(mount, '.copy'), join(mount, name));
    }
  });
  expect(error).toMatchObject({ code: 'disks_missing' });
  expect(site.look(vps)).toEqual({
    roots: { 'xen01.img': 'old root', 'xen01.new.img': 'new root' },
    ...{ config: '# old config', autostart: true, unfinished: true },
  });
});

it('a rollback that could not begin is not found done later', async () => {
  await installed();
  await approve();
  await site.systems().settle(vps);
  const onCall = (name: string) => {
    if (name === 'remove') site.domains.push(guest);
  };
  await expect(site.systems({ onCall }).rollback(vps)).rejects.toMatchObject({ code: 'vps_running' });
  site.domains.pop();
  await site.keeper().recover();
  expect(site.look(vps)).toMatchObject({ config: '# new config', unfinished: false });
});

it('a guest that is saved has its systems left alone', async () => {
  await installed();
  await approve();
  site.presences.set('xen01', { kind: 'saved', path: '/var/lib/xen/save/xen01' });
  await expect(site.systems().settle(vps)).rejects.toMatchObject({ code: 'vps_saved' });
  await site.keeper().recover();
  expect(site.look(vps)).toMatchObject({ config: '# old config', unfinished: true });
  site.presences.delete('xen01');
  await site.keeper().recover();
  expect(site.look(vps)).toMatchObject({ config: '# new config', unfinished: false });
});

describe('a killVPS that was cut off', () => {
  it('with disks gone: it is told once, and nothing is done for it or with the name until another killVPS', async () => {
    await installed();
    await approve();
    const before = site.look(vps).roots;
    const systems = site.systems();
    await systems.beginDeletion(vps);
    rmSync(join(site.folder, 'xen', vps.name));
    const lines: string[] = [];
    const keeper = site.keeper(
      hoursGoBy(1_000),
      pino({ level: 'warn' }, { write: (line: string) => lines.push(JSON.parse(line).msg) }),
    );
    for (let time = 0; time < 3; time += 1) {
      await keeper.recover();
      await keeper.tidy();
    }
    expect(lines).toEqual([expect.stringMatching(/^xen01 is half deleted: .* Call killVPS again/)]);
    expect(site.look(vps).roots).toEqual(before);
    await expect(systems.requireWhole(vps)).rejects.toMatchObject({ code: 'vps_busy' });
    await systems.forget(vps);
    await systems.requireWhole(vps);
  });

  it('before its configuration went: it is as it was, and what had been begun goes on', async () => {
    await installed();
    await approve();
    await site.systems().beginDeletion(vps);
    expect(await site.systems().settle(vps)).toMatch(/was cut off before it deleted anything.*in its place/);
    expect(site.look(vps)).toEqual({
      roots: { 'xen01.img': 'new root', 'xen01.old.img': 'old root' },
      ...{ config: '# new config', autostart: true, unfinished: false },
    });
  });

  it('has no need of a record that can be read', async () => {
    await installed();
    await approve();
    writeFileSync(site.record(vps, 'names'), '{ "phase": ');
    await site.systems().beginDeletion(vps);
    await expect(site.systems().requireWhole(vps)).rejects.toMatchObject({ code: 'record_damaged' });
    await site.systems().forget(vps);
    await site.systems().requireWhole(vps);
  });
});
