// A guest whose memory is saved on the node's disk will go on with its disks as it left them: nothing may change them meanwhile.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { inOrder } from './in-order.ts';
import {
  Console,
  consoleCount,
  consoleShows,
  contents,
  dom0,
  dom0Succeeds,
  domid,
  fileOf,
  install,
  isClean,
  jobEnd,
  modern,
  panel,
  sshToItself,
  until,
} from './node.ts';

const vpsname = 'xen30';
const UP = 'bare guest is up';
const SAVED = `/var/lib/xen/save/${vpsname}`;
const REINSTALL = { ostype: 'bare', ramsize: 200, password: 'x', nics: '10.0.2.130' };

let guest: Console;
afterAll(() => guest?.close());

/** As xendomains does it when the node goes down. */
async function save(): Promise<void> {
  guest.close();
  await dom0(`mkdir -p -m 0700 ${SAVED.replace(/[^/]*$/, '')} && xl save ${vpsname} ${SAVED}`);
  expect(await domid(vpsname)).toBeUndefined();
}

async function boot(): Promise<void> {
  const boots = await consoleCount(vpsname, UP);
  await modern('startVPS', { vpsname });
  await consoleShows(vpsname, UP, boots + 1);
  guest = new Console(vpsname);
}

describe('a saved guest', () => {
  inOrder();
  let boots = 0;
  let disks = '';

  beforeAll(async () => {
    await sshToItself();
    // Twice: so there is a system that could be rolled back to.
    for (let times = 0; times < 2; times++)
      expect(await install(vpsname, 'bare')).toMatchObject({ state: 'succeeded' });
    await boot();
    await guest.run('/bin/busybox mount -o remount,rw / && WORD=remembered');
    await guest.run('echo kept >/etc/word');
    await save();
    boots = await consoleCount(vpsname, UP);
    disks = await contents(vpsname);
  });

  it('getVPSState tells that it is saved; a panel offers to start it', async () => {
    expect(await modern('getVPSState', { vpsname })).toMatchObject({ state: 'saved' });
    expect(await panel('getVPSState', { vpsname })).toBe('Not running');
  });

  it.each([
    ['fsckVPSpartition', {}],
    ['reinstallVPSos', REINSTALL],
    ['rollbackVPSos', {}],
    ['changeVPSrootPassword', { password: 'another' }],
    ['killVPS', { imagetype: 'lvm' }],
    ['shutdownVPS', {}],
  ])('%s is refused with where the memory is and what to do', async (operation, params) => {
    await expect(modern(operation, { vpsname, ...params })).rejects.toMatchObject({
      code: 'vps_saved',
      message: expect.stringMatching(
        new RegExp(`^${vpsname} cannot be .*: its memory is saved in ${SAVED}, .*startVPS.*destroyVPS`),
      ),
    });
  });

  it('dtc-xen_migrate is refused, and nothing is at the other end', async () => {
    await expect(dom0(`dtc-xen_migrate ${vpsname.slice(3)} localhost 39 2>&1`)).rejects.toMatchObject({
      stdout: expect.stringMatching(new RegExp(`its memory is saved in ${SAVED}`)),
    });
    expect(await dom0Succeeds('ls -d /dev/vg0/xen39* /etc/xen/xen39')).toBe(false);
  });

  it('its disks and its memory are as they were, and no job was begun', async () => {
    expect(await contents(vpsname)).toBe(disks);
    expect(await dom0Succeeds(`test -s ${SAVED} -a -e /etc/xen/${vpsname}`)).toBe(true);
    expect(await dom0(`ls -d /var/lib/dtc-xen/states/${vpsname}/2* | wc -l`)).toBe('2');
  });

  it('startVPS: it goes on where it was, its memory is gone from the disk; what it had not written is on its clean disk after a shutdown', async () => {
    expect(await panel('startVPS', { vpsname })).toEqual(['OK', `Started ${vpsname}`]);
    expect(await dom0(`ls -A ${SAVED.replace(/[^/]*$/, '')}`)).toBe('');
    guest = new Console(vpsname);
    expect(await guest.run('echo "$WORD"')).toBe('remembered');
    expect(await consoleCount(vpsname, UP)).toBe(boots);
    await guest.run('echo later >>/etc/word');
    guest.close();
    await modern('shutdownVPS', { vpsname, wait_s: 120 });
    expect(await isClean(vpsname)).toBe(true);
    expect(await fileOf(vpsname, '/etc/word')).toBe('kept\nlater');
  });

  it('xl leaves its process in the slice of guests; a reboot of the restored guest works', async () => {
    await boot();
    await save();
    await modern('startVPS', { vpsname });
    expect(
      await dom0('for p in $(pidof xl); do tr "\\0" " " </proc/$p/cmdline; cat /proc/$p/cgroup; done'),
    ).toMatch(new RegExp(`restore [^\\n]*${vpsname}[^\\n]* 0::/xenguests\\.slice/`));
    const before = await consoleCount(vpsname, UP);
    const id = await domid(vpsname);
    await dom0(`xl reboot ${vpsname}`);
    await consoleShows(vpsname, UP, before + 1);
    expect(await domid(vpsname)).toBeGreaterThan(id as number);
    guest = new Console(vpsname);
  });

  it('destroyVPS lets go of the memory: the VPS is stopped, and its disk can be checked', async () => {
    await save();
    expect(await panel('destroyVPS', { vpsname })).toEqual(['OK', `Destroyed ${vpsname}`]);
    expect(await dom0Succeeds(`test -e ${SAVED}`)).toBe(false);
    expect(await modern('getVPSState', { vpsname })).toMatchObject({ state: 'stopped' });
    await modern('fsckVPSpartition', { vpsname });
    expect(await jobEnd(vpsname)).toMatchObject({ kind: 'fsck', state: 'succeeded' });
    await boot();
    guest.close();
    await modern('shutdownVPS', { vpsname, wait_s: 120 });
    expect(await isClean(vpsname)).toBe(true);
  });

  it('one that was started by hand from its disk has left its memory behind: that is put aside, and startVPS boots it', async () => {
    await boot();
    await save();
    await dom0(`xl create -q /etc/xen/${vpsname} && sleep 5 && xl destroy ${vpsname}`);
    await boot();
    // What it says when it boots is on its console still.
    expect(await guest.run('echo "[$WORD]"')).toMatch(/\[\]/);
    const aside = `.${vpsname}.left-behind`;
    await until('the memory to be put aside', 300, async () =>
      (await dom0(`ls -A ${SAVED.replace(/[^/]*$/, '')}`)) === aside ? true : undefined,
    );
    guest.close();
    await modern('destroyVPS', { vpsname });
    await dom0(`rm ${SAVED.replace(/[^/]*$/, '')}${aside}`);
  });

  it('a clock that is set back between its start and its save costs it nothing', async () => {
    await boot();
    await guest.run('WORD=remembered');
    const before = await consoleCount(vpsname, UP);
    await dom0('timedatectl set-ntp false || true; date -s "1 hour ago"');
    try {
      await save();
      expect(await dom0(`tail -n 3 /var/log/xen/xl-${vpsname}.log`)).toMatch(/^Domain has suspended\.$/m);
      await dom0(`dtc-xen-agent call startVPS ${vpsname}`);
    } finally {
      await dom0('date -s "+1 hour"');
    }
    guest = new Console(vpsname);
    expect(await guest.run('echo "[$WORD]"')).toBe('[remembered]');
    expect(await consoleCount(vpsname, UP)).toBe(before);
    guest.close();
    await modern('shutdownVPS', { vpsname, wait_s: 120 });
    expect(await isClean(vpsname)).toBe(true);
  });
});
