// The node loses its power while three VPSs are reinstalled: what dom0 had not written to its disks is lost with it.
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { inOrder } from './in-order.ts';
import {
  consoleCount,
  consoleShows,
  dom0,
  dom0Succeeds,
  jobEnd,
  machine,
  modern,
  requireBootOrder,
  until,
} from './node.ts';
import { note } from './report.ts';

const UP = 'bare guest is up';
/** The first one is cut at a step's beginning, the others at an instant of their course that chance chooses. */
const VPSES = ['xen20', 'xen21', 'xen22'] as const;
const [LEADER] = VPSES;
const STEPS = [
  'check',
  'prepare',
  'mkfs',
  'mount',
  'bootstrap',
  'configure',
  'password',
  'network',
  'customize',
  'unmount',
  'prove',
  'swap',
  'done',
];
const CUTS = Number(process.env['XEN_TEST_CUTS'] ?? STEPS.length);
const newest = (vps: string) => `"$(ls -d /var/lib/dtc-xen/states/${vps}/2* | tail -n 1)/status.json"`;

/** Each system's memory in MiB is its own, and stands in its root and in its configuration: they tell which one it is. */
const memory = new Map(VPSES.map((vps) => [vps as string, 100]));
const memoryOf = (vps: string) => memory.get(vps) as number;

const order = (vpsname: string, ramsize: number) =>
  modern('reinstallVPSos', {
    vpsname,
    ostype: 'bare',
    ramsize,
    password: 'x',
    nics: `10.0.2.${100 + Number(vpsname.slice(3))}`,
  });

/** When each step of a reinstall begins, in ms from its order, and how long the whole takes. */
interface Course {
  readonly steps: ReadonlyMap<string, number>;
  readonly longest_ms: number;
}

/**
 * LVM writes its metadata and then where it begins, without a flush in between: where the disk keeps the second write and loses the
 * first, the volume group needs vgcfgrestore(8), whoever changed it (docs/troubleshooting.md). That is LVM's own gap. Here, its
 * metadata's place is one that the disk keeps at once: written once, it is a part of the image that is not held back.
 */
const keepMetadata = () => dom0('dd if=/dev/vdb of=/dev/vdb bs=1M count=1 conv=notrunc,fsync status=none');

/** Installs all at once, which is how they are reinstalled later. */
async function installAll(): Promise<Course> {
  for (const vpsname of VPSES)
    await modern('setupLVMDisks', { vpsname, hddsize: 64, swapsize: 16, imagetype: 'lvm' });
  const ordered = Date.now();
  await Promise.all(VPSES.map((vps) => order(vps, memoryOf(vps))));
  for (const vps of VPSES) expect(await jobEnd(vps, 600)).toMatchObject({ state: 'succeeded' });
  const { steps } = JSON.parse(await dom0(`cat ${newest(LEADER)}`)) as {
    steps: readonly { name: string; started: string; ended: string }[];
  };
  expect(steps.map(({ name }) => name)).toEqual(STEPS);
  return {
    steps: new Map(steps.map(({ name, started }) => [name, Date.parse(started) - ordered])),
    longest_ms: Date.parse(steps.at(-1)?.ended ?? '') - ordered,
  };
}

/**
 * Orders the reinstalls so that the others are anywhere in their course when the first one comes to this step; cuts then.
 * Returns when that was, in ms since 1970.
 */
async function cutPowerIn(step: string, course: Course): Promise<number> {
  const cut_ms = course.steps.get(step) ?? 0;
  const starts = VPSES.map((vps) => ({
    vps,
    at_ms: vps === LEADER ? 0 : cut_ms - Math.random() * course.longest_ms,
  }));
  const earliest_ms = Math.min(...starts.map(({ at_ms }) => at_ms));
  const last = await dom0(`echo ${newest(LEADER)}`);
  const calls = starts.map(async ({ vps, at_ms }) => {
    await sleep(at_ms - earliest_ms);
    await order(vps, memoryOf(vps) + 1);
  });
  // A call that the power cut ends has no answer.
  const all = Promise.allSettled(calls);
  await dom0(`for try in $(seq 3000); do
      file=${newest(LEADER)}
      if [ "$file" != '${last}' ] && grep -A 2 '"name": "${step}"' "$file" 2>/dev/null | grep -q started; then exit; fi
    done; exit 1`);
  const cut = Date.now();
  await machine('down');
  await all;
  return cut;
}

/** Boots the node again, with the guests that have an autostart link. */
async function powerOn(): Promise<void> {
  await machine('up', '--keep');
  await until('an answer of the agent', 240, async () =>
    (await dom0Succeeds('journalctl -b -u dtc-xen-agent | grep listening')) ? true : undefined,
  );
  await dom0('systemctl is-system-running --wait >/dev/null || true');
  await requireBootOrder();
}

/** A system before its reinstall: it has booted, and does not start with the node. */
interface Before {
  readonly boots: number;
  /** Of its root disk. */
  readonly sha256: string;
}

async function before(vps: string): Promise<Before> {
  const sum = await dom0(`rm -f /etc/xen/auto/${vps}; sha256sum </dev/vg0/${vps}`);
  return { boots: await consoleCount(vps, UP), sha256: sum };
}

/** What is there of a VPS after a cut. */
interface Found {
  readonly which: 'old' | 'new';
  /** Where the cut ended the reinstall; undefined where it was not begun, or over. */
  readonly step: string | undefined;
}

/**
 * Which of the two systems is there, and where the reinstall was. The old one must be as it was, byte for byte, the new one
 * must have been started by the node's own start, and have booted.
 */
async function found(vpsname: string, { boots, sha256 }: Before, cut: number): Promise<Found> {
  const { step, state, started, ended, message } = await modern('getVPSJob', { vpsname });
  const [root = '', config = '', volumes, mounts, link] = (
    await dom0(`debugfs -R 'cat /etc/generation' /dev/vg0/${vpsname} 2>/dev/null
      sed -n 's/^memory = //p' /etc/xen/${vpsname}
      ls /dev/vg0 | grep -c -F '${vpsname}.new' || true
      grep -c -E "vg0-${vpsname}|/var/lib/dtc-xen/mnt/" /proc/mounts || true
      if [ -e /etc/xen/auto/${vpsname} ]; then echo starts; else echo does not start; fi`)
  ).split('\n');
  const [old, now] = [String(memoryOf(vpsname)), String(memoryOf(vpsname) + 1)];
  const told = `${vpsname}: ${state} in step ${step}, ${started} to ${ended}: ${message}`;
  expect([old, now], told).toContain(root);
  expect(config, `${told}: the configuration belongs to the root`).toBe(root);
  expect([volumes, mounts], told).toEqual(['0', '0']);
  expect(['succeeded', 'failed'], told).toContain(state);
  // A job that was under way is told as ended when the node is back.
  const under_way = Date.parse(String(ended)) > cut;
  if (under_way) expect(root, told).toBe(state === 'succeeded' ? now : old);
  if (root === now) {
    expect(link, told).toBe('starts');
    await consoleShows(vpsname, UP, boots + 1);
    await modern('destroyVPS', { vpsname });
    expect(await dom0Succeeds(`fsck.ext4 -f -n /dev/vg0/${vpsname}`), told).toBe(true);
  } else {
    expect(link, told).toBe('does not start');
    expect(await dom0(`sha256sum </dev/vg0/${vpsname}`), told).toBe(sha256);
  }
  memory.set(vpsname, Number(root));
  const where = step === '' ? 'before its first step' : `in ${step}`;
  return { which: root === now ? 'new' : 'old', step: under_way ? where : undefined };
}

inOrder();

it(`the power goes ${CUTS} times while ${VPSES.length} VPSs are reinstalled, at each step and at random: the old system is as it was or the new one boots, nothing is mounted`, {
  timeout: 700_000 * (CUTS + 1),
}, async () => {
  await keepMetadata();
  const course = await installAll();
  for (const vpsname of VPSES) {
    await modern('startVPS', { vpsname });
    await consoleShows(vpsname, UP);
    await modern('destroyVPS', { vpsname });
  }
  const kept = { old: 0, new: 0 };
  for (let number = 0; number < CUTS; number++) {
    const at = STEPS[number % STEPS.length] as string;
    const olds = new Map<string, Before>();
    for (const vps of VPSES) olds.set(vps, await before(vps));
    await dom0('sync');
    const cut = await cutPowerIn(at, course);
    await powerOn();
    const told: string[] = [];
    for (const vps of VPSES) {
      const { which, step } = await found(vps, olds.get(vps) as Before, cut);
      if (step) kept[which] += 1;
      told.push(`${vps} ${step ?? 'not under way'}: ${which}`);
    }
    process.stdout.write(`         power cut in step ${at}: ${told.join(', ')}\n`);
  }
  note(
    'reinstalls that a power cut ended',
    `${kept.old + kept.new} in ${CUTS} cuts; ${kept.old} times the old system, ${kept.new} times the new one; 0 lost`,
  );
  expect(kept.old + kept.new).toBeGreaterThan(CUTS);
});
