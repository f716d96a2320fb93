// A guest that reboots itself again and again is not listed by Xen for seconds each time: whoever wants to work on its disks then
// must not take it for stopped, and must not get in the way of its reboot.
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { AgentFault } from '../../src/client/agent-client.ts';
import {
  consoleCount,
  consoleShows,
  dom0,
  dom0Succeeds,
  fileOf,
  install,
  isClean,
  modern,
  type Params,
  until,
} from './node.ts';
import { note } from './report.ts';

const vpsname = 'xen35';
const UP = 'bare guest is up';
/** Two minutes, and as long as it takes the guest to come up twice: a slow machine boots it once a minute and more. */
const HAMMERED_S = 120;
const HAMMERED_LIMIT_S = 900;

const jobs = () => dom0(`ls -d /var/lib/dtc-xen/states/${vpsname}/2* | xargs`);

/** Calls again and again until `isOver`; how often with which answer, `accepted` among them. */
async function hammer(
  operation: string,
  params: Params,
  isOver: () => boolean,
): Promise<Map<string, number>> {
  const answers = new Map<string, number>();
  for (; !isOver(); await sleep(100)) {
    const answer = await modern(operation, { vpsname, ...params }).then(
      () => 'accepted',
      (error: unknown) => {
        if (error instanceof AgentFault) return error.code;
        throw error;
      },
    );
    answers.set(answer, (answers.get(answer) ?? 0) + 1);
  }
  return answers;
}

/** Whether a look of {@link absences} found it absent so far. */
const seenAbsent = () => dom0Succeeds('grep -q absent /run/looks');

/** How often Xen's list did not have the guest, of so many looks, while `work` went on. */
async function absences(work: () => Promise<void>): Promise<{ absent: number; looks: number }> {
  await dom0(`systemd-run --quiet --collect --unit=looks bash -c 'while sleep 0.5; do
      if xl domid ${vpsname} >/dev/null 2>&1; then echo there; else echo absent; fi >>/run/looks; done'`);
  try {
    await work();
  } finally {
    await dom0('systemctl stop looks');
  }
  const [absent = 0, looks = 0] = (await dom0('grep -c absent /run/looks; wc -l </run/looks; rm /run/looks'))
    .split('\n')
    .map(Number);
  return { absent, looks };
}

it('fsck, reinstall and password for two minutes against a guest that reboots itself in a loop: none touches its disk, and it lives', async () => {
  expect(await install(vpsname, 'bare-loop')).toMatchObject({ state: 'succeeded' });
  const shadow = await fileOf(vpsname, '/etc/shadow');
  const checked = () => dom0(`dumpe2fs -h /dev/vg0/${vpsname} 2>/dev/null | grep '^Last checked'`);
  const last_checked = await checked();
  const told_at_first = await jobs();
  await modern('startVPS', { vpsname });
  await consoleShows(vpsname, UP, 2);
  const boots = await consoleCount(vpsname, UP);

  const answers = new Map<string, Map<string, number>>();
  const began_ms = Date.now();
  const hammered_s = () => (Date.now() - began_ms) / 1000;
  let is_over = false;
  async function watch(): Promise<void> {
    const isEnough = async () =>
      hammered_s() >= HAMMERED_S && (await consoleCount(vpsname, UP)) - boots > 1 && (await seenAbsent());
    while (hammered_s() < HAMMERED_LIMIT_S && !(await isEnough())) await sleep(2_000);
    is_over = true;
  }
  const { absent, looks } = await absences(async () => {
    await Promise.all([
      watch(),
      ...(
        [
          ['fsckVPSpartition', {}],
          ['reinstallVPSos', { ostype: 'bare', ramsize: 200, password: 'x', nics: '10.0.2.135' }],
          ['changeVPSrootPassword', { password: 'another' }],
        ] as const
      ).map(async ([operation, params]) =>
        answers.set(operation, await hammer(operation, params, () => is_over)),
      ),
    ]);
  });
  const rebooted = (await consoleCount(vpsname, UP)) - boots;
  const told = [...answers].map(
    ([operation, counts]) =>
      `${operation} ${[...counts].map(([code, times]) => `${times} ${code}`).join(', ')}`,
  );
  note(
    `a guest that reboots itself, hammered for ${Math.round(hammered_s())} s`,
    `${rebooted} boots, not in Xen's list at ${absent} of ${looks} looks; ${told.join('; ')}`,
  );

  expect(absent, 'looks into the gap of a reboot').toBeGreaterThan(0);
  expect(rebooted).toBeGreaterThan(1);
  for (const [operation, counts] of answers) {
    expect([...counts.keys()], operation).not.toContain('accepted');
    for (const code of counts.keys()) expect(['vps_running', 'vps_busy'], operation).toContain(code);
  }
  expect(await jobs()).toBe(told_at_first);
  expect(await dom0Succeeds(`journalctl -b | grep 'block-dtc-xen: ${vpsname} is not started'`)).toBe(false);

  // It lives: it goes on rebooting.
  await consoleShows(vpsname, UP, (await consoleCount(vpsname, UP)) + 2);
  await until('the end of the guest', 120, () =>
    modern('destroyVPS', { vpsname }).catch((error: unknown) => {
      if (error instanceof AgentFault && error.code === 'vps_not_running') return undefined;
      throw error;
    }),
  );
  // It was destroyed at any instant: its journal is replayed first, and nothing else may have to be put right.
  expect(await dom0(`e2fsck -p /dev/vg0/${vpsname} >/dev/null; echo $?`)).toMatch(/^[01]$/);
  expect(await isClean(vpsname)).toBe(true);
  expect(await checked()).toBe(last_checked);
  expect(await fileOf(vpsname, '/etc/shadow')).toBe(shadow);
  expect(await fileOf(vpsname, '/etc/generation')).toBe('128');
  // Counted by itself, before it says that it is up.
  const counted = (await fileOf(vpsname, '/etc/boots')).split('\n').length;
  const said = await consoleCount(vpsname, UP);
  expect([said, said + 1]).toContain(counted);
});
