// Reinstalls in a thin pool on real LVM: cold, when the base becomes a volume, and warm, when a root disk begins as a copy of it.
import os from 'node:os';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeMeasured } from '../../scripts/dev/measured.ts';
import { inOrder } from './in-order.ts';
import { Console, consoleShows, dom0, dom0Succeeds, jobEnd, modern, reconfigure } from './node.ts';
import { note as print } from './report.ts';

const vpsname = 'xen07';
const POOL = 'thin';
const ORDER = { vpsname, ostype: 'image-trixie', ramsize: 256, password: 'a thin one', nics: '10.0.2.107' };

interface Step {
  readonly name: string;
  readonly started: string;
  readonly ended: string;
}

const rows: string[] = [];
const note = (what: string, figure: string) => {
  print(what, figure);
  rows.push(`| ${what.replace('thin pool: ', '')} | ${figure} |`);
};
const seconds = (from: string, to: string) => (Date.parse(to) - Date.parse(from)) / 1000;

beforeAll(async () => {
  await dom0(`modprobe dm-thin-pool; lvcreate -qq -y --type thin-pool -L 6G -n ${POOL} vg0`);
  await reconfigure(`echo provisioning_thinpool=${POOL} | dtc-xen-agent config set`);
});
afterAll(async () => {
  await dom0(`xl destroy ${vpsname} 2>/dev/null; lvremove -qq -y vg0/${POOL}; true`);
  await dom0(`rm -f /etc/xen/${vpsname} /etc/xen/auto/${vpsname}`);
  await reconfigure('echo provisioning_thinpool= | dtc-xen-agent config set');
  if (!process.env['XEN_WRITE']) return;
  const day = new Date().toISOString().slice(0, 10);
  const load = `${os.cpus().length} CPUs, load ${os.loadavg()[0]?.toFixed(1)}`;
  writeMeasured('performance.md', 'thin', [
    `Measured on ${day}, ${load}:`,
    '',
    '| | |',
    '|---|---|',
    ...rows,
  ]);
});

/** Reinstalls; the seconds from its first step to its last one's end, and of each step. */
async function reinstall(): Promise<{ total: number; steps: string }> {
  await modern('reinstallVPSos', ORDER);
  expect(await jobEnd(vpsname)).toMatchObject({ state: 'succeeded' });
  const newest = `$(ls -d /var/lib/dtc-xen/states/${vpsname}/2* | tail -n 1)/status.json`;
  const { steps } = JSON.parse(await dom0(`cat ${newest}`)) as { steps: Step[] };
  const [first, last] = [steps[0], steps.at(-1)];
  if (!first || !last) throw new Error('the job has no steps');
  return {
    total: seconds(first.started, last.ended),
    steps: steps
      .map(({ name, started, ended }) => `${name} ${seconds(started, ended).toFixed(1)}`)
      .join(', '),
  };
}

/** The least that a copy of the base with this VPS's files takes, by a script: snapshot, size, mount, files, unmount. */
async function yardstick(base: string): Promise<number> {
  // What the warm reinstall wrote: files of the new system that are newer than the base's own.
  await dom0(`mkdir -p /mnt/of /mnt/to && mount -o ro,noload /dev/vg0/${vpsname} /mnt/of &&
    cd /mnt/of && find . -xdev -newerct "$(stat -c %z /root/warm)" -type f -print0 | tar -cf /root/own.tar --null -T - &&
    cd / && umount /mnt/of`);
  expect(Number(await dom0('tar -tf /root/own.tar | wc -l'))).toBeGreaterThan(5);
  const script = [
    'set -e; from=$(date +%s.%N)',
    `lvcreate -qq -y -kn -s -n yardstick vg0/${base} 2>/dev/null`,
    'mount -o noatime /dev/vg0/yardstick /mnt/to',
    'tar -xf /root/own.tar -C /mnt/to',
    'umount /mnt/to',
    'to=$(date +%s.%N); lvremove -qq -y vg0/yardstick; echo "$from $to"',
  ];
  const [from = 0, to = 0] = (await dom0(script.join('\n'))).split(' ').map(Number);
  return to - from;
}

/** The commands that change volumes in a warm reinstall, and nothing else: copy, grow, activate, drop the old, two names. */
async function lvmAlone(base: string): Promise<number> {
  const script = [
    'set -e; now() { date +%s.%N; }',
    `for name in old current; do lvcreate -qq -y -kn -s -n yardstick.$name vg0/${base} 2>/dev/null; done`,
    'from=$(now)',
    `lvcreate -qq -y -kn -an -s -n yardstick.new vg0/${base} 2>/dev/null`,
    'lvextend -qq -L 1024M vg0/yardstick.new',
    'lvchange -ay vg0/yardstick.new',
    'lvremove -qq -y vg0/yardstick.old',
    'lvrename -qq vg0 yardstick.current yardstick.old',
    'lvrename -qq vg0 yardstick.new yardstick.current',
    'to=$(now); lvremove -qq -y vg0/yardstick.current vg0/yardstick.old; echo "$from $to"',
  ];
  const [from = 0, to = 0] = (await dom0(script.join('\n'))).split(' ').map(Number);
  return to - from;
}

describe('a thin pool', () => {
  inOrder();
  let base = '';
  let cold_s = 0;

  it('setupLVMDisks: thin volumes; getFreeSpace: what the pool can still promise', async () => {
    expect(await modern('getFreeSpace')).toMatchObject({ disk_mb: 6144 });
    await modern('setupLVMDisks', { vpsname, hddsize: 1024, swapsize: 64, imagetype: 'lvm' });
    expect(await dom0(`lvs --noheadings -o pool_lv vg0/${vpsname} vg0/${vpsname}swap | tr -d ' \\n'`)).toBe(
      `${POOL}${POOL}`,
    );
    expect(await modern('getFreeSpace')).toMatchObject({ disk_mb: 6144 - 1088 });
    const large = modern('setupLVMDisks', {
      vpsname: 'xen08',
      hddsize: 8192,
      swapsize: 64,
      imagetype: 'lvm',
    });
    await expect(large).rejects.toThrow(/thin pool vg0\/thin has 5056 MB free/);
  });

  it('reinstallVPSos: the first installation is built in place, on an empty disk', async () => {
    const first = await reinstall();
    note('thin pool: the first installation, s', `${first.total.toFixed(1)} (${first.steps})`);
    expect(await dom0("lvs --noheadings -o lv_name vg0 | grep -c -F ' dtc-xen-' || true")).toBe('0');
  });

  it('cold: the base is made as a volume, read-only, not active', async () => {
    const cold = await reinstall();
    cold_s = cold.total;
    note('thin pool: cold reinstall, s', `${cold.total.toFixed(1)} (${cold.steps})`);
    const [found = '', attr = '', ...more] = (
      await dom0("lvs --noheadings -o lv_name,lv_attr vg0 | grep -F ' dtc-xen-'")
    )
      .trim()
      .split(/\s+/);
    expect([attr, more]).toEqual(['Vri---tz-k', []]);
    expect(found).toMatch(/^dtc-xen-base\.image-trixie-[0-9a-f]{16}\.[0-9a-f]{16}$/);
    base = found;
  });

  it('warm: the root disk begins as a copy, faster than cold; beside it, what a script takes for the copy and its files', async () => {
    await dom0('touch /root/warm');
    const warm = await reinstall();
    expect(await dom0(`lvs --noheadings -o origin vg0/${vpsname} | tr -d ' '`)).toBe(base);
    expect(await dom0Succeeds(`fsck.ext4 -f -n /dev/vg0/${vpsname}`)).toBe(true);
    const least = await yardstick(base);
    const lvm = await lvmAlone(base);
    note('thin pool: warm reinstall, s', `${warm.total.toFixed(1)} (${warm.steps})`);
    note('thin pool: a snapshot of the base with the same files, by a script, s', least.toFixed(1));
    note('thin pool: warm reinstall, times the script', (warm.total / least).toFixed(1));
    note('thin pool: its LVM commands alone, by a script, s', lvm.toFixed(1));
    note('thin pool: those, times the script', (lvm / least).toFixed(1));
    expect(warm.total).toBeLessThan(cold_s);
  });

  it('the guest boots, with its own root file system, as large as the disk', async () => {
    await modern('startVPS', { vpsname });
    await consoleShows(vpsname, `${vpsname} login:`);
    const guest = new Console(vpsname);
    await guest.login('a thin one');
    expect(Number(await guest.run("df -m / | awk 'NR == 2 { print $2 }'"))).toBeGreaterThan(900);
    guest.close();
    await modern('destroyVPS', { vpsname });
  });

  it('base drop: the base goes, and its copies stay; killVPS takes the rest', async () => {
    expect(await dom0('dtc-xen base list')).toMatch(/a volume of \d+ MiB/);
    await dom0('dtc-xen base drop all');
    expect(await dom0("lvs --noheadings -o lv_name vg0 | grep -c -F ' dtc-xen-' || true")).toBe('0');
    // The guest was destroyed: its journal is replayed first.
    await dom0(`fsck.ext4 -p /dev/vg0/${vpsname} || [ $? -eq 1 ]`);
    expect(await dom0Succeeds(`fsck.ext4 -f -n /dev/vg0/${vpsname}`)).toBe(true);
    await modern('killVPS', { vpsname, imagetype: 'lvm' });
    expect(await modern('getFreeSpace')).toMatchObject({ disk_mb: 6144 });
  });
});
