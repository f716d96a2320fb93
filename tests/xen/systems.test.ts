// The old system and the new one of a VPS that is reinstalled.
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { inOrder } from './in-order.ts';
import { consoleCount, consoleShows, dom0, dom0Succeeds, install, jobEnd, modern, until } from './node.ts';
import { note } from './report.ts';

const LAB = join(import.meta.dirname, 'lab/lab');
const vpsname = 'xen05';
const ROOT = `/dev/vg0/${vpsname}`;
const UP = 'bare guest is up';
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
/** With XEN_TEST_CUTS=n: at each step's beginning, and at n random instants. A cut takes two minutes and more here. */
const RANDOM_CUTS = process.env['XEN_TEST_CUTS'];
const MOMENTS = RANDOM_CUTS ? [...STEPS, ...Array<undefined>(Number(RANDOM_CUTS))] : [];
const STATUS = `/var/lib/dtc-xen/states/${vpsname}/*/status.json`;

const lab = (...args: string[]) =>
  execFileSync(LAB, args, { timeout: 700_000, stdio: ['ignore', 'pipe', 'inherit'] });

/** Which of the installations the root is, and which one the configuration belongs to: its memory, in MiB. */
async function generation(): Promise<{ root: string; memory: string }> {
  const told = await dom0(
    `debugfs -R 'cat /etc/generation' ${ROOT} 2>/dev/null; sed -n 's/^memory = //p' /etc/xen/${vpsname}`,
  );
  const [root = '', memory = ''] = told.split('\n');
  return { root, memory };
}

/** Boots of a system, as it has counted them itself. */
const bootsCounted = async (volume: string) =>
  Number(await dom0(`debugfs -R 'cat /etc/boots' ${volume} 2>/dev/null | wc -l`));

async function boot(): Promise<void> {
  const boots = await consoleCount(vpsname, UP);
  await modern('startVPS', { vpsname });
  await consoleShows(vpsname, UP, boots + 1);
}

/**
 * The machine ends between two instructions, and what dom0 had not written to its disks is lost: the lab's disks keep what
 * dom0 has flushed, and not more.
 */
async function cutPowerIn(step: string | undefined, longest_ms: number): Promise<string> {
  if (step === undefined) {
    const wait_ms = Math.round(Math.random() * longest_ms);
    await sleep(wait_ms);
    lab('down');
    return `after ${wait_ms} ms`;
  }
  const begun = `grep -A 2 '"name": "${step}"' "$(ls -d ${STATUS} | tail -n 1)" | grep -q started`;
  await dom0(`for try in $(seq 2000); do if ${begun}; then exit; fi; done; exit 1`);
  lab('down');
  return `in step ${step}`;
}

inOrder();

it.runIf(MOMENTS.length > 0)(
  `the power is cut ${MOMENTS.length || 'XEN_TEST_CUTS'} times during a reinstall: no system is lost, each boots, nothing is mounted`,
  {
    timeout: 400_000 * MOMENTS.length,
  },
  async () => {
    const started = Date.now();
    let memory = 100;
    expect(await install(vpsname, 'bare', { ramsize: memory })).toMatchObject({ state: 'succeeded' });
    const longest_ms = Date.now() - started;
    let kept_old = 0;
    for (const step of MOMENTS) {
      const old = String(memory);
      memory += 1;
      await dom0('sync');
      const boots = await consoleCount(vpsname, UP);
      await modern('reinstallVPSos', {
        vpsname,
        ostype: 'bare',
        ramsize: memory,
        password: 'x',
        nics: '10.0.2.105',
      });
      const cut = await cutPowerIn(step, longest_ms);
      lab('up', '--keep');
      await until('an answer of the agent', 240, async () =>
        (await dom0Succeeds('journalctl -b -u dtc-xen-agent | grep listening')) ? true : undefined,
      );
      await dom0('systemctl is-system-running --wait >/dev/null || true');
      if (!(await dom0Succeeds(`xl domid ${vpsname}`))) await modern('startVPS', { vpsname });
      await consoleShows(vpsname, UP, boots + 1);
      await modern('destroyVPS', { vpsname });
      const { state } = await jobEnd(vpsname);
      const now = await generation();
      expect(now.memory, `${cut}: the configuration belongs to the root`).toBe(now.root);
      expect([old, String(memory)], cut).toContain(now.root);
      if (state === 'succeeded') expect(now.root, cut).toBe(String(memory));
      expect(await dom0(`ls /dev/vg0 | grep '${vpsname}[.]new' || true`), cut).toBe('');
      expect(await dom0Succeeds(`fsck.ext4 -f -n ${ROOT}`), cut).toBe(true);
      expect(await dom0Succeeds(`grep -E "vg0-${vpsname}|/var/lib/dtc-xen/mnt/" /proc/mounts`), cut).toBe(
        false,
      );
      if (now.root === old) kept_old += 1;
      memory = Number(now.root);
      process.stdout.write(
        `         power cut ${cut}: ${now.root === old ? 'the old system' : 'the new one'} boots\n`,
      );
    }
    note(
      'power cuts during a reinstall',
      `${MOMENTS.length}; ${kept_old} times the old system, ${MOMENTS.length - kept_old} times the new one; 0 lost`,
    );
  },
);

it('rollbackVPSos: the system before boots again, with its data and its configuration; rolled back again, the newer one', async () => {
  expect(await install(vpsname, 'bare')).toMatchObject({ state: 'succeeded' });
  await boot();
  await modern('destroyVPS', { vpsname });
  const before = { ...(await generation()), boots: await bootsCounted(ROOT) };
  expect(before.boots).toBeGreaterThan(0);
  await modern('reinstallVPSos', {
    vpsname,
    ostype: 'bare',
    ramsize: 200,
    password: 'x',
    nics: '10.0.2.105',
  });
  expect(await jobEnd(vpsname)).toMatchObject({ state: 'succeeded' });
  expect(await generation()).toEqual({ root: '200', memory: '200' });

  await modern('rollbackVPSos', { vpsname });
  await boot();
  await expect(modern('rollbackVPSos', { vpsname })).rejects.toMatchObject({ code: 'vps_running' });
  await modern('destroyVPS', { vpsname });
  expect({ ...(await generation()), boots: await bootsCounted(ROOT) }).toEqual({
    ...before,
    boots: before.boots + 1,
  });

  await modern('rollbackVPSos', { vpsname });
  expect(await generation()).toEqual({ root: '200', memory: '200' });
  await boot();
  await modern('destroyVPS', { vpsname });
  expect(await bootsCounted(ROOT)).toBe(1);
});
