// lvrename is killed while the agent exchanges two systems: it ends between what LVM writes and what the device mapper is told.
import { expect, it } from 'vitest';
import { AgentFault } from '../../src/client/agent-client.ts';
import { consoleCount, consoleShows, dom0, fileOf, install, isClean, jobEnd, modern } from './node.ts';
import { note } from './report.ts';

const vpsname = 'xen37';
const UP = 'bare guest is up';
const KILLS = Number(process.env['XEN_TEST_KILLS'] || 50);

/**
 * Waits for an lvrename of the agent's, and kills it after a part of its time that chance chooses; prints how far it was: what it had
 * told the device mapper, which is in between for a moment only, is looked at without starting a program.
 */
const KILLER = `end=$((SECONDS + 60))
until pid=$(pidof -s lvrename); do [ $SECONDS -lt $end ] || exit 1; done
case $((RANDOM % 3)) in
  0) sleep "0.$((RANDOM % 10))$((RANDOM % 10))" ;;
  # While a device is suspended: its metadata may have either name.
  *) while [ -e /proc/$pid ]; do
      for state in /sys/class/block/dm-*/dm/suspended; do read -r now <$state && [ "$now" = 1 ] && break 2; done
    done ;;
esac
kill -KILL $pid && echo killed`;

/** The root disks of this VPS: what LVM calls them, and what the device mapper and /dev do. */
const names = async () =>
  (
    await dom0(`lvs --noheadings --separator ' ' -o lv_name,vg_uuid,lv_uuid vg0 | while read -r name vg lv; do
      case $name in ${vpsname}swap) ;; ${vpsname}*)
        uuid=LVM-$(printf %s%s "$vg" "$lv" | tr -d -)
        mapped=$(grep -l -x "$uuid" /sys/class/block/dm-*/dm/uuid | head -n 1)
        device=$(basename "$(dirname "$(dirname "$mapped")")")
        echo "$name $(cat "/sys/class/block/$device/dm/name") $(cat "/sys/class/block/$device/dm/suspended") $device $(basename "$(readlink -f "/dev/vg0/$name")")"
      esac
    done`)
  )
    .split('\n')
    .map((line) => {
      const [lvm = '', mapper = '', suspended, device, linked] = line.split(' ');
      return { lvm, right: mapper === `vg0-${lvm}` && suspended === '0' && device === linked, line };
    });

/** What the agent says to an order that works on the root disk: `accepted` once it is done. */
async function check(): Promise<string> {
  try {
    await modern('fsckVPSpartition', { vpsname });
  } catch (error) {
    if (error instanceof AgentFault) return `${error.code}: ${error.message}`;
    throw error;
  }
  const { state, message } = await jobEnd(vpsname);
  return state === 'succeeded' ? 'accepted' : message;
}

it(`lvrename killed ${KILLS} times while two systems are exchanged: what the agent works on is what LVM calls so, or it refuses; both systems are there`, async () => {
  const [first, second] = ['128', '160'];
  expect(await install(vpsname, 'bare', { ramsize: first as string })).toMatchObject({ state: 'succeeded' });
  expect(await install(vpsname, 'bare', { ramsize: second as string })).toMatchObject({ state: 'succeeded' });
  const counts = new Map<string, number>();
  const count = (what: string) => counts.set(what, (counts.get(what) ?? 0) + 1);
  await dom0('cat >/root/killer', KILLER);

  for (let number = 0; number < KILLS; number++) {
    const [killed] = await Promise.all([
      dom0('bash /root/killer || true'),
      modern('rollbackVPSos', { vpsname }).catch((error: unknown) => {
        if (!(error instanceof AgentFault)) throw error;
      }),
    ]);
    if (killed === 'killed') count('killed');
    const seen = await names();
    const told = seen.map(({ line }) => line).join('; ');
    if (!seen.every(({ right }) => right)) {
      count('left with two names');
      process.stdout.write(`         ${told}\n`);
    }
    const answer = await check();
    count(answer === 'accepted' ? 'accepted' : 'refused');
    // Where it has worked on the disk, the disk had its name, and its system its configuration.
    if (answer === 'accepted') {
      const now = await names();
      expect(
        now.filter(({ right }) => !right),
        told,
      ).toEqual([]);
      const root = await fileOf(vpsname, '/etc/generation');
      expect([first, second], told).toContain(root);
      expect(await dom0(`sed -n 's/^memory = //p' /etc/xen/${vpsname}`), told).toBe(root);
      expect(now.map(({ lvm }) => lvm).sort(), told).toEqual([vpsname, `${vpsname}.old`]);
      const other = await fileOf(`${vpsname}.old`, '/etc/generation');
      expect([root, other].sort(), told).toEqual([first, second]);
    } else process.stdout.write(`         refused: ${answer}; ${told}\n`);
  }
  note(
    `lvrename killed while systems are exchanged, of ${KILLS}`,
    [...counts].map(([what, times]) => `${what} ${times}`).join(', '),
  );
  expect(counts.get('killed')).toBeGreaterThan(KILLS / 2);

  // However the last one ended: the next order puts it right.
  expect(await check()).toBe('accepted');
  for (let times = 0; times < 2; times++) {
    const boots = await consoleCount(vpsname, UP);
    await modern('startVPS', { vpsname });
    await consoleShows(vpsname, UP, boots + 1);
    await modern('shutdownVPS', { vpsname, wait_s: 120 });
    expect(await isClean(vpsname)).toBe(true);
    await modern('rollbackVPSos', { vpsname });
  }
});
