// The node itself goes wrong: xenstored hangs; dom0 is rebooted in the middle of things.
import { describe, expect, it } from 'vitest';
import { inOrder } from './in-order.ts';
import {
  consoleShows,
  dom0,
  dom0Succeeds,
  domid,
  install,
  jobEnd,
  machine,
  modern,
  panel,
  requireBootOrder,
  shutDown,
  until,
} from './node.ts';

const UP = 'bare guest is up';

/** What a volume holds, byte for byte. */
const contents = (volume: string) => dom0(`sha256sum </dev/vg0/${volume}`);

describe('the node goes wrong', () => {
  inOrder();
  it('xenstored stopped: told within the time limit, nothing taken for stopped; when it goes on, all is as before', async () => {
    expect(await install('xen06', 'bare')).toMatchObject({ state: 'succeeded' });
    await modern('startVPS', { vpsname: 'xen06' });
    await consoleShows('xen06', UP);
    const id = await domid('xen06');
    await dom0('kill -STOP $(pidof oxenstored xenstored)');
    try {
      const ask = async (operation: string) =>
        expect(await panel(operation, { vpsname: 'xen06' })).toMatch(
          /^NOTOK - .*xl list did not end within 20 s/,
        );
      await Promise.all(['getVPSState', 'startVPS'].map(ask));
      await ask('killVPS');
    } finally {
      await dom0('kill -CONT $(pidof oxenstored xenstored)');
    }
    expect(await modern('getVPSState', { vpsname: 'xen06' })).toMatchObject({
      domain: { domid: id },
    });
  });

  it('dom0 reboots with a guest, a stopped VPS and an installation: the guest is back, the job failed in its step, volumes are whole', async () => {
    expect(await install('xen07', 'bare')).toMatchObject({ state: 'succeeded' });
    await dom0('rm /etc/xen/auto/xen07');
    const before = await contents('xen07');
    await modern('setupLVMDisks', { vpsname: 'xen08', hddsize: 64, swapsize: 16, imagetype: 'lvm' });
    await modern('reinstallVPSos', {
      vpsname: 'xen08',
      ostype: 'bare-slow',
      ramsize: 128,
      password: 'x',
      nics: '10.0.2.108',
    });
    await until('the step bootstrap', 60, async () => {
      const { step } = await modern('getVPSJob', { vpsname: 'xen08' });
      return step === 'bootstrap' || undefined;
    });
    const boot_id = await dom0('cat /proc/sys/kernel/random/boot_id');

    await dom0('systemctl reboot');
    await machine('wait-end');
    await machine('up', '--keep');

    expect(await dom0('cat /proc/sys/kernel/random/boot_id')).not.toBe(boot_id);
    await until('an answer of the agent', 120, async () =>
      (await dom0Succeeds('journalctl -b -u dtc-xen-agent | grep listening')) ? true : undefined,
    );
    await dom0('systemctl is-system-running --wait >/dev/null || true');
    await requireBootOrder();
    expect(await jobEnd('xen08', 60)).toMatchObject({
      kind: 'reinstall',
      state: 'failed',
      message: expect.stringMatching(/^The reinstall of xen08 was (cancelled|cut off) in step bootstrap/),
    });
    expect(await dom0Succeeds('grep -E "vg0-xen|/var/lib/dtc-xen/mnt/" /proc/mounts')).toBe(false);
    expect(await dom0Succeeds('test -e /etc/xen/xen08')).toBe(false);
    expect(await contents('xen07')).toBe(before);
    expect(await dom0('lvs --noheadings -o lv_name vg0 | tr -d " " | grep xen0[78] | sort | xargs')).toBe(
      'xen07 xen07swap xen08 xen08swap',
    );
    await until('xen06 to be back', 120, async () => {
      const { state } = await modern('getVPSState', { vpsname: 'xen06' });
      return state === 'running' || undefined;
    });
    await shutDown('xen06');
    await modern('reinstallVPSos', {
      vpsname: 'xen08',
      ostype: 'bare',
      ramsize: 128,
      password: 'x',
      nics: '10.0.2.108',
    });
    expect(await jobEnd('xen08')).toMatchObject({ state: 'succeeded' });
  });
});
