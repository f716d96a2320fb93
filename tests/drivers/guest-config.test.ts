import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseConfig } from '../../src/config/load.ts';
import type { GuestConfig, HvmConfig } from '../../src/core/guest-configs.ts';
import { parseVpsId, type VpsId } from '../../src/core/vps.ts';
import { createGuestConfigs } from '../../src/drivers/guest-config.ts';

const xen01 = parseVpsId('01') as VpsId;
const guest: GuestConfig = {
  vps: xen01,
  memory_mb: 384,
  mac: '02:7f:6c:ed:4d:45',
  nics: [
    { ip: '192.0.2.10', netmask: '255.255.255.0', broadcast: '192.0.2.255' },
    { ip: '192.0.2.11', netmask: '255.255.255.0', broadcast: '192.0.2.255' },
  ],
  disks: { type: 'lvm', root: '/dev/vg0/xen01', swap: '/dev/vg0/xen01swap' },
  kernel: '/boot/vmlinuz-6.12.107+deb13-amd64',
  initrd: '/boot/initrd.img-6.12.107+deb13-amd64',
};

const hvm: HvmConfig = {
  vps: xen01,
  memory_mb: 512,
  mac: guest.mac,
  ips: ['192.0.2.10'],
  disks: guest.disks,
  screen: { display: 1, address: '127.0.0.1', port: 5901, password: 's3cret' },
  isos: ['/home/a.iso', '/home/b.iso'],
  boots_iso: true,
};

let root: string;
const store = (keys = '') =>
  createGuestConfigs({ config: parseConfig(`xen_dir=${root}\nnode_name=node1.example.com\n${keys}`) });
const text = () => readFileSync(join(root, 'xen01'), 'utf8');

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'dtc-xen-etc-'));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

describe('a paravirtual guest', () => {
  it('is written on volumes', async () => {
    await store('XENU_EXTRA_PARM="ro quiet"').write(guest);
    expect(text()).toBe(`# Written by dtc-xen-agent. A reinstallation writes it anew.
name = "xen01"
type = "pv"
kernel = "/boot/vmlinuz-6.12.107+deb13-amd64"
ramdisk = "/boot/initrd.img-6.12.107+deb13-amd64"
memory = 384
vcpus = 1
disk = [ "phy:/dev/vg0/xen01,xvda,w", "phy:/dev/vg0/xen01swap,xvdb,w" ]
vif = [ "mac=02:7f:6c:ed:4d:45,bridge=xenbr0,ip=192.0.2.10 192.0.2.11" ]
root = "/dev/xvda ro"
extra = "net.ifnames=0 ro quiet console=hvc0"
on_poweroff = "destroy"
on_reboot = "restart"
on_crash = "restart"
`);
    expect(statSync(join(root, 'xen01')).mode & 0o777).toBe(0o644);
    expect(readdirSync(root)).toEqual(['xen01']);
  });

  it('is written on image files, with old device names, without an initrd', async () => {
    const disks = { type: 'vbd', root: '/srv/xen01.img', swap: '/srv/xen01.swap.img' } as const;
    await store('XEN_DOMU_HDD_DEV_TYPE=hd').write({ ...guest, disks, initrd: undefined });
    expect(text()).toContain(
      '"format=raw,vdev=hda,access=w,backendtype=phy,no-discard,script=block,target=/srv/xen01.img"',
    );
    expect(text()).toContain('root = "/dev/hda ro"\nextra = "net.ifnames=0 console=hvc0"\n');
    expect(text()).not.toContain('ramdisk');
  });

  it("keeps its console on hvc0, whatever DTC-Xen's parameters say", async () => {
    await store('XENU_EXTRA_PARM="4 TERM=xterm xencons=tty console=tty1"').write(guest);
    expect(text()).toMatch(/^extra = ".*console=tty1 console=hvc0"$/m);
  });

  it.each([
    ['a kernel with a quote', { kernel: '/boot/x" ; memory=9' }, ''],
    ['a kernel that is no path', { kernel: 'vmlinuz' }, ''],
    ['an initrd with a line end', { initrd: '/boot/x\nname="y"' }, ''],
    ['a disk with a comma', { disks: { ...guest.disks, root: '/dev/vg0/x,xvda,r' } }, ''],
    ['a swap disk with a space', { disks: { ...guest.disks, swap: '/dev/vg0/x y' } }, ''],
    ['no address', { nics: [] }, ''],
    ['an address that is none', { nics: [{ ip: '1.2.3.4,bridge=x', netmask: '', broadcast: '' }] }, ''],
    ['memory of 0', { memory_mb: 0 }, ''],
    ['memory that is no whole number', { memory_mb: 1.5 }, ''],
    ['a bridge with a comma', {}, 'vif_bridge="xenbr0,ip=1"'],
    ['parameters with a quote', {}, `XENU_EXTRA_PARM='a"b'`],
    ['parameters with a backslash', {}, String.raw`XENU_EXTRA_PARM='a\b'`],
    ['a MAC address that is none', { mac: '02:7f:6c:ed:4d:45,bridge=x' }, ''],
  ])('is refused with %s, and nothing is written', async (_, change, keys) => {
    await expect(store(keys).write({ ...guest, ...change })).rejects.toMatchObject({ code: 'invalid_value' });
    expect(readdirSync(root)).toEqual([]);
  });

  it('is refused under a name that is not of a VPS', async () => {
    const vps = { number: '01', name: 'xen01"' };
    await expect(store().write({ ...guest, vps })).rejects.toMatchObject({ code: 'invalid_value' });
  });
});

describe('a guest that installs itself', () => {
  it('is written fully virtualized, with a screen on loopback and its own iso first', async () => {
    await store().writeHvm(hvm);
    expect(text()).toBe(`# Written by dtc-xen-agent. writeXenHVMconf writes it anew.
name = "xen01"
type = "hvm"
memory = 512
vcpus = 1
disk = [ "phy:/dev/vg0/xen01,hda,w", "phy:/dev/vg0/xen01swap,hdb,w", "format=raw,vdev=hdc,access=ro,devtype=cdrom,target=/home/a.iso", "format=raw,vdev=hdd,access=ro,devtype=cdrom,target=/home/b.iso" ]
boot = "dc"
vif = [ "type=ioemu,mac=02:7f:6c:ed:4d:45,bridge=xenbr0,ip=192.0.2.10" ]
vnc = 1
vnclisten = "127.0.0.1"
vncdisplay = 1
vncunused = 0
vncpasswd = "s3cret"
serial = "pty"
usbdevice = [ "tablet" ]
on_poweroff = "destroy"
on_reboot = "restart"
on_crash = "restart"
`);
  });

  it('has no screen where none was ordered, and boots from its disk without an iso', async () => {
    await store().writeHvm({ ...hvm, screen: undefined, isos: [], boots_iso: false });
    expect(text()).toContain('\nvnc = 0\n');
    expect(text()).toContain('\nboot = "c"\n');
    expect(text()).not.toMatch(/vncpasswd|cdrom/);
  });

  it('never has a screen without a password that others reach, whatever asked for it', async () => {
    const screen = { display: 1, port: 5901, password: undefined };
    for (const address of ['0.0.0.0', '192.0.2.1', '127.0.0.1"', '127x0.0.1']) {
      const refused = store().writeHvm({ ...hvm, screen: { ...screen, address } });
      await expect(refused).rejects.toMatchObject({ code: 'invalid_value' });
    }
    await store().writeHvm({ ...hvm, screen: { ...screen, address: '127.0.0.1' } });
    expect(text()).toContain('\nvnclisten = "127.0.0.1"\nvncdisplay = 1\nvncunused = 0\nserial');
  });

  it.each(['nine-char', 'a"b', 'a\\b', 'ä', ''])(
    'refuses the VNC password %j, and does not tell it',
    async (password) => {
      const screen = { display: 1, address: '127.0.0.1', port: 5901, password };
      const refused = store().writeHvm({ ...hvm, screen });
      await expect(refused).rejects.toThrow(
        /^The guest's configuration was not written: VNC's password, the first 8 characters of what was ordered, must be of ASCII letters, digits and signs, without " and \\\.$/,
      );
      expect(readdirSync(root)).toEqual([]);
    },
  );

  it('is written with a BSD kernel', async () => {
    const { vps, memory_mb, mac, ips, disks } = hvm;
    await store().writeBsd({ vps, memory_mb, mac, ips, disks, kernel: '/boot/netbsd' });
    expect(text()).toContain('\ntype = "pv"\nkernel = "/boot/netbsd"\nmemory = 512\n');
    await expect(
      store().writeBsd({ vps, memory_mb, mac, ips, disks, kernel: '/boot/net"bsd' }),
    ).rejects.toThrow(/the kernel/);
  });
});

describe("a VPS's MAC address", () => {
  const OLD = 'name = "xen01"\nvif = [ \'mac=00:16:3e:01:02:0a, ip=192.0.2.10\' ]\n';
  const PREFIX = 'vps_mac_prefix=00:16:3e:01:02\n';
  const write = (name: string, content: string) => writeFileSync(join(root, name), content);

  it('is what DTC-Xen wrote into its configuration, whatever the node would choose', async () => {
    write('xen01', OLD);
    expect(await store(PREFIX).mac(xen01)).toBe('00:16:3e:01:02:0a');
    await store(PREFIX).write({ ...guest, mac: await store(PREFIX).mac(xen01) });
    expect(text()).toContain('mac=00:16:3e:01:02:0a,');
    expect(await store().mac(xen01)).toBe('00:16:3e:01:02:0a');
  });

  it("is a new one where there is none, and never a neighbour's, however that is configured", async () => {
    expect(await store(PREFIX).mac(xen01)).toBe('00:16:3e:01:02:01');
    write('by-hand.cfg', 'import os\nvif = [ "mac=00:16:3E:1:2:1" ]\n');
    mkdirSync(join(root, 'auto'));
    symlinkSync('nowhere', join(root, 'xen03'));
    write('xen02', `${'#'.repeat(300_000)}\n${OLD}`);
    expect(await store(PREFIX).mac(xen01)).not.toBe('00:16:3e:01:02:01');
  });

  it('outlives an installation in place that failed, and ends with the VPS', async () => {
    write('xen01', OLD);
    const configs = store(PREFIX);
    await configs.enableAutostart(xen01);
    await configs.withdraw(xen01);
    expect(await configs.exists(xen01)).toBe(false);
    expect(readdirSync(join(root, 'auto'))).toEqual([]);
    await configs.withdraw(xen01);
    expect(await configs.mac(xen01)).toBe('00:16:3e:01:02:0a');
    expect(await configs.mac(parseVpsId('02') as VpsId)).toBe('00:16:3e:01:02:02');
    await configs.remove(xen01);
    expect(await configs.mac(xen01)).toBe('00:16:3e:01:02:0a');
    await configs.forget(xen01);
    expect(await configs.mac(xen01)).toBe('00:16:3e:01:02:01');
  });

  it("withdrawn, is not given to a neighbour; a new configuration takes the old one's place", async () => {
    write('xen01', OLD.replace(':0a', ':02'));
    const configs = store(PREFIX);
    await configs.withdraw(xen01);
    expect(await configs.mac(parseVpsId('02') as VpsId)).not.toBe('00:16:3e:01:02:02');
    await configs.write({ ...guest, mac: await configs.mac(xen01) });
    expect(text()).toContain('mac=00:16:3e:01:02:02,');
    expect(readdirSync(root).sort()).toEqual(
      ['auto', 'xen01'].filter((name) => existsSync(join(root, name))),
    );
  });

  it('is refused under a multicast prefix', async () => {
    await expect(store('vps_mac_prefix=01:00:5e').mac(xen01)).rejects.toMatchObject({
      code: 'invalid_value',
    });
  });
});

describe('the files', () => {
  it('hides a password from everybody but root, also where the file was open before', async () => {
    const configs = store();
    expect(await configs.exists(xen01)).toBe(false);
    await configs.write(guest);
    await configs.writeHvm(hvm);
    expect(await configs.exists(xen01)).toBe(true);
    expect(statSync(configs.path(xen01)).mode & 0o777).toBe(0o600);
  });

  it('links for autostart, keeps a link of an admin that leads there, mends one that leads astray', async () => {
    const configs = store();
    const link = join(root, 'auto', 'xen01');
    await configs.enableAutostart(xen01);
    expect(readlinkSync(link)).toBe('../xen01');
    await configs.enableAutostart(xen01);
    rmSync(link);
    symlinkSync(join(root, 'xen01'), link);
    await configs.enableAutostart(xen01);
    expect(readlinkSync(link)).toBe(join(root, 'xen01'));
    rmSync(link);
    symlinkSync('../xen02', link);
    await configs.enableAutostart(xen01);
    expect(readlinkSync(link)).toBe('../xen01');
    expect(readdirSync(join(root, 'auto'))).toEqual(['xen01']);
  });

  it('does not touch a file of an admin in the place of the link', async () => {
    mkdirSync(join(root, 'auto'));
    writeFileSync(join(root, 'auto', 'xen01'), 'mine');
    await expect(store().enableAutostart(xen01)).rejects.toMatchObject({ code: 'program_failed' });
    expect(readFileSync(join(root, 'auto', 'xen01'), 'utf8')).toBe('mine');
  });

  it('removes both, and what is gone already too', async () => {
    const configs = store();
    await configs.write(guest);
    await configs.enableAutostart(xen01);
    await configs.remove(xen01);
    await configs.remove(xen01);
    expect(readdirSync(root)).toEqual(['auto']);
    expect(readdirSync(join(root, 'auto'))).toEqual([]);
  });
});
