// node xl-daemon.mjs ROOT DOMID PID: the process that xl leaves for a guest. It takes the guest down when it has shut down, makes it anew
// when that was a reboot, and ends with it. What it says is its log's. It ends, too, with the fake node, and with who made that.
import { existsSync, readFileSync, watch, writeSync } from 'node:fs';
import { join } from 'node:path';
import { XlError } from './getopt.mjs';
import { NotKnown, sleep, statePath, withState } from './store.mjs';
import { actionOf, nextStep_ms, reasonCode, removeDomain } from './world.mjs';
import { raise } from './xl-build.mjs';
import { hasScript, runScripts } from './xl-hotplug.mjs';
import { dropXl, hasSign, waitingLine } from './xl-process.mjs';

const TICK_MS = 1000;
const POLL_MS = 50;
const root = process.argv[2];
/** Its number in the fake's /proc. */
const own_pid = Number(process.argv[4]);
const log = (text) => writeSync(1, text.endsWith('\n') ? text : `${text}\n`);
const readWorld = () => JSON.parse(readFileSync(statePath(root, 'world.json'), 'utf8'));
const byId = (state, id) => state.domains.find((domain) => domain.id === id);

/** A bell that rings when the world has changed. Where the kernel has no watch left, looks are taken often. */
function watchWorld() {
  let rung = false;
  let ring = () => {
    rung = true;
  };
  let longest_ms = TICK_MS;
  try {
    watch(join(root, 'state'), (_, file) => file === 'world.json' && ring());
  } catch (error) {
    if (!['EMFILE', 'ENOSPC'].includes(error.code)) throw error;
    longest_ms = POLL_MS;
  }
  return (limit_ms) =>
    new Promise((done) => {
      if (rung || limit_ms <= 0) {
        rung = false;
        done();
        return;
      }
      const timer = setTimeout(done, Math.min(limit_ms, longest_ms));
      ring = () => {
        clearTimeout(timer);
        rung = true;
        done();
      };
    });
}

/** Whether there is still a world, and somebody who wants it. */
function isWanted() {
  if (!existsSync(statePath(root, 'world.json'))) return false;
  const owner = statePath(root, 'owner');
  return !existsSync(owner) || hasSign(owner);
}

/** Waits until the domain has shut down, and returns it; undefined where it is gone. */
async function shutDown(id, changed) {
  let suspended = false;
  for (;;) {
    if (!isWanted()) process.exit(0);
    const state = readWorld();
    const domain = byId(state, id);
    if (!domain) return undefined;
    const suspends = domain.phase === 'off' && domain.off === 'suspend';
    if (domain.phase === 'off' && !suspends) return domain;
    if (suspends && !suspended) {
      log(
        `Domain ${id} has shut down, reason code 2 0x2\nDomain has suspended.\nContinue waiting for domain ${id}`,
      );
    }
    suspended = suspends;
    const next_ms = nextStep_ms(state, domain);
    if (next_ms !== undefined && next_ms <= Date.now()) await withState(root, () => undefined);
    else await changed(next_ms === undefined ? TICK_MS : next_ms - Date.now());
  }
}

/** Ends as xl's process does: it is not there any more in the moment in which `last` has been done. */
async function leave(last = () => undefined) {
  await withState(root, (state) => {
    last(state);
    dropXl(root, state, own_pid);
  });
  process.exit(0);
}

/** The gap of a reboot: for as long as the world says, also where it says so later. */
async function waitOutGap(changed) {
  const gone_ms = Date.now();
  for (;;) {
    if (!isWanted()) process.exit(0);
    const left_ms = gone_ms + readWorld().timing.reboot_gap_ms - Date.now();
    if (left_ms <= 0) return;
    await changed(left_ms);
  }
}

/** Takes a domain away that has shut down. Returns what to make in its place; ends this process where that is nothing. */
async function takeDown(domain, changed) {
  const { id } = domain;
  const code = reasonCode(domain);
  const action = actionOf(domain);
  log(`Domain ${id} has shut down, reason code ${code} 0x${code}`);
  log(`Action for shutdown reason code ${code} is ${action}`);
  if (action === 'preserve') {
    log('Done. Exiting now');
    await leave();
  }
  log(`Domain ${id} needs to be cleaned up: destroying the domain`);
  const { script_ms } = readWorld().timing;
  if (domain.disks.some(hasScript)) log(await runScripts(root, domain, 'remove', script_ms));
  await sleep(Math.max(0, domain.ends_ms - Date.now()));
  const remove = (state) => {
    const left = byId(state, id);
    if (left) removeDomain(state, left, code);
  };
  if (action !== 'restart') {
    log('Done. Exiting now');
    await leave(remove);
  }
  await withState(root, remove);
  log('Done. Rebooting now');
  await waitOutGap(changed);
  return { ...domain.spec, uuid: domain.uuid };
}

async function makeAnew(spec) {
  const lost = await withState(root, (state) => {
    const found = state.lost_reboots?.includes(spec.name) ?? false;
    if (found) state.lost_reboots = state.lost_reboots.filter((name) => name !== spec.name);
    return found;
  });
  const onUp = (_, domain) => {
    domain.xl = own_pid;
    log(waitingLine(domain, own_pid));
  };
  try {
    return await raise(root, spec, { lost, onUp });
  } catch (error) {
    if (!(error instanceof XlError || error instanceof NotKnown)) throw error;
    log(error instanceof XlError ? error.message : `fake xl: ${error.message}`);
    return leave();
  }
}

async function main() {
  let id = Number(process.argv[3]);
  const changed = watchWorld();
  const own = await withState(root, (state) => byId(state, id)?.xl === own_pid);
  if (!own) await leave();
  for (;;) {
    const domain = await shutDown(id, changed);
    if (!domain) {
      log(`Domain ${id} has been destroyed.`);
      await leave();
    }
    id = await makeAnew(await takeDown(domain, changed));
  }
}

try {
  await main();
} catch (error) {
  // A node that is taken away takes its processes with it, whatever they are doing.
  if (!isWanted()) process.exit(0);
  log(`fake xl: ${error.stack}`);
  process.exit(70);
}
