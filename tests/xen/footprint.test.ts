// What the agent takes of dom0. The figures are printed with the table; docs/footprint.md says how they are measured, and has
// those that `make footprint` writes there.
import { execFileSync } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, describe, expect, it } from 'vitest';
import { writeMeasured } from '../../scripts/dev/measured.ts';
import { inOrder } from './in-order.ts';
import { agentUrl, dom0, modern, until } from './node.ts';
import { note as print } from './report.ts';

const LIMIT_MIB = 96;
const GUESTS = 10;
/** How long the agent is watched when it is idle. */
const MINUTES = 3;
const CLIENTS = 20;
const CALLS_EACH = 3;

const PID = 'systemctl show -p MainPID --value dtc-xen-agent';
const memory_mib = async (field: 'VmRSS' | 'VmHWM') =>
  Number(await dom0(`awk '/^${field}/ { print $2 }' /proc/$(${PID})/status`)) / 1024;
/** CPU seconds of the agent and of every program that it has run and waited for. */
const cpu_s = async () =>
  Number(await dom0(`awk '{ print ($14 + $15 + $16 + $17) / 100 }' /proc/$(${PID})/stat`));

const rows: string[] = [];
const note = (what: string, figure: string) => {
  print(what, figure);
  rows.push(`| ${what} | ${figure} |`);
};

describe('footprint', () => {
  inOrder();
  afterAll(() => {
    if (!process.env['XEN_WRITE']) return;
    const day = new Date().toISOString().slice(0, 10);
    writeMeasured('footprint.md', 'footprint', [`Measured on ${day}:`, '', '| | |', '|---|---|', ...rows]);
  });

  it('from start to the first answer', async () => {
    const url = `${await agentUrl()}healthz`;
    const started = performance.now();
    await dom0('systemctl restart --no-block dtc-xen-agent');
    await sleep(2_000);
    await until('the first answer', 120, async () => {
      try {
        const answer = execFileSync('curl', ['-sk', '-m', '5', url], { encoding: 'utf8' });
        return answer.trim() === 'ok' || undefined;
      } catch (error) {
        if ((error as { status?: number }).status === undefined) throw error;
        return undefined;
      }
    });
    note('from start to the first answer', `${((performance.now() - started) / 1000).toFixed(1)} s`);
  });

  it(`resident memory is ${LIMIT_MIB} MiB or less, idle and under ${CLIENTS} clients at once`, async () => {
    await sleep(3_000);
    const idle_mib = await memory_mib('VmRSS');
    await Promise.all(
      Array.from({ length: CLIENTS }, async () => {
        for (let call = 0; call < CALLS_EACH; call += 1) await modern('listStartedVPS');
      }),
    );
    const peak_mib = await memory_mib('VmHWM');
    note('resident memory, idle', `${idle_mib.toFixed(1)} MiB`);
    note(`resident memory, at most, ${CLIENTS} clients at once`, `${peak_mib.toFixed(1)} MiB`);
    expect(idle_mib).toBeLessThanOrEqual(LIMIT_MIB);
    expect(peak_mib).toBeLessThanOrEqual(LIMIT_MIB);
  });

  it(`CPU time when idle, with ${GUESTS} guests sampled`, async () => {
    await dom0(`set -e
      for i in $(seq ${GUESTS}); do
        printf 'name="xen%d"\\ntype="pv"\\nkernel="/var/cache/dtc-xen-lab/vmlinuz"\\nmemory=96\\nvif=["bridge=xenbr0"]\\n' $((700 + i)) >/root/idle.cfg
        xl create -q -p /root/idle.cfg
      done`);
    try {
      // From the middle of a minute to the middle of another, with a sample in each: one minute alone says little.
      await sleep((90_000 - (Date.now() % 60_000)) % 60_000);
      const before_s = await cpu_s();
      await sleep(MINUTES * 60_000);
      const used_s = ((await cpu_s()) - before_s) / MINUTES;
      const times = 20;
      const list_s =
        Number(
          await dom0(
            `for i in $(seq ${times}); do xl list >/dev/null; done; awk '{ print ($16 + $17) / 100 }' /proc/$$/stat`,
          ),
        ) / times;
      note(`CPU time when idle, ${GUESTS} guests sampled`, `${(used_s * 60).toFixed(0)} s an hour`);
      note('as many `xl list` a minute would take as much', (used_s / list_s).toFixed(1));
      expect(used_s).toBeGreaterThan(0);
    } finally {
      await dom0(`for i in $(seq ${GUESTS}); do xl destroy xen$((700 + i)); done`);
    }
  });
});
