// The life of a VPS, as a panel leads it, on real Xen and real LVM.
import { afterAll, describe, expect, it } from 'vitest';
import { inOrder } from './in-order.ts';
import { Console, consoleShows, dom0, dom0Succeeds, domid, jobEnd, modern, panel, shutDown } from './node.ts';

const vpsname = 'xen01';
const IP = '10.0.2.101';
const PASSWORD = `geheim"$1'\\x`;
const PROMPT = 'xen01 login:';
const UP = 'bare guest is up';
const MIB_SECTORS = 2048;

let guest: Console;
let first_domid = 0;
afterAll(() => guest?.close());

/** Counters that the agent tells now: network as dom0 counts it, sectors of both disks. */
async function counters(): Promise<{ in: number; out: number; disk: number; swap: number }> {
  const [network, io] = (await Promise.all([
    panel('getNetworkUsage', { vpsname }),
    panel('getIOUsage', { vpsname }),
  ])) as [string, string];
  const [received = 0, sent = 0] = network.split(',').map(Number);
  const [disk = 0, swap = 0] = io.split(',').map(Number);
  return { in: received, out: sent, disk, swap };
}

const within5 = (measured: number, made: number) => {
  expect(measured).toBeGreaterThanOrEqual(made * 0.95);
  expect(measured).toBeLessThanOrEqual(made * 1.05);
};

describe('the life of a VPS', () => {
  inOrder();

  it('setupLVMDisks: two volumes of these sizes; again changes nothing, other sizes are refused', async () => {
    const sizes = { hddsize: 1024, swapsize: 64, imagetype: 'lvm' };
    expect(await panel('setupLVMDisks', { vpsname: '01', ...sizes })).toBe('OK');
    const volumes = () =>
      dom0('lvs --noheadings --units m --nosuffix -o lv_name,lv_size,lv_uuid vg0 | grep xen01');
    const made = await volumes();
    expect(
      made
        .replace(/\s+\S+$/gm, '')
        .trim()
        .split(/\s+/),
    ).toEqual(['xen01', '1024.00', 'xen01swap', '64.00']);
    expect(await panel('setupLVMDisks', { vpsname: '01', ...sizes })).toBe('OK');
    expect(await panel('setupLVMDisks', { vpsname: '01', ...sizes, hddsize: 512 })).toMatch(
      /^NOTOK - xen01 has disks/,
    );
    expect(await volumes()).toBe(made);
    await dom0(
      'mkdir -p /etc/xen/auto; lvcreate -qq -y -L 4M -n xen011 vg0; touch /etc/xen/xen011; ln -s ../xen011 /etc/xen/auto/xen011',
    );
  });

  it('reinstallVPSos: a transient unit installs; nothing stays mounted; configuration and autostart link are there', async () => {
    const answer = await panel('reinstallVPSos', {
      vpsname: '01',
      ostype: 'image-trixie',
      ramsize: 256,
      password: PASSWORD,
      nics: IP,
      gateway: '',
      dns: '',
    });
    expect(answer).toBe('OK, started mkos.');
    expect(await panel('getVPSState', { vpsname })).toBe('mkos');
    expect(await dom0('systemctl list-units --plain --no-legend "dtc-xen-job-*" | wc -l')).not.toBe('0');
    expect(await panel('startVPS', { vpsname })).toMatch(/^NOTOK - xen01 is busy: a reinstall/);
    expect(await jobEnd(vpsname)).toMatchObject({ kind: 'reinstall', state: 'succeeded' });
    expect(await panel('getVPSInstallLog', { vpsname: '01', numlines: 0 })).toMatch(
      /the root password is set/,
    );
    expect(await dom0Succeeds('grep -E "vg0-xen01|/var/lib/dtc-xen/mnt/" /proc/mounts')).toBe(false);
    expect(await dom0('readlink -f /etc/xen/auto/xen01')).toBe('/etc/xen/xen01');
  });

  it('startVPS: the login prompt on the console, the address answers, the root password of the call logs in', async () => {
    expect(await panel('startVPS', { vpsname })).toEqual(['OK', 'Started xen01']);
    await consoleShows(vpsname, PROMPT);
    first_domid = (await domid(vpsname)) ?? 0;
    expect(await dom0Succeeds(`ping -c 3 -W 5 ${IP}`)).toBe(true);
    guest = new Console(vpsname);
    await guest.login(PASSWORD);
    expect(await guest.run('hostname; cat /proc/swaps | wc -l; cat /root/.ssh/authorized_keys')).toMatch(
      /^xen01\s+2\s+ssh-ed25519 \S+ admin$/,
    );
  });

  it('getVPSState and listStartedVPS: what Xen says, as the panel reads it', async () => {
    const [[kind, ...pairs], rows] = (await Promise.all([
      panel('getVPSState', { vpsname }),
      panel('listStartedVPS'),
    ])) as [[string, ...[string, unknown][]], string[][]];
    expect(kind).toBe('domain');
    expect(Object.fromEntries(pairs)).toMatchObject({
      id: vpsname,
      domid: first_domid,
      maxmem: 256,
      vcpus: 1,
    });
    expect(rows.find(([name]) => name === vpsname)?.slice(0, 4)).toEqual([
      vpsname,
      String(first_domid),
      '256',
      '1',
    ]);
    expect(Number(await panel('getCPUUsage', { vpsname }))).toBeGreaterThan(1);
  });

  it('statistics: network, disk and swap grow by what the guest made, within 5 %', async () => {
    await guest.run('swapoff -a; sync');
    const own = async () =>
      (await guest.run('cd /sys/class/net/eth0/statistics; cat rx_bytes tx_bytes; cd'))
        .split(/\s+/)
        .map(Number);
    const [before, [received_before = 0, sent_before = 0]] = [await counters(), await own()];
    await guest.run('ping -q -c 100 -i 0.01 -s 20000 10.0.2.15 >/dev/null');
    await guest.run('dd if=/dev/zero of=/root/made bs=1M count=48 oflag=direct status=none');
    await guest.run('dd if=/root/made of=/dev/null bs=1M iflag=direct status=none');
    await guest.run('dd if=/dev/xvdb of=/dev/null bs=1M iflag=direct status=none');
    const [received = 0, sent = 0] = await own();
    const after = await counters();
    expect(sent - sent_before).toBeGreaterThan(100 * 20000);
    // dom0's side, as DTC-Xen had it: what the guest sent is `in`.
    within5(after.in - before.in, sent - sent_before);
    within5(after.out - before.out, received - received_before);
    within5(after.disk - before.disk, 96 * MIB_SECTORS);
    within5(after.swap - before.swap, 64 * MIB_SECTORS);
  });

  it('shutdownVPS: answers when the domain is gone and its volumes are free', async () => {
    guest.close();
    await shutDown(vpsname);
    expect(await domid(vpsname)).toBeUndefined();
    expect(await dom0('lvs --noheadings -o lv_device_open vg0/xen01 vg0/xen01swap | tr -d " \\n"')).toBe('');
    expect(await panel('getVPSState', { vpsname })).toBe('Not running');
  });

  it('fsckVPSpartition: clean; damaged on purpose with debugfs it is fixed, and told', async () => {
    const check = async () => {
      expect(await panel('fsckVPSpartition', { vpsname })).toBe('OK');
      return jobEnd(vpsname);
    };
    const [kind, state] = ['fsck', 'succeeded'];
    expect(await check()).toMatchObject({ kind, state, message: expect.stringMatching(/ is clean/) });
    await dom0('debugfs -w -R "ssv free_blocks_count 7" /dev/vg0/xen01');
    expect(await check()).toMatchObject({ kind, state, message: expect.stringMatching(/found and fixed/) });
    expect(await dom0Succeeds('fsck.ext4 -f -n /dev/vg0/xen01')).toBe(true);
  });

  it("changeVPSrootPassword: on a disk that dom0's kernel does not mount, though its superblock asks for a panic", async () => {
    await dom0('tune2fs -e panic /dev/vg0/xen01');
    const before = await dom0('debugfs -R "cat /etc/shadow" /dev/vg0/xen01 2>/dev/null');
    expect(await panel('changeVPSrootPassword', { vpsname, password: 'new: one' })).toBe('OK');
    const after = await dom0('debugfs -R "cat /etc/shadow" /dev/vg0/xen01 2>/dev/null');
    expect(after).toMatch(/^root:\$6\$/m);
    expect(after.split('\n').filter((line) => !line.startsWith('root:'))).toEqual(
      before.split('\n').filter((line) => !line.startsWith('root:')),
    );
    expect(await dom0Succeeds('fsck.ext4 -f -n /dev/vg0/xen01')).toBe(true);
    // A damaged folder is told, and dom0 lives.
    const size = await dom0("dumpe2fs -h /dev/vg0/xen01 2>/dev/null | sed -n 's/^Block size: *//p'");
    const [block] = (await dom0('debugfs -R "blocks /etc" /dev/vg0/xen01 2>/dev/null')).trim().split(' ');
    const [at, only] = [`bs=${size} count=1 status=none`, 'conv=notrunc,fsync'];
    await dom0(`dd if=/dev/vg0/xen01 of=/root/block skip=${block} ${at}`);
    await dom0(`dd if=/dev/urandom of=/dev/vg0/xen01 seek=${block} ${at} ${only}`);
    expect(await panel('changeVPSrootPassword', { vpsname, password: 'newer' })).toMatch(
      /^NOTOK - .*check the file system on .* with fsckVPSpartition/,
    );
    await dom0(`dd if=/root/block of=/dev/vg0/xen01 seek=${block} ${at} ${only}`);
    expect(await dom0Succeeds('fsck.ext4 -f -n /dev/vg0/xen01')).toBe(true);
  });

  it('reinstall over the WSDL: another system and size; the old one stays beside it', async () => {
    const nics = `${IP},255.255.255.0,10.0.2.255`;
    await modern('reinstallVPSos', { vpsname, ostype: 'bare', ramsize: 192, password: 'another', nics });
    expect(await jobEnd(vpsname)).toMatchObject({ state: 'succeeded' });
    expect(await dom0Succeeds('fsck.ext4 -f -n /dev/vg0/xen01')).toBe(true);
    expect(await dom0('grep ^memory /etc/xen/xen01')).toBe('memory = 192');
    expect(await dom0Succeeds('fsck.ext4 -n /dev/vg0/xen01.old')).toBe(true);
  });

  it('destroyVPS: off at once, nothing deleted', async () => {
    expect(await modern('startVPS', { vpsname })).toEqual({ result: 'Started xen01' });
    await consoleShows(vpsname, UP);
    expect(await panel('killVPS', { vpsname: '01', imagetype: 'lvm' })).toMatch(
      /^NOTOK - xen01 cannot be deleted/,
    );
    expect(await panel('destroyVPS', { vpsname })).toEqual(['OK', 'Destroyed xen01']);
    expect(await domid(vpsname)).toBeUndefined();
    expect(await dom0Succeeds('test -b /dev/vg0/xen01 -a -f /etc/xen/xen01')).toBe(true);
  });

  it('killVPS: volumes, configuration, autostart link gone; the neighbour xen011 has all of its own', async () => {
    expect(await panel('killVPS', { vpsname: '01', imagetype: 'lvm' })).toBe('OK');
    expect(await dom0('ls /dev/vg0 /etc/xen /etc/xen/auto | grep -c "^xen01$" || true')).toBe('0');
    expect(
      await dom0('lvs --noheadings -o lv_name vg0 | grep -E "^ *xen01(swap|[.].*)?$" || echo none'),
    ).toBe('none');
    expect(
      await dom0Succeeds('test -b /dev/vg0/xen011 -a -f /etc/xen/xen011 -a -L /etc/xen/auto/xen011'),
    ).toBe(true);
    await dom0('lvremove -qq -y vg0/xen011; rm /etc/xen/xen011 /etc/xen/auto/xen011');
  });
});
