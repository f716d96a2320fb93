// Guests that DTC-Xen configured, on real Xen: their files are the ones that its program wrote for xm, and the agent has them from the first minute.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { inOrder } from './in-order.ts';
import {
  Console,
  consoleShows,
  dom0,
  dom0Succeeds,
  domid,
  install,
  jobEnd,
  modern,
  panel,
  shutDown,
} from './node.ts';
import { note } from './report.ts';

const FILES = '/var/cache/dtc-xen-lab';
const UP = 'bare guest is up';
const MIB_SECTORS = 2048;

/** Replaces a guest's configuration, as another program does: nobody tells the agent. */
const configure = (vpsname: string, text: string) => dom0(`cat >/etc/xen/${vpsname}`, text);
const macOf = (vpsname: string) => dom0(`sed -n "s/.*mac=\\([0-9A-Fa-f:]*\\).*/\\1/p" /etc/xen/${vpsname}`);
const sectors = async (vpsname: string) =>
  String(await panel('getIOUsage', { vpsname }))
    .split(',')
    .map(Number);

describe.each([
  ['sda1 and sda2', 'sda1', 'sda2', 'xvda1'],
  ['xvda and xvdb', 'xvda', 'xvdb', 'xvda'],
])('a paravirtual guest on %s', (_, disk, swap, seen) => {
  inOrder();
  const vpsname = disk === 'sda1' ? 'xen31' : 'xen32';
  const number = vpsname.slice(3);
  const mac = `00:50:56:1C:09:${number}`;
  const ip = `10.0.2.1${number}`;
  let guest: Console;
  afterAll(() => guest?.close());

  beforeAll(async () => {
    expect(await install(vpsname, 'bare')).toMatchObject({ state: 'succeeded' });
    // What dtc-xen_domU_gen_xen_conf of DTC-Xen 0.5 wrote, over the kernel that this machine has; today's kernels call sda1 xvda1.
    await configure(
      vpsname,
      `kernel = "${FILES}/vmlinuz"
ramdisk = "${FILES}/initrd-guest.img"
memory = 128
name = "${vpsname}"
#cpu = -1   # leave to Xen to pick
vif = [ 'mac=${mac}, ip=${ip}' ]

disk = [ 'phy:/dev/mapper/vg0-${vpsname},${disk},w','phy:/dev/mapper/vg0-${vpsname}swap,${swap},w' ]

root = "/dev/${seen} ro"
# Sets runlevel 4.
extra = "4 TERM=xterm xencons=tty console=hvc0"

`,
    );
  });

  it('startVPS: it is up, on its address, with its MAC', async () => {
    expect(await panel('startVPS', { vpsname })).toEqual(['OK', `Started ${vpsname}`]);
    await consoleShows(vpsname, UP);
    expect(await dom0(`xl network-list ${vpsname} | tail -n 1`)).toContain(mac.toLowerCase());
    expect(await dom0Succeeds(`ping -c 3 -W 5 ${ip}`)).toBe(true);
  });

  it('getVPSState and listStartedVPS tell it', async () => {
    expect(await modern('getVPSState', { vpsname })).toMatchObject({ state: 'running' });
    const rows = (await panel('listStartedVPS')) as string[][];
    expect(rows.find(([name]) => name === vpsname)?.slice(2, 4)).toEqual(['128', '1']);
  });

  it('what it reads from its disk and its swap is billed', async () => {
    guest = new Console(vpsname);
    const [disk_before = 0, swap_before = 0] = await sectors(vpsname);
    const second = swap.replace(/^sda/, 'xvda');
    await guest.run(`/bin/busybox dd if=/dev/${seen} of=/dev/null bs=1M count=48`);
    await guest.run(`/bin/busybox dd if=/dev/${second} of=/dev/null bs=1M count=8`);
    const [disk_after = 0, swap_after = 0] = await sectors(vpsname);
    expect(swap_after - swap_before).toBeGreaterThanOrEqual(8 * MIB_SECTORS);
    expect(disk_after - disk_before).toBeGreaterThanOrEqual(40 * MIB_SECTORS);
    note(`sectors of ${vpsname}`, `${disk_after - disk_before} and ${swap_after - swap_before}`);
  });

  it('shutdownVPS: it ends, and what was its stays', async () => {
    guest.close();
    await shutDown(vpsname);
    expect(await domid(vpsname)).toBeUndefined();
    expect(await macOf(vpsname)).toBe(mac);
  });

  it('reinstallVPSos: another system, the same MAC, and it starts', async () => {
    const order = { vpsname, ostype: 'bare', ramsize: 144, password: 'x', nics: ip };
    await modern('reinstallVPSos', order);
    expect(await jobEnd(vpsname)).toMatchObject({ state: 'succeeded' });
    expect((await macOf(vpsname)).toLowerCase()).toBe(mac.toLowerCase());
    expect(await panel('startVPS', { vpsname })).toEqual(['OK', `Started ${vpsname}`]);
    await consoleShows(vpsname, UP, 2);
    expect(await dom0(`xl network-list ${vpsname} | tail -n 1`)).toContain(mac.toLowerCase());
    await modern('destroyVPS', { vpsname });
  });

  it('rollbackVPSos: its old system, with the configuration that it had', async () => {
    await modern('rollbackVPSos', { vpsname });
    expect(await dom0(`grep ^memory /etc/xen/${vpsname}`)).toBe('memory = 128');
    expect(await macOf(vpsname)).toBe(mac);
  });
});

describe('a guest with full virtualization', () => {
  inOrder();
  const vpsname = 'xen33';
  const mac = '00:50:56:1C:09:33';

  beforeAll(async () => {
    await dom0(
      'dpkg -s qemu-system-xen >/dev/null 2>&1 || { apt-get -q update; apt-get -q -y install qemu-system-xen; }',
    );
    await modern('setupLVMDisks', { vpsname, hddsize: 64, swapsize: 16, imagetype: 'lvm' });
    await configure(
      vpsname,
      `kernel = "/usr/lib/xen/boot/hvmloader"
builder = 'hvm'
memory = 64
name = "${vpsname}"
vcpus=1
#pae=0
#acpi=0
#apic=0
vif = [ 'type=ioemu, mac=${mac}, ip=10.0.2.133' ]
disk=[ 'phy:/dev/mapper/vg0-${vpsname},ioemu:hda,w' ]
vfb = [ "type=vnc,vncdisplay=${vpsname.slice(3)},vncpasswd=XXXX" ]
boot="c"
nographic=1
serial='pty'
`,
    );
  });

  it('startVPS, getVPSState: it runs', async () => {
    expect(await panel('startVPS', { vpsname })).toEqual(['OK', `Started ${vpsname}`]);
    expect(await modern('getVPSState', { vpsname })).toMatchObject({ state: 'running' });
    expect((await dom0(`xl network-list ${vpsname} | tail -n 1`)).toLowerCase()).toContain(mac.toLowerCase());
  });

  it('it is billed: processor time, and a disk that has counters', async () => {
    expect(Number(await panel('getCPUUsage', { vpsname }))).toBeGreaterThan(0);
    const [disk] = await sectors(vpsname);
    expect(disk).toBeGreaterThanOrEqual(0);
  });

  it('destroyVPS: it is off, its disk and configuration stay', async () => {
    expect(await panel('destroyVPS', { vpsname })).toEqual(['OK', `Destroyed ${vpsname}`]);
    expect(await domid(vpsname)).toBeUndefined();
    expect(await macOf(vpsname)).toBe(mac);
  });

  it('reinstallVPSos with the hdd of an HVM guest: the same MAC', async () => {
    await modern('reinstallVPSos', {
      vpsname,
      ostype: 'xenhvm',
      ramsize: 96,
      password: 'x',
      nics: '10.0.2.133',
    });
    expect(await jobEnd(vpsname)).toMatchObject({ state: 'succeeded' });
    expect((await macOf(vpsname)).toLowerCase()).toBe(mac.toLowerCase());
    expect(await panel('startVPS', { vpsname })).toEqual(['OK', `Started ${vpsname}`]);
    await modern('destroyVPS', { vpsname });
  });
});
