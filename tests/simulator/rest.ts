// The end of a story: faults are over, stores are back, and hours pass. What must be so then.
import { isSample } from './bill.ts';
import { AT, machine } from './machine.ts';
import type { Asked, Player } from './play.ts';
import { VPSES } from './site.ts';

const QUIET_MS = 35_000;

/** Brings the node to rest, and looks at what is left. */
export async function comeToRest(player: Player): Promise<void> {
  const { engine, watch } = machine;
  engine.trap = undefined;
  machine.setStore('images', true);
  machine.setStore('volumes', true);
  machine.volumes.lacks_disk = false;
  machine.setStore('samples', true);
  player.life.happens('clock right', 'xen01');
  await engine.run(() => machine.xendomains === 'done', 300_000);
  if (!(await player.daemon())) {
    const last = player.life.starts_failed.at(-1);
    watch.report(
      'not nameable',
      `the agent does not start: ${(last as Error | undefined)?.message ?? 'it hangs'}`,
    );
    return;
  }
  await player.jobsEnd();
  await engine.run(() => false, QUIET_MS);
  lookForLost();
  await restoreSaved(player);
  for (const vps of VPSES) player.life.happens('guest powers off', vps);
  await engine.run(() => false, QUIET_MS);
  await player.hours(13);
  lookForAll(player, 'after half a day');
  await player.hours(13);
  lookForAll(player, 'after a day');
  for (const vps of VPSES) await tryOut(player, vps);
  settleBill();
}

async function askAndWait(
  player: Player,
  operation: Asked['operation'],
  vps: string,
): Promise<Asked | undefined> {
  const daemon = await player.daemon();
  if (!daemon) return undefined;
  const asked = player.ask(daemon, operation, vps);
  await machine.engine.run(() => asked.outcome !== undefined || !daemon.process.alive, 500_000);
  if (!asked.outcome) machine.watch.report('not nameable', `${operation} of ${vps} was not answered at rest`);
  return asked;
}

/** A guest that was lost at its own reboot is started again, or the log says that it cannot be. */
function lookForLost(): void {
  const { watch, engine, xen, log, mounts } = machine;
  for (const [vps, since_ms] of watch.lost_since) {
    const is_over = engine.now - since_ms > 70_000;
    const is_told = log.some((line) => line.includes(`${vps} rebooted itself`));
    if (!is_over || is_told || xen.find(vps) || !mounts.isThere(`/etc/xen/${vps}`) || killed(vps)) continue;
    watch.report('not nameable', `${vps} was lost at its own reboot, and nobody started it or said so`);
  }
}

/** What the panel has, and what it will get. */
function settleBill(): void {
  const { mounts, watch } = machine;
  const folder = `${AT.state}/perfdata`;
  const files = mounts.isThere(folder) ? [...mounts.get(folder, 'watch').inode.entries] : [];
  watch.bill.settle(files.filter(([name]) => isSample(`${folder}/${name}`)).map(([, { text }]) => text));
}

/** startVPS is how a saved guest goes on. */
async function restoreSaved(player: Player): Promise<void> {
  for (const vps of VPSES) {
    if (!machine.mounts.isThere(`${AT.saved}/${vps}`) || machine.xen.find(vps)) continue;
    await askAndWait(player, 'start', vps);
    await machine.engine.run(() => false, 15_000);
  }
}

const killed = (vps: string) =>
  machine.watch.orders.some((order) => order.what === 'kill' && order.vps === vps && !order.refused);

function isRecordDamaged(vps: string): boolean {
  try {
    JSON.parse(machine.mounts.read(`${AT.state}/states/${vps}/names.json`) ?? '{}');
    return false;
  } catch {
    return true;
  }
}

/** Everything that may only go by an order is still there. */
function lookForAll(player: Player, when: string): void {
  const { watch } = machine;
  const roots = watch.everyRoot();
  for (const [system, { vps, gone }] of watch.precious) {
    if (gone || killed(vps) || roots.some(({ disk }) => disk.system === system)) continue;
    watch.report(
      'told as installed, and gone',
      `the system ${system.made_by} of ${vps} is on no disk any more, ${when}`,
    );
  }
  for (const job of watch.told) {
    const made = watch.made.get(job);
    if (made && !watch.precious.has(made.system)) {
      watch.report(
        'told as installed, and gone',
        `the system ${job} of ${made.vps} was told as installed, and is on no disk, ${when}`,
      );
    }
  }
  for (const vps of VPSES) {
    // Where the note of an exchange is damaged, the agent names the disks and asks which is the right one.
    const is_known =
      killed(vps) || player.moved_images || watch.removed_by_hand.has(vps) || isRecordDamaged(vps);
    if (is_known || roots.some(({ name }) => name === vps)) continue;
    const there = roots.filter(({ disk }) => disk.vps === vps).map(({ name }) => name);
    watch.report(
      'not nameable',
      `${vps} has no root disk in its place, ${when}; there is ${there.join(', ') || 'nothing'}`,
    );
  }
}

/** The agent works on a VPS, or says what is to be done. */
async function tryOut(player: Player, vps: string): Promise<void> {
  const { watch, xen, engine } = machine;
  if (xen.find(vps)) return;
  await askAndWait(player, 'state', vps);
  const started = await askAndWait(player, 'start', vps);
  await engine.run(() => false, 10_000);
  const { outcome } = started ?? {};
  if (!outcome || outcome.ok) return;
  const { code, message } = outcome.error;
  if (/names\.json is damaged; look which/.test(message)) return;
  if (code === 'internal' && !machine.faulty) return;
  // Memory that a power cut has left half written: every other operation says that destroyVPS lets go of it.
  if (/wrong magic number/.test(message)) {
    const checked = await askAndWait(player, 'fsck', vps);
    if (checked?.outcome?.ok === false && /destroyVPS/.test(checked.outcome.error.message)) return;
  }
  const expected =
    killed(vps) ||
    watch.removed_by_hand.has(vps) ||
    player.moved_images ||
    mayBeUnfinished(vps) ||
    wasBuiltOver(player, vps);
  if (code === 'vps_not_installed' && !expected) {
    watch.report('not nameable', `${vps} has no configuration at rest: ${message}`);
  }
  if (!/[.!]$/.test(message)) watch.report('not nameable', `startVPS of ${vps} says no sentence: ${message}`);
  if (code !== 'vps_not_installed' && !expected && !machine.faulty)
    watch.report('not nameable', `${vps} cannot be started at rest: ${code}: ${message}`);
}

/** Whether a reinstall in place was ordered, and said so. */
function wasBuiltOver(player: Player, vps: string): boolean {
  return player.asked.some(
    ({ operation, vps: of, outcome }) =>
      operation === 'reinstall' &&
      of === vps &&
      (!outcome || (outcome.ok && /built over/.test(String(outcome.output['result'])))),
  );
}

/** Whether a reinstall in place was begun, or the disks were made anew: then there may be no system. */
function mayBeUnfinished(vps: string): boolean {
  const root = machine.watch.everyRoot().find(({ name }) => name === vps)?.disk;
  return root?.system === undefined || !root.system.precious;
}
