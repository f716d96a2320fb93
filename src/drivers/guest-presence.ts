import { lstat, readdir, readFile, readlink } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { Config } from '../config/schema.ts';
import type { GuestPresence } from '../core/presence.ts';
import type { Runner } from '../core/runner.ts';
import type { Domain, VpsId } from '../core/vps.ts';
import { unlessMissing } from './missing.ts';
import type { SavedGuests } from './saved-guests.ts';

const ASK_TIMEOUT_MS = 20_000;
/** Commands of xl's that end in a domain: a process that was called so and still lives may be about to make one. */
const MAKING = ['create', 'restore', 'migrate-receive'];
const IN_MOTION = ['activating', 'deactivating', 'reloading'];

/** What looking for a guest needs. */
export interface PresenceOptions {
  readonly runner: Pick<Runner, 'run'>;
  readonly config: Pick<Config, 'xen_dir' | 'xen_log_dir' | 'proc_dir'>;
  readonly saved: SavedGuests;
  /** The VPS's domain, asked of Xen now. */
  readonly find: (vps: VpsId) => Promise<Domain | undefined>;
  /** Whether systemd holds xendomains back until this process says that it is ready (`Before=` in the unit). */
  readonly holdsXendomains?: () => boolean;
}

/** A process that ends while it is looked at is none. */
async function unlessGone<T, E>(reading: Promise<T>, otherwise: E): Promise<T | E> {
  return unlessMissing(reading, otherwise).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ESRCH' || error.code === 'EACCES') return otherwise;
    throw error;
  });
}

/**
 * Whether a process `xl` with these arguments makes a VPS's domain: the configuration or the saved memory is called as the VPS is,
 * wherever it lies.
 */
export function makesGuest(args: readonly string[], { name }: VpsId): boolean {
  const at = args.findIndex((arg) => MAKING.includes(arg));
  if (at < 0) return false;
  return args
    .slice(at + 1)
    .some((arg) => [name, `.${name}.restoring`].includes(basename(arg).replace(/\.(cfg|conf|save)$/, '')));
}

/** What there is of guests, asked anew at every call. */
export interface GuestPresences {
  of(vps: VpsId): Promise<GuestPresence>;
  /** xl's process for the VPS's guest, if one lives. */
  process(vps: VpsId): Promise<number | undefined>;
}

/** Makes {@link GuestPresences}. */
export function createGuestPresence(options: PresenceOptions): GuestPresences {
  const { runner, config, saved, find, holdsXendomains = () => false } = options;

  async function holdsLog(pid: string, vps: VpsId): Promise<boolean> {
    const log = new RegExp(`^xl-${vps.name}(?:--incoming)?\\.log(?:\\.[0-9]+)?(?: \\(deleted\\))?$`);
    const fds = join(config.proc_dir, pid, 'fd');
    for (const fd of await unlessGone(readdir(fds), [])) {
      const open = await unlessGone(readlink(join(fds, fd)), '');
      if (open.startsWith(`${config.xen_log_dir}/`) && log.test(basename(open))) return true;
    }
    return false;
  }

  /** xl's process for the VPS's guest: it lives through the guest's own reboots, when Xen lists no domain. */
  async function process(vps: VpsId): Promise<number | undefined> {
    for (const pid of await unlessGone(readdir(config.proc_dir), [])) {
      if (!/^[0-9]+$/.test(pid)) continue;
      const comm = await unlessGone(readFile(join(config.proc_dir, pid, 'comm'), 'latin1'), '');
      if (comm.trim() !== 'xl') continue;
      const args = await unlessGone(readFile(join(config.proc_dir, pid, 'cmdline'), 'latin1'), '');
      if (makesGuest(args.split('\0'), vps) || (await holdsLog(pid, vps))) return Number(pid);
    }
    return undefined;
  }

  /** Whether xendomains is at work, or is about to be: then it starts every guest with an autostart link, and saves every one. */
  async function xendomainsPending(): Promise<boolean> {
    const first = await unlessGone(readFile(join(config.proc_dir, '1/comm'), 'latin1'), '');
    if (first.trim() !== 'systemd') return false;
    const { stdout } = await runner.run({
      label: 'systemctl show xendomains',
      program: 'systemctl',
      args: ['show', '--property=ActiveState,Job', 'xendomains.service'],
      timeout_ms: ASK_TIMEOUT_MS,
    });
    const state = /^ActiveState=(.*)$/m.exec(stdout)?.[1] ?? '';
    const queued = Number(/^Job=([0-9]+)$/m.exec(stdout)?.[1] ?? 0) > 0;
    return IN_MOTION.includes(state) || (queued && !holdsXendomains());
  }

  async function of(vps: VpsId): Promise<GuestPresence> {
    // In this order: what makes a domain lives before Xen lists one, and what Xen listed a moment ago is no longer saved.
    const domain = await find(vps);
    if (domain) return { kind: 'domain', domain };
    const file = await saved.find(vps);
    const pid = await process(vps);
    if (pid !== undefined) return { kind: 'starting', pid };
    if (file && file.stage !== 'resuming') return { kind: 'saved', path: file.path };
    const starts_by_itself = await unlessMissing(lstat(join(config.xen_dir, 'auto', vps.name)), undefined);
    if (!starts_by_itself) return { kind: 'stopped' };
    if (await xendomainsPending()) return { kind: 'awaited' };
    // A program was asked meanwhile, which may take a second: somebody may have started the guest.
    const started = await process(vps);
    return started === undefined ? { kind: 'stopped' } : { kind: 'starting', pid: started };
  }
  return { of, process };
}
