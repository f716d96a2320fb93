import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { AgentError } from '../../src/core/errors.ts';
import type { GuestPresence } from '../../src/core/presence.ts';
import { type Domain, parseVpsId, type VpsId } from '../../src/core/vps.ts';
import { lostReboot, noteDestroyed, noteLeftStopped } from '../../src/core/xl-log.ts';
import { createLostReboots } from '../../src/jobs/lost-reboots.ts';
import { locksIn } from './plan-harness.ts';

/** As xl writes it; the last reboot is lost where `ends` does not go on. */
const LOG = `Waiting for domain xen01 (domid 10) to die [pid 5002]
Domain 10 has shut down, reason code 1 0x1
Action for shutdown reason code 1 is restart
Domain 10 needs to be cleaned up: destroying the domain
Done. Rebooting now
`;
const CAME_BACK = 'Waiting for domain xen01 (domid 12) to die [pid 5002]\n';
const LOST = `libxl: error: libxl_aoutils.c:539:async_exec_timeout: killing execution of /etc/xen/scripts/block add because of timeout
libxl: error: libxl_create.c:1727:domcreate_launch_dm: Domain 13:unable to add disk devices
`;

const vps = parseVpsId('xen01') as VpsId;

let base: string;
let domains: Domain[];
let presence: GuestPresence;
let created: string[];
let warned: string[];
let refuse: AgentError | undefined;
beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), 'reboots-'));
  mkdirSync(join(base, 'log'));
  domains = [{ name: 'xen01', domid: 10, memory_mib: 64, vcpus: 1, state: '-b----', cpu_seconds: 1 }];
  [presence, created, warned, refuse] = [{ kind: 'stopped' }, [], [], undefined];
});
afterEach(() => rmSync(base, { recursive: true }));

const write = (text: string) => writeFileSync(join(base, 'log/xl-xen01.log'), text);
const note = (_fields: object, text: string) => void warned.push(text);

function make(exists = true) {
  return createLostReboots({
    config: { xen_log_dir: join(base, 'log') },
    hypervisor: {
      list: async () => domains,
      presence: async () => presence,
      create: async (vps) => {
        if (refuse) throw refuse;
        created.push(vps.name);
      },
    },
    guests: { exists: async () => exists, path: ({ name }) => `/etc/xen/${name}` },
    locks: locksIn(base),
    log: { warn: note, error: note } as never,
  });
}

it('knows a reboot that nothing follows by the log of xl', () => {
  expect(lostReboot(LOG + LOST)).toBe('killing execution of /etc/xen/scripts/block add because of timeout');
  expect(lostReboot(LOG)).toBe('xl does not say why');
  expect(lostReboot(LOG + CAME_BACK)).toBeUndefined();
  expect(lostReboot(LOG + CAME_BACK + LOG + LOST)).toMatch('block add');
  expect(lostReboot('Domain 3 has shut down, reason code 0 0x0\nDone. Exiting now\n')).toBeUndefined();
  expect(lostReboot('')).toBeUndefined();
});

it('a guest that was destroyed by order while it rebooted stays down, whatever xl says of it then', async () => {
  write(LOG);
  await noteDestroyed(join(base, 'log'), vps);
  appendFileSync(join(base, 'log/xl-xen01.log'), LOST);
  const reboots = make();
  await reboots.look();
  domains = [];
  await reboots.look();
  expect([created, warned]).toEqual([[], []]);
  // One that reboots later, and is lost then, comes back.
  appendFileSync(join(base, 'log/xl-xen01.log'), LOG + LOST);
  expect(lostReboot(readFileSync(join(base, 'log/xl-xen01.log'), 'utf8'))).toMatch('block add');
});

it('a lost guest that somebody works with meanwhile is left stopped where the order wants it so, and started where it does not', async () => {
  write(LOG + CAME_BACK);
  const reboots = make();
  await reboots.look();
  domains = [];
  write(LOG + LOST);
  for (const wants_it_stopped of [false, true]) {
    created = [];
    const order = await locksIn(base).acquire(vps, 'an order');
    await reboots.look();
    expect(created).toEqual([]);
    if (wants_it_stopped) await noteLeftStopped(join(base, 'log'), vps);
    await order.release();
    await reboots.look();
    expect(created).toEqual(wants_it_stopped ? [] : ['xen01']);
    domains = [{ name: 'xen01', domid: 11, memory_mib: 64, vcpus: 1, state: '-b----', cpu_seconds: 1 }];
    await reboots.look();
    domains = [];
  }
  // The next agent knows it too.
  await make().look();
  expect(created).toEqual([]);
});

it('adds nothing to the log of a guest that was lost at no reboot', async () => {
  write(LOG + CAME_BACK);
  await noteLeftStopped(join(base, 'log'), vps);
  expect(readFileSync(join(base, 'log/xl-xen01.log'), 'utf8')).toBe(LOG + CAME_BACK);
});

it('notes nothing where there is no log, or no file', async () => {
  await noteDestroyed(join(base, 'log'), vps);
  await noteLeftStopped(join(base, 'log'), vps);
  symlinkSync(join(base, 'elsewhere'), join(base, 'log/xl-xen01.log'));
  await noteDestroyed(join(base, 'log'), vps);
  await noteLeftStopped(join(base, 'log'), vps);
  expect(readdirSync(base)).toEqual(['log']);
});

it('a reboot that loses the guest: it is told, and the guest is started again, once', async () => {
  write(LOG + CAME_BACK);
  const reboots = make();
  await reboots.look();
  domains = [];
  write(LOG + LOST);
  await reboots.look();
  expect(created).toEqual(['xen01']);
  expect(warned).toEqual([
    'xen01 rebooted itself and did not come back (killing execution of /etc/xen/scripts/block add because of timeout): it was started again.',
  ]);
  await reboots.look();
  expect(created).toEqual(['xen01']);
});

it('waits while the guest is in the gap of its reboot', async () => {
  const reboots = make();
  await reboots.look();
  domains = [];
  presence = { kind: 'starting', pid: 7 };
  write(LOG);
  await reboots.look();
  expect(created).toEqual([]);
  presence = { kind: 'stopped' };
  write(LOG + LOST);
  await reboots.look();
  expect(created).toEqual(['xen01']);
});

it.each<[string, () => void, boolean]>([
  ['was shut down', () => write('Done. Exiting now\n'), true],
  ['is saved', () => Object.assign(presence, { kind: 'saved', path: '/x' }), true],
  ['has no configuration any more', () => undefined, false],
])('does not start a guest that %s', async (_, happens, exists) => {
  const reboots = make(exists);
  write(LOG + LOST);
  await reboots.look();
  domains = [];
  happens();
  await reboots.look();
  expect(created).toEqual([]);
});

it('leaves a VPS alone that somebody is at work on, and tries again a few times where the start fails', async () => {
  const reboots = make();
  await reboots.look();
  domains = [];
  write(LOG + LOST);
  const lock = await locksIn(base).acquire({ number: '01', name: 'xen01' }, 'a test');
  await reboots.look();
  expect(created).toEqual([]);
  await lock.release();
  refuse = new AgentError('program_failed', 'xen01: xl create failed');
  for (let time = 0; time < 8; time += 1) await reboots.look();
  expect(warned.slice(0, 5)).toEqual(Array(5).fill('xen01: xl create failed'));
  expect(warned.slice(5)).toEqual([expect.stringMatching(/cannot be started again: see .*xl-xen01\.log/)]);
});

it('at its first look, goes by logs of the last minutes alone', async () => {
  domains = [];
  write(LOG + LOST);
  const old = new Date(Date.now() - 3_600_000);
  utimesSync(join(base, 'log/xl-xen01.log'), old, old);
  await make().look();
  expect(created).toEqual([]);
  write(LOG + LOST);
  await make().look();
  expect(created).toEqual(['xen01']);
});
