// What goes wrong on a real node is told, and changes nothing.
import { beforeAll, describe, expect, it } from 'vitest';
import { inOrder } from './in-order.ts';
import { consoleShows, dom0, dom0Succeeds, domid, install, modern, panel } from './node.ts';
import { note } from './report.ts';

const UP = 'bare guest is up';
const refused = (code: string, message: RegExp) => ({ code, message: expect.stringMatching(message) });

/** Runs with another line in the configuration of xen02, and puts the file back. */
async function withConfig(change: string, work: () => Promise<unknown>): Promise<void> {
  await dom0(`cp /etc/xen/xen02 /root/xen02.whole; sed -i '${change}' /etc/xen/xen02`);
  await work();
  await dom0('mv /root/xen02.whole /etc/xen/xen02');
}

const startFails = async (code: string, message: RegExp) => {
  await expect(modern('startVPS', { vpsname: 'xen02' })).rejects.toMatchObject(refused(code, message));
  expect(await domid('xen02')).toBeUndefined();
};

describe('failures', () => {
  inOrder();
  let deaf: Promise<unknown>;
  beforeAll(async () => {
    expect(await install('xen03', 'bare-deaf')).toMatchObject({ state: 'succeeded' });
    await modern('startVPS', { vpsname: 'xen03' });
    await consoleShows('xen03', UP);
    // xl itself waits a minute for the guest's acknowledgement; the other steps go on meanwhile.
    deaf = modern('shutdownVPS', { vpsname: 'xen03', wait_s: 120 }).catch((error: unknown) => error);
    expect(await install('xen02', 'bare')).toMatchObject({ state: 'succeeded' });
  });

  it('not enough memory: told, and no domain is left', () =>
    withConfig('s/^memory = .*/memory = 90000/', () =>
      startFails('program_failed', /Xen has not enough free memory/),
    ));

  it('the kernel is missing: told by its path', () =>
    withConfig('s,^kernel = .*,kernel = "/boot/vmlinuz-gone",', () =>
      startFails('program_failed', /there is no \/boot\/vmlinuz-gone/),
    ));

  it('a volume is missing: told by its path; setupLVMDisks makes it again', async () => {
    await dom0('lvremove -qq -y vg0/xen02swap');
    await startFails('program_failed', /its disk xvdb is missing: there is no \/dev\/vg0\/xen02swap/);
    await modern('setupLVMDisks', { vpsname: 'xen02', hddsize: 64, swapsize: 16, imagetype: 'lvm' });
    expect(await dom0Succeeds('test -b /dev/vg0/xen02swap')).toBe(true);
  });

  it('the volume group is full: told with what is free; neither volume is made', async () => {
    await dom0('lvcreate -qq -y -l 100%FREE -n filler vg0 && lvreduce -qq -y -L -32M vg0/filler');
    const sizes = { vpsname: '04', hddsize: 24, swapsize: 16, imagetype: 'lvm' };
    expect(await panel('setupLVMDisks', sizes)).toMatch(
      /^NOTOK - xen04: its disks need 40 MB, .* has 32 MB free/,
    );
    expect(await dom0Succeeds('test -e /dev/vg0/xen04 -o -e /dev/vg0/xen04swap')).toBe(false);
    await dom0('lvremove -qq -y vg0/filler');
  });

  it('start twice: the second is refused and the first goes on; so are reinstall, fsck and kill of what runs', async () => {
    expect(await panel('startVPS', { vpsname: 'xen02' })).toEqual(['OK', 'Started xen02']);
    const id = await domid('xen02');
    expect(await panel('startVPS', { vpsname: 'xen02' })).toMatch(/^NOTOK - xen02 cannot be started/);
    for (const [operation, params] of [
      ['fsckVPSpartition', { vpsname: 'xen02' }],
      ['killVPS', { vpsname: '02', imagetype: 'lvm' }],
      ['reinstallVPSos', { vpsname: '02', ostype: 'bare', ramsize: 128, password: 'x', nics: '10.0.2.102' }],
    ] as const) {
      await expect(modern(operation, params)).rejects.toMatchObject({ code: 'vps_running' });
    }
    await consoleShows('xen02', UP);
    expect(await domid('xen02')).toBe(id);
  });

  it('two starts at the same moment, and a shutdown with them: one domain, one answer each, nothing half made', async () => {
    await modern('shutdownVPS', { vpsname: 'xen02', wait_s: 120 });
    const answers = await Promise.allSettled([
      modern('startVPS', { vpsname: 'xen02' }),
      modern('startVPS', { vpsname: 'xen02' }),
    ]);
    const codes = answers
      .map((answer) => (answer.status === 'fulfilled' ? 'started' : answer.reason.code))
      .sort();
    expect(codes).toEqual(['started', 'vps_busy']);
    expect(await dom0('xl list | grep -c xen02')).toBe('1');
  });

  it('a guest that ignores shutdown: told as stopping, and a panel has its answer within 20 s; destroyVPS ends it at once', async () => {
    expect(await deaf).toEqual({ result: 'Shutting down xen03', state: 'stopping' });
    expect(await domid('xen03')).toBeDefined();
    const began = performance.now();
    expect(await panel('shutdownVPS', { vpsname: 'xen03' })).toEqual(['OK', 'Shutting down xen03']);
    note('shutdownVPS of a deaf guest answered in', `${Math.round((performance.now() - began) / 1000)} s`);
    expect(await modern('getVPSState', { vpsname: 'xen03' })).toMatchObject({ state: 'stopping' });
    const waiting = modern('shutdownVPS', { vpsname: 'xen03', wait_s: 120 });
    await modern('destroyVPS', { vpsname: 'xen03' });
    expect(await waiting).toMatchObject({ state: 'stopped' });
    expect(await domid('xen03')).toBeUndefined();
    await modern('destroyVPS', { vpsname: 'xen02' });
  });
});
