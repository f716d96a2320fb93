// The fake host's domains over time. What guests do by themselves happens when somebody looks: every call first lets the time since
// the last one pass. What is done to them takes a process: `xl create` builds, and the process that it leaves (xl-daemon.mjs) tears
// down, and makes a rebooted one anew. Where that is gone, a guest that has shut down stays (`---s--`), as on a real host.
//
//   building --built--> up --asked, acknowledged, shut down--> off --torn down--> gone --(restart, after a gap) building anew
//   (Mem 0)             |                                      |
//                       +-- crash -----------------------------+-- on_*=preserve: stays, `---s--`
import { randomUUID } from 'node:crypto';

/** How long things take, in ms; far shorter than on a real host, and each can be set. */
export const TIMING = {
  name_ms: 5, // from the check of the name until the disks are taken
  build_ms: 30, // domain listed with Mem 0
  boot_ms: 300, // from the first instruction until the guest idles
  acknowledge_ms: 600, // how long `xl shutdown` waits for the guest's acknowledgement (really 60 s)
  shutdown_ms: 100, // from the acknowledgement until the guest powers off
  teardown_ms: 300, // `--ps--`
  reboot_gap_ms: 80, // between a rebooting guest's two domains (really 2 s and more)
  destroy_ms: 60, // `xl destroy`
  save_ms: 30, // how long a guest's memory is written for
  script_ms: 10_000, // past this, a hotplug script is killed
  lvm_busy_ms: 50, // how long lvremove waits for a device in use (really 5 s)
};

/** CPU seconds per second of an idle guest. */
const IDLE_RATE = 0.02;
const DEFAULT_ACTIONS = { on_poweroff: 'destroy', on_reboot: 'restart', on_crash: 'destroy' };
const SHUTDOWNS = {
  poweroff: { code: 0, letter: '-', key: 'on_poweroff' },
  reboot: { code: 1, letter: 'r', key: 'on_reboot' },
  crash: { code: 3, letter: 'c', key: 'on_crash' },
  suspend: { code: 2, letter: 's', key: undefined },
};

/** What becomes of a domain that has shut down: one of xl's actions, by its configuration. */
export function actionOf(domain) {
  const { key } = SHUTDOWNS[domain.off];
  return domain.spec[key] ?? DEFAULT_ACTIONS[key];
}

export const isRunning = (domain) => domain.phase === 'up' && domain.pauses === 0 && !domain.destroying;

/** CPU seconds until `at_ms`: all of the boot, then little. */
export function cpuSeconds(domain, at_ms) {
  if (domain.ran_from_ms === null) return domain.cpu_s;
  const busy_ms = Math.max(0, Math.min(at_ms, domain.idle_from_ms) - domain.ran_from_ms);
  const idle_ms = Math.max(0, at_ms - Math.max(domain.idle_from_ms, domain.ran_from_ms));
  return domain.cpu_s + (busy_ms + idle_ms * IDLE_RATE) / 1000;
}

/** To be called after anything that may have stopped or started the domain's CPUs. */
export function updateClock(state, domain, at_ms) {
  domain.cpu_s = cpuSeconds(domain, at_ms);
  domain.ran_from_ms = isRunning(domain) ? at_ms : null;
  if (domain.ran_from_ms !== null && domain.idle_from_ms === null) {
    domain.idle_from_ms = at_ms + state.timing.boot_ms;
  }
}

/** The six letters of `xl list`. */
export function stateLetters(domain, at_ms) {
  const paused =
    domain.phase === 'building' || domain.pauses > 0 || domain.destroying || domain.ends_ms !== null;
  if (domain.phase === 'off') return `--${paused ? 'p' : '-'}s${SHUTDOWNS[domain.off].letter}-`;
  if (paused) return '--p---';
  const busy = at_ms < domain.idle_from_ms || domain.off_at_ms !== null;
  return busy ? 'r-----' : '-b----';
}

export const reasonCode = (domain) => (domain.phase === 'off' ? SHUTDOWNS[domain.off].code : undefined);

export const newUuid = () => randomUUID();

/** A domain that Xen has begun to build. */
export function addDomain(state, spec, id, at_ms) {
  const counters = () => ({ rd_req: 0, rd_sect: 0, wr_req: 0, wr_sect: 0, f_req: 0 });
  const domain = {
    id,
    name: spec.name,
    uuid: spec.uuid ?? newUuid(),
    spec,
    memory_mib: spec.memory_mib,
    made_ms: at_ms,
    phase: 'building',
    pauses: 0,
    destroying: false,
    request: null,
    off: null,
    off_at_ms: null,
    ends_ms: null,
    cpu_s: 0,
    ran_from_ms: null,
    idle_from_ms: null,
    disks: spec.disks.map((disk) => ({ ...disk, ...counters() })),
    nics: spec.nics.map((nic, devid) => ({
      ...nic,
      ifname: nic.vifname ?? `vif${id}.${devid}`,
      rx_bytes: 0,
      rx_packets: 0,
      tx_bytes: 0,
      tx_packets: 0,
    })),
  };
  state.domains.push(domain);
  return domain;
}

/** The build has succeeded: the guest has its memory and, unless it is to stay paused, runs. */
export function startDomain(state, domain, at_ms, paused) {
  domain.phase = 'up';
  domain.pauses = paused ? 1 : 0;
  updateClock(state, domain, at_ms);
}

export function removeDomain(state, domain, how) {
  state.domains = state.domains.filter((other) => other !== domain);
  state.ended = { ...state.ended, [domain.id]: how };
}

/** The guest stops, for one of the three reasons; what comes then is the config's on_poweroff, on_reboot, on_crash. */
export function shutOff(state, domain, reason, at_ms) {
  domain.phase = 'off';
  updateClock(state, domain, at_ms);
  domain.off = reason;
  domain.request = null;
  if (domain.xl in state.xls && actionOf(domain) !== 'preserve') {
    domain.ends_ms = at_ms + state.timing.teardown_ms;
  }
}

function acknowledge(state, domain, at_ms) {
  const guest = state.guests[domain.name] ?? {};
  if (domain.request === null || domain.request.acknowledged || !isRunning(domain)) return;
  if (guest.acknowledges === false) return;
  domain.request.acknowledged = true;
  if (guest.powers_off !== false) domain.off_at_ms = at_ms + state.timing.shutdown_ms;
}

function step(state, domain, now_ms) {
  if (domain.phase !== 'up' || domain.off_at_ms === null || domain.off_at_ms > now_ms || !isRunning(domain)) {
    return false;
  }
  shutOff(state, domain, domain.request.kind, domain.off_at_ms);
  return true;
}

/** When a domain does something by itself, if it will: a time, or 0 for what the next look brings. */
export function nextStep_ms(state, domain) {
  if (domain.phase !== 'up' || !isRunning(domain)) return undefined;
  if (domain.off_at_ms !== null) return domain.off_at_ms;
  const hears = state.guests[domain.name]?.acknowledges !== false;
  return domain.request && !domain.request.acknowledged && hears ? 0 : undefined;
}

/** Lets the time until `now_ms` pass for every domain. */
export function settle(state, now_ms) {
  for (const domain of state.domains) acknowledge(state, domain, now_ms);
  for (const domain of state.domains) step(state, domain, now_ms);
}

/** What Xen has left for guests, in MiB. */
export function freeMemory_mib(state) {
  const used = state.domains.reduce((sum, domain) => sum + domain.memory_mib, 0);
  return state.host.memory_mib - 1 - state.host.dom0_mib - state.host.overhead_mib - used;
}
