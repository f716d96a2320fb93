import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { GuestConfig, GuestConfigStore } from '../../../src/core/guest-configs.ts';
import type { DiskStore, Hypervisor } from '../../../src/core/ports.ts';
import { domainPhase, parseVpsId, type VpsId } from '../../../src/core/vps.ts';
import { lostReboot, xlLog } from '../../../src/core/xl-log.ts';
import { createDiskFiles } from '../../../src/drivers/disk-files.ts';
import { createGuestConfigs } from '../../../src/drivers/guest-config.ts';
import { createLvm } from '../../../src/drivers/lvm.ts';
import { createXl } from '../../../src/drivers/xl.ts';
import type { DriverNode } from './driver-node.ts';

const WAIT_MS = 90_000;
const TEST_MS = 300_000;
const vps = parseVpsId('xen91') as VpsId;

/** What a {@link Hypervisor} must do on a node, with guests on volumes. */
export function describeHypervisor(name: string, open: () => Promise<DriverNode>): void {
  describe(`xl on ${name}`, { timeout: TEST_MS }, () => {
    let node: DriverNode;
    let xl: Hypervisor;
    let disks: DiskStore;
    let guests: GuestConfigStore;
    let guest: GuestConfig;

    beforeAll(async () => {
      node = await open();
      xl = createXl(node);
      disks = createLvm(node);
      guests = createGuestConfigs(node);
      await disks.create(vps, { root_mb: 512, swap_mb: 64 });
      const { root, swap } = await disks.find(vps);
      await node.fillRoot(root?.path ?? '');
      guest = {
        vps,
        memory_mb: node.memory_mb,
        mac: '00:16:3e:00:00:91',
        nics: [{ ip: '192.0.2.91', netmask: '255.255.255.0', broadcast: '192.0.2.255' }],
        disks: { type: 'lvm', root: root?.path ?? '', swap: swap?.path ?? '' },
        kernel: node.kernel,
        initrd: node.initrd,
      };
    }, TEST_MS);
    afterEach(async () => {
      if (await xl.find(vps)) await xl.destroy(vps, WAIT_MS);
    }, TEST_MS);
    afterAll(() => node.cleanup(), TEST_MS);

    const start = async (change: Partial<GuestConfig> = {}) => {
      await guests.write({ ...guest, ...change });
      await xl.create(vps, guests.path(vps));
    };

    const xlByHand = (...args: string[]) =>
      node.runner.check({ label: `xl ${args[0]}`, program: 'xl', args, timeout_ms: WAIT_MS });
    /** What there is of the guest when it is not this any more. */
    const presenceBut = async (kind: string) => {
      const last_ms = Date.now() + WAIT_MS;
      let presence = await xl.presence(vps);
      while (presence.kind === kind && Date.now() < last_ms) presence = await xl.presence(vps);
      return presence;
    };

    it('knows no domain that was never made', async () => {
      expect(await xl.find(vps)).toBeUndefined();
      expect((await xl.list()).map(({ domid }) => domid)).not.toContain(0);
      await expect(xl.shutdown(vps, 1_000)).rejects.toMatchObject({ code: 'vps_not_running' });
      await expect(xl.destroy(vps, 1_000)).rejects.toMatchObject({ code: 'vps_not_running' });
    });

    it('boots a guest, which takes memory and holds its disks, and shuts it down until it is gone', async () => {
      const free_before = await xl.freeMemory_mib();
      await start();
      const domain = await xl.find(vps);
      expect(domain).toMatchObject({ name: 'xen91', memory_mib: node.memory_mb, vcpus: 1 });
      expect(['running', 'paused']).toContain(domainPhase(domain ?? { state: '', memory_mib: 0 }));
      expect(await xl.freeMemory_mib()).toBeLessThanOrEqual(free_before - node.memory_mb);
      expect(await disks.find(vps)).toMatchObject({ root: { in_use: true }, swap: { in_use: true } });
      await expect(disks.remove(vps)).rejects.toMatchObject({ code: 'disks_in_use' });

      await expect(xl.create(vps, guests.path(vps))).rejects.toMatchObject({
        code: 'vps_running',
        message: expect.stringContaining(`Xen has xen91 as domain ${domain?.domid}`),
      });
      expect((await xl.find(vps))?.domid).toBe(domain?.domid);

      await node.booted(vps);
      await xl.shutdown(vps, WAIT_MS);
      expect(await xl.find(vps)).toBeUndefined();
      expect(await disks.find(vps)).toMatchObject({ root: { in_use: false }, swap: { in_use: false } });
      expect(await xl.freeMemory_mib()).toBe(free_before);
    });

    it('boots a guest from image files', async () => {
      const files = createDiskFiles(node);
      await files.create(vps, { root_mb: 512, swap_mb: 64 });
      try {
        const { root, swap } = await files.find(vps);
        await node.fillRoot(root?.path ?? '');
        await start({ disks: { type: 'vbd', root: root?.path ?? '', swap: swap?.path ?? '' } });
        await node.booted(vps);
        await xl.shutdown(vps, WAIT_MS);
      } finally {
        if (await xl.find(vps)) await xl.destroy(vps, WAIT_MS);
        await files.remove(vps);
      }
    });

    it('destroys a guest that has only begun to boot; the next one has another id', async () => {
      await start();
      const first = await xl.find(vps);
      await xl.destroy(vps, WAIT_MS);
      expect(await xl.find(vps)).toBeUndefined();
      await start();
      expect((await xl.find(vps))?.domid).toBeGreaterThan(first?.domid ?? 0);
    });

    it('tells a saved guest from a stopped one, and has it go on under another id', async () => {
      await start();
      await node.booted(vps);
      const before = await xl.find(vps);
      const folder = node.config.xen_save_dir || '/var/lib/xen/save';
      const path = join(folder, 'xen91');
      mkdirSync(folder, { recursive: true });
      await xlByHand('save', 'xen91', path);
      // xl's process for the guest outlives its domain by a moment.
      expect(await presenceBut('starting')).toEqual({ kind: 'saved', path });
      await xl.restore(vps);
      const after = await xl.find(vps);
      expect(after).toMatchObject({ name: 'xen91', memory_mib: node.memory_mb });
      expect(after?.domid).toBeGreaterThan(before?.domid ?? 0);
      expect(existsSync(path)).toBe(false);
    });

    it('never takes a guest that reboots itself for a stopped one', async () => {
      await start();
      await node.booted(vps);
      const before = await xl.find(vps);
      await xlByHand('reboot', 'xen91');
      const seen = new Set<string>();
      const last_ms = Date.now() + WAIT_MS;
      let domid = before?.domid;
      while (domid === before?.domid && Date.now() < last_ms) {
        const presence = await xl.presence(vps);
        seen.add(presence.kind);
        if (presence.kind === 'domain') domid = presence.domain.domid;
      }
      expect(domid).toBeGreaterThan(before?.domid ?? 0);
      expect([...seen].filter((kind) => !['domain', 'starting'].includes(kind))).toEqual([]);
    });

    it('destroys a guest in the gap of its own reboot: it stays away, and is not told as lost', async () => {
      await start();
      await node.booted(vps);
      await xlByHand('reboot', 'xen91');
      expect(await presenceBut('domain')).toMatchObject({ kind: 'starting' });
      await xl.destroy(vps, WAIT_MS);
      expect(await presenceBut('starting')).toEqual({ kind: 'stopped' });
      expect(lostReboot(readFileSync(xlLog(node.config.xen_log_dir || '/var/log/xen', vps), 'utf8'))).toBe(
        undefined,
      );
    });

    it('shows every caller the listing after a change, however many ask at once', async () => {
      const early = Promise.all([xl.list(), xl.list()]);
      await start();
      const late = await Promise.all([xl.list(), xl.find(vps), xl.list()]);
      expect(late[1]).toBeDefined();
      expect(late[0]).toEqual(late[2]);
      await early;
    });

    it.each<[string, Partial<GuestConfig>, RegExp]>([
      [
        'a missing disk',
        { disks: { type: 'lvm', root: '/dev/nosuch/xen91', swap: '/dev/nosuch/s' } },
        /its disk xvda is missing: there is no \/dev\/nosuch\/xen91/,
      ],
      ['a missing kernel', { kernel: '/boot/vmlinuz-nosuch' }, /there is no \/boot\/vmlinuz-nosuch/],
      ['too much memory', { memory_mb: 90_000 }, /Xen has not enough free memory/],
    ])('says why a guest with %s does not start, and that there is none', async (_, change, why) => {
      await expect(start(change)).rejects.toMatchObject({
        code: 'program_failed',
        message: expect.stringMatching(why),
      });
      expect(await xl.find(vps)).toBeUndefined();
    });

    it('says why a guest does not start that wants a bridge which is not there', async () => {
      await guests.write(guest);
      const text = readFileSync(guests.path(vps), 'utf8');
      writeFileSync(guests.path(vps), text.replace(/bridge=\w+/, 'bridge=nosuchbr'));
      await expect(xl.create(vps, guests.path(vps))).rejects.toMatchObject({
        message: expect.stringContaining('there is no bridge nosuchbr on the node'),
      });
      expect(await xl.find(vps)).toBeUndefined();
    });

    it('says what is wrong with the file', async () => {
      await expect(xl.create(vps, '/etc/xen/nosuch')).rejects.toMatchObject({
        message: expect.stringContaining('its configuration /etc/xen/nosuch cannot be read'),
      });
      await guests.write(guest);
      writeFileSync(
        guests.path(vps),
        readFileSync(guests.path(vps), 'utf8').replace('memory =', 'memory = ='),
      );
      await expect(xl.create(vps, guests.path(vps))).rejects.toMatchObject({
        message: expect.stringContaining('its configuration has a syntax error in line'),
      });
    });
  });
}
