/**
 * VPS names and states.
 *
 *                 startVPS                      guest powers off
 *   stopped ------------------> running ----------------------------> stopping
 *    ^  |  ^                      |  ^ |                                 |
 *    |  |  +--- teardown ends ----+--|-+--- on_crash=preserve --> crashed|
 *    |  |                            |      destroyVPS -> stopped        |
 *    |  |   reinstallVPSos: mkos     +-- xl unpause -- paused            |
 *    |  +-> fsckVPSpartition: fsck --+                                   |
 *    +------- the job ends ----------+ <----------- teardown ends -------+
 *
 * Xen alone knows which domains exist; `mkos` and `fsck` are jobs of ours. Only a stopped VPS may be reinstalled,
 * checked or deleted, and "stopped" means that Xen lists no domain of that name in any state.
 */

/** A VPS, as every handler knows it: `number` keeps its digits as they came (`01` is not `1`). */
export interface VpsId {
  /** The digits alone, one to five: `01`. */
  readonly number: string;
  /** The domain's name: `xen01`. */
  readonly name: string;
}

const VPS_NAME = /^(?:xen)?([0-9]{1,5})$/;

/**
 * Reads a VPS name in either form that a panel sends, `xen01` or `01` (contract, "Names").
 *
 * @returns the VPS, or undefined where the text is anything else
 */
export function parseVpsId(text: string): VpsId | undefined {
  const number = VPS_NAME.exec(text)?.[1];
  return number === undefined ? undefined : Object.freeze({ number, name: `xen${number}` });
}

/** What a domain of Xen's listing is doing; `building` is a domain that `xl create` has not finished (Mem 0). */
export type DomainPhase = 'building' | 'running' | 'paused' | 'stopping' | 'preserved' | 'crashed';

/** A line of `xl list` (xl(1), "list"). */
export interface Domain {
  readonly name: string;
  readonly domid: number;
  /** Current memory target in MiB. */
  readonly memory_mib: number;
  readonly vcpus: number;
  /** The six characters that xl prints, `-b----`. */
  readonly state: string;
  readonly cpu_seconds: number;
}

/**
 * Names the phase that xl's six state characters stand for (xl(1), "list", STATES).
 * The fifth place is the reason of a shutdown where `s` is set: `-` power-off, `r` reboot, `c` crash.
 */
export function domainPhase(domain: Pick<Domain, 'state' | 'memory_mib'>): DomainPhase {
  const { state } = domain;
  if (state.includes('d')) return 'stopping';
  if (state.includes('s')) {
    if (state.includes('c')) return 'crashed';
    return state.includes('p') ? 'stopping' : 'preserved';
  }
  if (domain.memory_mib === 0) return 'building';
  return state.includes('p') ? 'paused' : 'running';
}

/** Guests that install themselves, by the ostype that asks for them. */
export type SelfInstalledGuest = (typeof SELF_INSTALLED)[number];

/** Their names. */
export const SELF_INSTALLED = ['xenhvm', 'netbsd', 'manual'] as const;

/** The guest that installs itself which an ostype asks for, if it does. */
export function selfInstalledGuest(ostype: string): SelfInstalledGuest | undefined {
  return SELF_INSTALLED.find((name) => name === ostype);
}
