import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseVpsId, type VpsId } from '../../../src/core/vps.ts';
import { createGuestConfigs } from '../../../src/drivers/guest-config.ts';
import { createLvm } from '../../../src/drivers/lvm.ts';
import { createXl } from '../../../src/drivers/xl.ts';
import { openFakeNode } from './fake-driver-node.ts';

const vps = parseVpsId('xen91') as VpsId;
const sizes = { root_mb: 64, swap_mb: 16 };

let node: Awaited<ReturnType<typeof openFakeNode>>;
beforeEach(async () => {
  node = await openFakeNode();
});
afterEach(() => node.cleanup());

describe('making volumes when lvcreate goes wrong at the second', () => {
  const lvm = () => createLvm({ ...node, change_timeout_ms: 10_000 });

  it.each([
    [
      'fails',
      { mode: 'fail', exit: 5, stderr: '  Aborting. Failed to wipe start of new LV.\n' },
      'program_failed',
    ],
    ['fails after it has made the volume', { mode: 'late', exit: 5, stderr: '  oops\n' }, 'program_failed'],
    ['is killed', { mode: 'killed' }, 'program_failed'],
    ['hangs', { mode: 'hang' }, 'program_timeout'],
  ] as const)('leaves nothing behind: it %s', async (_, fault, code) => {
    await node.fake.setFault({ match: 'lvcreate xen91swap', ...fault });
    await expect(lvm().create(vps, sizes)).rejects.toMatchObject({ code });
    expect(await lvm().find(vps)).toMatchObject({ root: undefined, swap: undefined });
    await node.fake.clearFaults();
    await lvm().create(vps, sizes);
    expect((await lvm().find(vps)).swap?.size_bytes).toBe(16 * 1024 * 1024);
  });

  it('says what is left over where it cannot be taken back', async () => {
    await node.fake.setFault({ match: 'lvcreate xen91swap', mode: 'fail', exit: 5, stderr: '  oops\n' });
    await node.fake.setFault({ match: 'lvremove', mode: 'fail', exit: 5, stderr: '  no way\n' });
    await expect(lvm().create(vps, sizes)).rejects.toMatchObject({
      code: 'program_failed',
      message:
        'xen91swap: lvcreate failed (exit code 5): oops; and vg0/xen91 is left over: xen91: lvremove failed (exit code 5): no way',
    });
  });
});

describe('a guest that goes wrong', () => {
  const xl = () => createXl({ ...node, poll_ms: 50, settle_ms: 3_000 });

  beforeEach(async () => {
    const lvm = createLvm(node);
    await lvm.create(vps, sizes);
    const { root, swap } = await lvm.find(vps);
    await createGuestConfigs(node).write({
      vps,
      memory_mb: 256,
      mac: '00:16:3e:00:00:91',
      nics: [{ ip: '192.0.2.91', netmask: '255.255.255.0', broadcast: '192.0.2.255' }],
      disks: { type: 'lvm', root: root?.path ?? '', swap: swap?.path ?? '' },
      kernel: node.kernel,
      initrd: node.initrd,
    });
  });
  const start = () => xl().create(vps, createGuestConfigs(node).path(vps));

  it('does not hear: it is told as running still', async () => {
    await node.fake.setGuest('xen91', { acknowledges: false });
    await start();
    await expect(xl().shutdown(vps, 5_000)).rejects.toMatchObject({
      code: 'program_failed',
      message: expect.stringMatching(
        /the guest did not answer within 60 s.*Xen has xen91 as domain \d+, state/,
      ),
    });
  });

  it('hears and does not go: it is told as stopping', async () => {
    await node.fake.setGuest('xen91', { acknowledges: true, powers_off: false });
    await start();
    expect(await xl().shutdown(vps, 1_500)).toBe('stopping');
    await xl().destroy(vps, 60_000);
    expect(await xl().find(vps)).toBeUndefined();
  });

  it('goes while its teardown is slow: shutdown answers when it is gone; destroy bears the teardown', async () => {
    await node.fake.setTiming({ teardown_ms: 1_500 });
    await start();
    const started = performance.now();
    await xl().shutdown(vps, 60_000);
    expect(performance.now() - started).toBeGreaterThan(1_400);
    await start();
    await node.fake.end('xen91', 'poweroff');
    await xl().destroy(vps, 60_000);
    expect(await node.fake.domains()).toEqual([]);
  });

  it('reboots in place of powering off: it is told under its new id', async () => {
    await node.fake.setGuest('xen91', { acknowledges: true, powers_off: false });
    await start();
    const running = xl();
    const shutdown = running.shutdown(vps, 60_000).catch((error: Error) => error.message);
    await expect
      .poll(() => node.fake.calls(), { timeout: 60_000 })
      .toContainEqual(expect.arrayContaining(['xl', 'shutdown']));
    await node.fake.end('xen91', 'reboot');
    expect(await shutdown).toMatch(/started again as domain|Xen knew no such domain/);
  });

  it('reboots itself, and is not listed for a moment, when it is told to shut down: it is down then', async () => {
    await start();
    await node.fake.setTiming({ reboot_gap_ms: 2_000 });
    await node.fake.end('xen91', 'reboot');
    await expect.poll(() => node.fake.domains(), { timeout: 60_000 }).toEqual([]);
    await xl().shutdown(vps, 60_000);
    expect(await xl().presence(vps)).toMatchObject({ kind: 'stopped' });
  });

  it('cannot be seen, since xl answers nonsense: nothing is taken for stopped', async () => {
    await start();
    await node.fake.setFault({ match: 'xl list', mode: 'nonsense' });
    await expect(xl().find(vps)).rejects.toMatchObject({ code: 'program_output' });
    await expect(xl().destroy(vps, 1_000)).rejects.toMatchObject({ code: 'program_output' });
    expect((await node.fake.domains()).map(({ name }) => name)).toEqual(['xen91']);
  });

  it('is told as not made where xl create hangs, and where xl is not there', async () => {
    await node.fake.setFault({ match: 'xl create', mode: 'hang' });
    const hasty = createXl({ ...node, create_timeout_ms: 3_000 });
    await expect(hasty.create(vps, createGuestConfigs(node).path(vps))).rejects.toMatchObject({
      code: 'program_timeout',
      message: 'xen91: xl create did not end within 3 s and was killed; Xen has no domain xen91 now.',
    });
    await node.fake.clearFaults();
    await node.fake.setFault({ match: 'xl', mode: 'missing' });
    await expect(start()).rejects.toMatchObject({ code: 'program_missing' });
  });
});
