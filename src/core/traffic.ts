import type { Config } from '../config/schema.ts';

/**
 * A guest's traffic as `perf_direction` names it: `in` is what dom0 received on the guest's interface (as DTC-Xen had it), or
 * what the guest did.
 *
 * @param rx what dom0 received on the interface
 * @param tx what dom0 sent on it
 */
export function inAndOut(
  direction: Config['perf_direction'],
  rx: number,
  tx: number,
): { readonly in: number; readonly out: number } {
  return direction === 'dom0' ? { in: rx, out: tx } : { in: tx, out: rx };
}
