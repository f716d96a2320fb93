// The fake host's domains over time. Nothing runs in the background: every call first lets the time since the last one pass.
//
//   building --built--> up --asked, acknowledged, shut down--> off --torn down--> gone, or (restart) building anew
//   (Mem 0)             |                                      |
//                       +-- crash -----------------------------+-- on_*=preserve: stays, `---s--`
import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';

/** How long things take, in ms; far shorter than on a real host, and each can be set. */
export const TIMING = {
  name_ms: 5, // from the check of the name until the disks are taken
  build_ms: 30, // domain listed with Mem 0
  boot_ms: 300, // from the first instruction until the guest idles
  acknowledge_ms: 600, // how long `xl shutdown` waits for the guest's acknowledgement (really 60 s)
  shutdown_ms: 100, // from the acknowledgement until the guest powers off
  teardown_ms: 300, // `--ps--`
  destroy_ms: 60, // `xl destroy`
  lvm_busy_ms: 50, // how long lvremove waits for a device in use (really 5 s)
};

/** CPU seconds per second of an idle guest. */
const IDLE_RATE = 0.02;
const DEFAULT_ACTIONS = { on_poweroff: 'destroy', on_reboot: 'restart', on_crash: 'destroy' };
const SHUTDOWNS = {
  poweroff: { code: 0, letter: '-', key: 'on_poweroff' },
  reboot: { code: 1, letter: 'r', key: 'on_reboot' },
  crash: { code: 3, letter: 'c', key: 'on_crash' },
};

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

/** A domain that Xen has begun to build. `unattended`: by xl's own daemon, after a reboot. */
export function addDomain(state, spec, id, at_ms, unattended) {
  const counters = () => ({ rd_req: 0, rd_sect: 0, wr_req: 0, wr_sect: 0, f_req: 0 });
  const domain = {
    id,
    name: spec.name,
    uuid: spec.uuid ?? newUuid(),
    spec,
    memory_mib: spec.memory_mib,
    made_ms: at_ms,
    phase: 'building',
    unattended,
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
  const action = domain.spec[SHUTDOWNS[reason].key] ?? DEFAULT_ACTIONS[SHUTDOWNS[reason].key];
  domain.restart = action === 'restart';
  if (action !== 'preserve') domain.ends_ms = at_ms + state.timing.teardown_ms;
}

function acknowledge(state, domain, at_ms) {
  const guest = state.guests[domain.name] ?? {};
  if (domain.request === null || domain.request.acknowledged || !isRunning(domain)) return;
  if (guest.acknowledges === false) return;
  domain.request.acknowledged = true;
  if (guest.powers_off !== false) domain.off_at_ms = at_ms + state.timing.shutdown_ms;
}

const canBuild = (spec) =>
  [spec.kernel, spec.ramdisk, ...spec.disks.map((disk) => disk.path)].every(
    (path) => !path || existsSync(path),
  );

function step(state, domain, now_ms) {
  if (domain.phase === 'building' && domain.unattended) {
    const built_ms = domain.made_ms + state.timing.build_ms;
    if (now_ms < built_ms) return false;
    if (canBuild(domain.spec)) startDomain(state, domain, built_ms, false);
    else removeDomain(state, domain, 'destroyed');
    return true;
  }
  if (domain.phase === 'up' && domain.off_at_ms !== null && domain.off_at_ms <= now_ms && isRunning(domain)) {
    shutOff(state, domain, domain.request.kind, domain.off_at_ms);
    return true;
  }
  if (domain.phase === 'off' && domain.ends_ms !== null && domain.ends_ms <= now_ms) {
    removeDomain(state, domain, SHUTDOWNS[domain.off].code);
    if (domain.restart) {
      addDomain(state, { ...domain.spec, uuid: domain.uuid }, state.next_domid++, domain.ends_ms, true);
    }
    return true;
  }
  return false;
}

/** Lets the time until `now_ms` pass for every domain. */
export function settle(state, now_ms) {
  for (const domain of state.domains) acknowledge(state, domain, now_ms);
  for (let moved = true; moved; ) {
    moved = state.domains.some((domain) => step(state, domain, now_ms));
  }
}

/** What Xen has left for guests, in MiB. */
export function freeMemory_mib(state) {
  const used = state.domains.reduce((sum, domain) => sum + domain.memory_mib, 0);
  return state.host.memory_mib - 1 - state.host.dom0_mib - state.host.overhead_mib - used;
}
