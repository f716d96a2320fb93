// Root in a guest writes onto its disk whatever would harm the node, and its owner calls the agent: dom0 lives, and says what is wrong.
// And what a VPS leaves on a real node when it is deleted.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { inOrder } from './in-order.ts';
import { consoleShows, dom0, dom0Succeeds, install, jobEnd, modern, panel } from './node.ts';
import { note } from './report.ts';

const vpsname = 'xen26';
const IMAGE_VPS = 'xen27';
const FOLDER = '/var/lib/dtc-xen/mnt';
const bootId = () => dom0('cat /proc/sys/kernel/random/boot_id');

/** The superblock asks for a panic at an error, and there is one: the folder /etc is noise. */
async function harm(disk: string): Promise<void> {
  await dom0(`tune2fs -e panic ${disk}`);
  const size = await dom0(`dumpe2fs -h ${disk} 2>/dev/null | sed -n 's/^Block size: *//p'`);
  const [block] = (await dom0(`debugfs -R "blocks /etc" ${disk} 2>/dev/null`)).trim().split(' ');
  await dom0(`dd if=/dev/urandom of=${disk} seek=${block} bs=${size} count=1 status=none conv=notrunc,fsync`);
}

describe('a disk whose superblock asks for a panic, with a damaged folder', () => {
  inOrder();
  const disk = `/dev/vg0/${vpsname}`;
  let boot = '';

  beforeAll(async () => {
    boot = await bootId();
    for (let times = 0; times < 2; times++)
      expect(await install(vpsname, 'bare')).toMatchObject({ state: 'succeeded' });
    await harm(disk);
  });

  it('changeVPSrootPassword says that the file system must be checked', async () => {
    expect(await panel('changeVPSrootPassword', { vpsname, password: 'newer' })).toMatch(
      /^NOTOK - .*check the file system on .* with fsckVPSpartition/,
    );
  });

  it('fsckVPSpartition says what it cannot mend by itself', async () => {
    await modern('fsckVPSpartition', { vpsname });
    const { state, message } = await jobEnd(vpsname);
    expect([state, message]).toEqual(['failed', expect.stringMatching(/fsck/)]);
    note('fsckVPSpartition of it', message.slice(0, 120));
  });

  it('rollbackVPSos puts it aside, and back', async () => {
    await modern('rollbackVPSos', { vpsname });
    expect(await dom0Succeeds(`e2fsck -f -n ${disk}`)).toBe(true);
    await modern('rollbackVPSos', { vpsname });
    expect(await dom0Succeeds(`e2fsck -f -n ${disk}`)).toBe(false);
  });

  it('reinstallVPSos makes a new system beside it', async () => {
    expect(await install(vpsname, 'bare')).toMatchObject({ state: 'succeeded' });
    expect(await dom0Succeeds(`e2fsck -f -n ${disk}`)).toBe(true);
  });

  it('dom0 has lived through it, and its kernel has seen no error of a file system', async () => {
    expect(await bootId()).toBe(boot);
    expect(await dom0('dmesg | grep -c "EXT4-fs error" || true')).toBe('0');
  });
});

describe("a volume group with the name of the node's, on a guest's image", () => {
  inOrder();

  beforeAll(async () => {
    await modern('setupLVMDisks', { vpsname: IMAGE_VPS, hddsize: 128, swapsize: 16, imagetype: 'vbd' });
    // What a guest would write, and the loop device that its domain would have. In a guest there is no /dev/vg0 in the way.
    await dom0(`set -e; loop=$(losetup --find --show ${FOLDER}/${IMAGE_VPS}.img); mkdir -p /root/nodes
      alone="devices{global_filter=[\\"a|^$loop\\$|\\",\\"r|.*|\\"] dir=\\"/root/nodes\\" scan=[\\"/dev\\"]}"
      pvcreate -q --config "$alone" "$loop"; vgcreate -q --config "$alone" vg0 "$loop"`);
  });
  afterAll(async () => {
    await dom0(
      `losetup --detach $(losetup --noheadings --output NAME --associated ${FOLDER}/${IMAGE_VPS}.img)`,
    );
    await modern('killVPS', { vpsname: IMAGE_VPS, imagetype: 'vbd' });
  });

  it("LVM by itself skips the node's group", async () => {
    expect(await dom0('vgs vg0 2>&1 || true')).toMatch(/Multiple VGs found with the same name: skipping vg0/);
  });

  it('the agent makes, installs, rolls back and removes as before', async () => {
    await modern('getFreeSpace');
    await modern('setupLVMDisks', { vpsname: 'xen28', hddsize: 64, swapsize: 16, imagetype: 'lvm' });
    await modern('killVPS', { vpsname: 'xen28', imagetype: 'lvm' });
    expect(await install(vpsname, 'bare')).toMatchObject({ state: 'succeeded' });
    await modern('rollbackVPSos', { vpsname });
  });
});

describe('killVPS', () => {
  it('leaves nothing of the VPS on the node, but samples and logs, which are the admin’s', async () => {
    await modern('changeVPSsoapPassword', { vpsname, password: 'of the owner' });
    await modern('changeVPSxmPassword', { vpsname, password: 'of the console' });
    await modern('startVPS', { vpsname });
    await consoleShows(vpsname, 'bare guest is up');
    await modern('destroyVPS', { vpsname });
    await modern('killVPS', { vpsname, imagetype: 'lvm' });
    const named = `find / -xdev \\( -path /proc -o -path /sys \\) -prune -o -name '*${vpsname}*' -print; find /run /dev /tmp -name '*${vpsname}*'`;
    // Root's alone, and no other owner's to read: LVM's and Xen's history, samples, who asked for what; and the Unix account, locked and
    // expired, since numbers of users are not given twice.
    const said = `grep -rlIsw ${vpsname} /etc /home /opt /root /run /srv /tmp /usr/local /var --exclude-dir=journal --exclude-dir=archive --exclude-dir=perfdata`;
    const left = (
      await dom0(
        `{ ${named}; ${said}; xenstore-ls | grep -w ${vpsname}; id ${vpsname} 2>/dev/null; } | sort -u; true`,
      )
    )
      .split('\n')
      .filter(Boolean);
    const KEPT = [
      /^\/run\/dtc-xen\/lock\/xen26\.(?:disks|lock)$/,
      /^\/var\/log\/(?!xen\/(?!xenstored-access\.log$))/,
      /^\/etc\/lvm\/backup\/vg0$/,
      /^\/etc\/(?:passwd|shadow|group|gshadow|subuid|subgid)-?$/,
      /^uid=[0-9]+\(xen26\) gid=[0-9]+\(xenusers\) groups=[0-9]+\(xenusers\)$/,
    ];
    expect(await dom0(`getent shadow ${vpsname}`)).toMatch(/^xen26:[!*][^:]*:(?:[^:]*:){5}[0-9]+:$/);
    expect(left.filter((path) => !KEPT.some((kept) => kept.test(path)))).toEqual([]);
    note('what names a deleted VPS', left.join(', ') || 'nothing');
  });
});
