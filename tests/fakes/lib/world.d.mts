import type { FakeDomain, World } from './store.d.mts';

/** How long things take, in ms. */
export interface Timing {
  readonly name_ms: number;
  readonly build_ms: number;
  readonly boot_ms: number;
  readonly acknowledge_ms: number;
  readonly shutdown_ms: number;
  readonly teardown_ms: number;
  readonly reboot_gap_ms: number;
  readonly destroy_ms: number;
  readonly save_ms: number;
  readonly script_ms: number;
  readonly lvm_busy_ms: number;
}
export const TIMING: Timing;
export function shutOff(
  state: World,
  domain: FakeDomain,
  reason: 'poweroff' | 'reboot' | 'crash',
  at_ms: number,
): void;
export function stateLetters(domain: FakeDomain, at_ms: number): string;
export function cpuSeconds(domain: FakeDomain, at_ms: number): number;
