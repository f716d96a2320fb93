// The node is rebooted as it should be: xendomains saves every guest, and restores it when the node is back.
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, describe, expect, it } from 'vitest';
import { AgentFault } from '../../src/client/agent-client.ts';
import { inOrder } from './in-order.ts';
import {
  Console,
  consoleCount,
  consoleShows,
  dom0,
  dom0Succeeds,
  domid,
  fileOf,
  install,
  isClean,
  jobEnd,
  machine,
  modern,
  requireBootOrder,
  until,
} from './node.ts';
import { note } from './report.ts';

const UP = 'bare guest is up';
const GUESTS = ['xen31', 'xen32', 'xen33'] as const;
const REINSTALLED = 'xen34';
const [OLD, NEW] = ['128', '129'];

const consoles = new Map<string, Console>();
afterAll(() => {
  for (const guest of consoles.values()) guest.close();
});

const at = (vpsname: string) => {
  const guest = new Console(vpsname);
  consoles.set(vpsname, guest);
  return guest;
};

/** Asks the agent to check the disk of each guest, for as long as xendomains has not done its work; the codes of its answers. */
async function askWhileRestoring(): Promise<Set<string>> {
  const codes = new Set<string>();
  const end = Date.now() + 300_000;
  do {
    if (Date.now() > end) throw new Error('xendomains has not done its work within 300 s.');
    for (const vpsname of GUESTS)
      await modern('fsckVPSpartition', { vpsname }).then(
        () => codes.add('accepted'),
        (error: unknown) => {
          if (!(error instanceof AgentFault)) throw error;
          codes.add(error.code);
        },
      );
  } while (!(await dom0Succeeds('systemctl is-active xendomains')));
  return codes;
}

describe('an orderly reboot of the node', () => {
  inOrder();
  let boots: number[] = [];
  let codes = new Set<string>();

  it('three guests run, and a fourth is reinstalled when systemctl reboot is called; the node comes back', async () => {
    for (const vpsname of [...GUESTS, REINSTALLED])
      expect(await install(vpsname, 'bare')).toMatchObject({ state: 'succeeded' });
    for (const vpsname of GUESTS) {
      await modern('startVPS', { vpsname });
      await consoleShows(vpsname, UP);
      const guest = at(vpsname);
      await guest.run(`/bin/busybox mount -o remount,rw / && WORD=${vpsname}-remembers`);
      await guest.run(`echo ${vpsname}-wrote >/etc/word`);
      guest.close();
    }
    boots = await Promise.all(GUESTS.map((vpsname) => consoleCount(vpsname, UP)));
    const boot_id = await dom0('cat /proc/sys/kernel/random/boot_id');
    await modern('reinstallVPSos', {
      vpsname: REINSTALLED,
      ostype: 'bare',
      ramsize: NEW as string,
      password: 'x',
      nics: '10.0.2.134',
    });
    // It takes some ten seconds: anywhere in its course, or just after.
    await sleep(Math.random() * 12_000);
    await dom0('systemctl reboot');
    await machine('wait-end');
    await machine('up', '--keep');
    expect(await dom0('cat /proc/sys/kernel/random/boot_id')).not.toBe(boot_id);
    await until('an answer of the agent', 240, async () =>
      (await dom0Succeeds('journalctl -b -u dtc-xen-agent | grep listening')) ? true : undefined,
    );
  });

  it('until xendomains has restored them, nothing of theirs may be changed', async () => {
    codes = await askWhileRestoring();
    expect([...codes].filter((code) => !['vps_saved', 'vps_running', 'vps_busy'].includes(code))).toEqual([]);
    await dom0('systemctl is-system-running --wait >/dev/null || true');
    await requireBootOrder();
  });

  it('all three go on where they were, with what they had in memory and on disk; their file systems are clean', async () => {
    expect(await dom0('ls -A /var/lib/xen/save')).toBe('');
    for (const [index, vpsname] of GUESTS.entries()) {
      expect(await domid(vpsname), vpsname).toBeDefined();
      const guest = at(vpsname);
      expect(await guest.run('echo "$WORD"')).toBe(`${vpsname}-remembers`);
      expect(await guest.run('/bin/busybox cat /etc/word')).toBe(`${vpsname}-wrote`);
      guest.close();
      expect(await consoleCount(vpsname, UP), vpsname).toBe(boots[index]);
      await modern('shutdownVPS', { vpsname, wait_s: 120 });
      expect(await isClean(vpsname), vpsname).toBe(true);
      expect(await fileOf(vpsname, '/etc/word')).toBe(`${vpsname}-wrote`);
      await modern('startVPS', { vpsname });
      await consoleShows(vpsname, UP, (boots[index] as number) + 1);
      await modern('destroyVPS', { vpsname });
    }
  });

  it('the fourth has the old system or the new one, with its own configuration, and boots; nothing is left over', async () => {
    const { state, step, message } = await modern('getVPSJob', { vpsname: REINSTALLED });
    const told = `${state} in step ${step}: ${message}`;
    expect(await jobEnd(REINSTALLED, 60), told).toMatchObject({ kind: 'reinstall' });
    if ((await domid(REINSTALLED)) !== undefined) await modern('destroyVPS', { vpsname: REINSTALLED });
    await dom0(`e2fsck -p /dev/vg0/${REINSTALLED} >/dev/null || [ $? -eq 1 ]`);
    const root = await fileOf(REINSTALLED, '/etc/generation');
    expect(root, told).toBe(state === 'succeeded' ? NEW : OLD);
    expect(await dom0(`sed -n 's/^memory = //p' /etc/xen/${REINSTALLED}`), told).toBe(root);
    expect(await dom0Succeeds(`test -e /dev/vg0/${REINSTALLED}.new`), told).toBe(false);
    expect(await dom0Succeeds('grep -E "vg0-xen|/var/lib/dtc-xen/mnt/" /proc/mounts'), told).toBe(false);
    const before = await consoleCount(REINSTALLED, UP);
    await modern('startVPS', { vpsname: REINSTALLED });
    await consoleShows(REINSTALLED, UP, before + 1);
    await modern('shutdownVPS', { vpsname: REINSTALLED, wait_s: 120 });
    expect(await isClean(REINSTALLED), told).toBe(true);
    note(
      'an orderly reboot with three guests',
      `all three restored; the reinstall beside: ${told}; asked meanwhile: ${[...codes].join(', ')}`,
    );
  });
});
