// kill -9 of a reinstall's job, of the daemon, of both: after each the old system is there or the complete new one, under
// the right name and with its own configuration, and it starts. DTC_XEN_KILLS=all kills at every step, and 50 times at random.
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { ImageType } from '../../src/core/ports.ts';
import { type Site, startSite } from '../site.ts';
import {
  configured,
  installMarked,
  leftOver,
  newestStatus,
  order,
  statesOf,
  systemOn,
} from './marked-systems.ts';

const ALL = process.env['DTC_XEN_KILLS'] === 'all';
const VICTIMS = ['job', 'daemon', 'both'] as const;
const STEPS = [
  ...['check', 'prepare', 'mkfs', 'mount', 'bootstrap', 'configure', 'password'],
  ...['network', 'customize', 'unmount', 'prove', 'swap', 'done'],
];
const TYPES: readonly ImageType[] = ['lvm', 'vbd'];
const VPS = { lvm: 'xen01', vbd: 'xen02' } as const;

interface Kill {
  readonly type: ImageType;
  readonly victim: (typeof VICTIMS)[number];
  /** The step that it is waited for; without one, the reinstall's answer. */
  readonly step?: string;
  readonly delay_ms: number;
}

let site: Site;
let marker = 100;
const has = { lvm: 0, vbd: 0 };
beforeAll(async () => {
  site = await startSite();
  installMarked(site);
  for (const type of TYPES) {
    await site.modern('setupLVMDisks', { vpsname: VPS[type], hddsize: 32, swapsize: 8, imagetype: type });
    marker += 1;
    has[type] = marker;
    await site.modern('reinstallVPSos', order(site, VPS[type], marker));
    expect(await site.jobEnd(VPS[type])).toMatchObject({ state: 'succeeded' });
  }
  // The renames take as long as on a real machine.
  await site.node.setFault({ match: 'lvrename', mode: 'slow', delay_ms: 200 });
}, 300_000);
afterAll(() => site.stop());

/** The job's own process: Node, and not the flock and unshare in front of it. */
function jobMain(vpsname: string): number | undefined {
  const folder = statesOf(site, vpsname);
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return pids.map(Number).find((pid) => {
    try {
      const args = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
      return args[0] === process.execPath && args.some((arg) => arg.startsWith(`${folder}/`));
    } catch (error) {
      if (['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) return false;
      throw error;
    }
  });
}

async function reached(vpsname: string, id: unknown, step: string): Promise<void> {
  for (const end = Date.now() + 30_000; Date.now() < end; await sleep(2)) {
    const status = newestStatus(site, vpsname);
    if (status?.id !== id) continue;
    if (status?.ended || status?.steps.some(({ name }) => name === step)) return;
  }
  throw new Error(`the job did not come to ${step}`);
}

/** Reinstalls, kills, starts the daemon again where it is gone, and tells what is there then. */
async function kill({ type, victim, step, delay_ms }: Kill): Promise<'old' | 'new'> {
  const vpsname = VPS[type];
  const before = has[type];
  marker += 1;
  const { job } = await site.modern('reinstallVPSos', order(site, vpsname, marker));
  if (step) await reached(vpsname, job, step);
  await sleep(delay_ms);
  if (victim !== 'job') await site.daemon().kill();
  const pid = victim === 'daemon' ? undefined : jobMain(vpsname);
  if (pid !== undefined) process.kill(pid, 'SIGKILL');
  if (victim !== 'job') await site.restart();
  const { state, message } = await site.jobEnd(vpsname);

  await site.modern('startVPS', { vpsname });
  expect((await site.node.domains()).map(({ name }) => name)).toContain(vpsname);
  await site.modern('destroyVPS', { vpsname });
  const told = `${vpsname}, ${victim} killed ${delay_ms} ms after ${step ?? 'the answer'}: ${state}: ${message}`;
  expect(leftOver(site, vpsname), told).toEqual([]);
  const system = systemOn(site, vpsname, type);
  expect(system?.complete, told).toBe(true);
  expect([before, marker], told).toContain(system?.marker);
  expect(configured(site, vpsname), told).toBe(system?.marker);
  expect(state, told).toBe(system?.marker === marker ? 'succeeded' : 'failed');
  if (victim === 'daemon') expect(system?.marker, told).toBe(marker);
  has[type] = system?.marker ?? 0;
  return system?.marker === before ? 'old' : 'new';
}

const pick = <T>(list: readonly T[], i: number): T => list[i % list.length] as T;

/** Every step for each victim on each kind of disks; without `ALL` some of them, which take turns. */
function atSteps(): Kill[] {
  const all = STEPS.flatMap((step) =>
    TYPES.flatMap((type) => VICTIMS.map((victim) => ({ step, type, victim, delay_ms: 0 }))),
  );
  return ALL
    ? all
    : ['prepare', 'bootstrap', 'prove', 'swap', 'swap'].map((step, i) => ({
        ...{ step, type: pick(TYPES, i), victim: pick(['job', 'both'] as const, i >> 1), delay_ms: 0 },
      }));
}

/** Instants at random, half of them where the names change. */
function atRandom(): Kill[] {
  return Array.from({ length: ALL ? 50 : 4 }, (_, i) => {
    const inSwap = i % 2 === 0;
    return {
      ...(inSwap && { step: 'swap' }),
      ...{ type: pick(TYPES, i >> 1), victim: pick(VICTIMS, i >> 1) },
      delay_ms: Math.floor(Math.random() * (inSwap ? 1_500 : 4_000)),
    };
  });
}

it('loses no system, whenever job, daemon or both are killed', { timeout: 3_600_000 }, async () => {
  const ends = { old: 0, new: 0 };
  const kills = [...atSteps(), ...atRandom()];
  for (const each of kills) ends[await kill(each)] += 1;
  expect(ends.old + ends.new).toBe(kills.length);
  console.log(`killed at ${kills.length} instants: 0 lost (${ends.old} old, ${ends.new} new)`);
});
