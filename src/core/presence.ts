import type { Domain } from './vps.ts';

/**
 * What there is of a VPS's guest, beyond what Xen lists: a VPS is stopped where nothing runs it, will go on with it, or is about
 * to start it.
 *
 * - `domain`: Xen has a domain of its name, in whatever state.
 * - `saved`: its memory lies on the node's disk (`xl save`, xendomains at the end of a boot) and goes on from there.
 * - `starting`: no domain, but a process of xl's that is about to make one: a start by hand, or a guest that reboots itself, which
 *   Xen does not list for some seconds.
 * - `awaited`: the node starts or ends, and xendomains has not come to this VPS yet.
 */
export type GuestPresence =
  | { readonly kind: 'domain'; readonly domain: Domain }
  | { readonly kind: 'saved'; readonly path: string }
  | { readonly kind: 'starting'; readonly pid: number }
  | { readonly kind: 'awaited' }
  | { readonly kind: 'stopped' };
