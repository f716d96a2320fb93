// Somebody starts a guest by hand, at any instant of its reinstalls: it never runs on a disk that is being exchanged.
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { AgentFault } from '../../src/client/agent-client.ts';
import {
  consoleCount,
  consoleShows,
  dom0,
  domid,
  fileOf,
  install,
  isClean,
  jobEnd,
  modern,
  until,
} from './node.ts';
import { note } from './report.ts';

const vpsname = 'xen36';
const UP = 'bare guest is up';
const REINSTALLS = 5;
/** Whoever starts the guest is often faster than the job's first look, which then refuses the reinstall. */
const MOST_ORDERS = 30;
const FIRST_MB = 128;

/**
 * `xl create`, again and again, with pauses in which a reinstall can begin. While the guest runs, what its disks are called is
 * noted: the back end knows them by number, the device mapper by name. Not all of them are seen where the guest ends first.
 */
const STARTER = `while [ ! -e /run/starter.stop ]; do
  sleep "$((RANDOM % 90)).$((RANDOM % 10))"
  if xl create -q /etc/xen/${vpsname} 2>/run/starter.error; then
    echo started >>/run/starter.told
    id=$(xl domid ${vpsname})
    for look in $(seq "$((RANDOM % 12))"); do
      for disk in /sys/bus/xen-backend/devices/vbd-$id-*/physical_device; do
        IFS=: read -r major minor <"$disk" || continue
        cat "/sys/dev/block/$((16#$major)):$((16#$minor))/dm/name" >>/run/starter.disks
      done
      sleep 0.5
    done
    # xl itself makes one anew that has crashed, and then this must end that one.
    until ! xl domid ${vpsname}; do xl destroy ${vpsname}; sleep 1; done
  elif grep -q 'its disks are being worked on' /run/starter.error; then echo refused >>/run/starter.told
  elif [ ! -e /etc/xen/${vpsname} ]; then echo no configuration >>/run/starter.told
  else echo "failed: $(tr '\\n' ' ' </run/starter.error)" >>/run/starter.told
  fi
done 2>/dev/null`;

/** Orders a reinstall in a moment when the guest is not running. */
async function order(ramsize: number): Promise<void> {
  await until(`an order of ${ramsize} MB to be taken`, 600, async () => {
    try {
      return await modern('reinstallVPSos', {
        vpsname,
        ostype: 'bare',
        ramsize,
        password: 'x',
        nics: '10.0.2.136',
      });
    } catch (error) {
      if (error instanceof AgentFault && ['vps_running', 'vps_busy'].includes(error.code)) return undefined;
      throw error;
    }
  });
}

it(`xl create by hand in a loop against ${REINSTALLS} reinstalls: never on a disk that is exchanged; what is there at the end is a whole system with its own configuration`, async () => {
  expect(await install(vpsname, 'bare', { ramsize: FIRST_MB })).toMatchObject({ state: 'succeeded' });
  await dom0('cat >/root/starter; rm -f /run/starter.*', STARTER);
  await dom0('systemd-run --quiet --collect --unit=starter bash /root/starter');
  let installed = FIRST_MB;
  const ends: string[] = [];
  const succeeded = () => ends.filter((end) => end === 'succeeded').length;
  // That a start is kept away at all is a matter of chance: it goes on until it was seen.
  const wasKeptAway = async () =>
    /refused|no configuration/.test(await dom0('cat /run/starter.told || true'));
  try {
    for (let number = 1; number <= MOST_ORDERS; number++) {
      if (succeeded() >= REINSTALLS && (await wasKeptAway())) break;
      await order(FIRST_MB + number);
      const { state, message } = await jobEnd(vpsname, 600);
      if (state === 'succeeded') installed = FIRST_MB + number;
      ends.push(state === 'succeeded' ? state : `${state}: ${message}`);
      await sleep(Math.random() * 10_000);
    }
  } finally {
    await dom0('touch /run/starter.stop; while systemctl -q is-active starter; do sleep 1; done');
    process.stdout.write(`         ${ends.join('; ')}\n`);
  }
  if ((await domid(vpsname)) !== undefined) await modern('destroyVPS', { vpsname });

  const told = await dom0('sort /run/starter.told | uniq -c');
  const disks = await dom0('sort /run/starter.disks | uniq -c');
  note(
    `xl create by hand against ${REINSTALLS} reinstalls`,
    `${succeeded()} of ${ends.length} orders succeeded; ${told.replace(/\s+/g, ' ')}`,
  );
  expect(succeeded()).toBeGreaterThanOrEqual(REINSTALLS);
  expect(told).toMatch(/\d started/);
  expect(told).toMatch(/\d (refused|no configuration)/);
  expect(disks.replace(/^ *\d+ /gm, '')).toBe(`vg0-${vpsname}\nvg0-${vpsname}swap`);

  // A start under a check that was taken at an instant: one of both is refused.
  expect(await dom0(`e2fsck -p /dev/vg0/${vpsname} >/dev/null; echo $?`)).toMatch(/^[01]$/);
  expect(await isClean(vpsname)).toBe(true);
  expect(await fileOf(vpsname, '/etc/generation')).toBe(String(installed));
  expect(await dom0(`sed -n 's/^memory = //p' /etc/xen/${vpsname}`)).toBe(String(installed));
  const boots = await consoleCount(vpsname, UP);
  await modern('startVPS', { vpsname });
  await consoleShows(vpsname, UP, boots + 1);
  await modern('shutdownVPS', { vpsname, wait_s: 120 });
  expect(await isClean(vpsname)).toBe(true);
});
