import { lstat } from 'node:fs/promises';
import { AgentError } from '../core/errors.ts';
import type { Hypervisor } from '../core/ports.ts';
import { type Domain, domainPhase, type VpsId } from '../core/vps.ts';
import type { SavedGuests } from './saved-guests.ts';

/** What came of a change that xl was asked for: what is there after one that failed. */
interface Change {
  readonly there: Domain | undefined;
  readonly failure: AgentError | undefined;
}

/** What dealing with saved guests needs of the xl driver. */
export interface XlSavedOptions {
  readonly saved: SavedGuests;
  readonly find: (vps: VpsId) => Promise<Domain | undefined>;
  readonly change: (
    vps: VpsId,
    command: string,
    args: readonly string[],
    timeout_ms: number,
    in_scope?: boolean,
  ) => Promise<Change>;
  readonly restore_timeout_ms: number;
  readonly destroy_timeout_ms: number;
}

/** Past this, a guest that runs beside saved memory has left it behind: xendomains deletes it at once after the restore. */
const LEFT_BEHIND_MS = 60_000;
/** A domain is paused for moments while it is made; one that stays so was left by a restore that was cut off. */
const LEFT_PAUSED_MS = 20_000;

/** Makes the part of the {@link Hypervisor} that deals with saved memory (src/drivers/saved-guests.ts has its stages). */
export function createXlSaved({
  saved,
  find,
  change,
  restore_timeout_ms,
  destroy_timeout_ms,
}: XlSavedOptions): Pick<Hypervisor, 'restore' | 'forgetSaved' | 'tidySaved' | 'savedVpses'> {
  const seen = new Map<string, { readonly what: string; readonly since_ms: number }>();

  /** Whether a domain has been seen in this phase, beside the same file, for so long. */
  async function stays(vps: VpsId, path: string, domain: Domain, for_ms: number): Promise<boolean> {
    const what = `${domain.domid} ${domainPhase(domain)} ${(await lstat(path)).mtimeMs}`;
    const before = seen.get(vps.name);
    if (before?.what !== what) seen.set(vps.name, { what, since_ms: performance.now() });
    else if (performance.now() - before.since_ms >= for_ms) return seen.delete(vps.name);
    return false;
  }

  /** Lets the guest run that was restored and is paused; from here on its saved memory is nothing any more. */
  async function resume(vps: VpsId): Promise<void> {
    const { failure } = await change(vps, 'unpause', [vps.name], destroy_timeout_ms);
    if (failure) throw failure;
    await saved.remove(vps);
  }

  async function leaveBehind(
    vps: VpsId,
    what = `${vps.name} runs, and beside it lay memory that was saved before`,
  ): Promise<string[]> {
    const aside = await saved.setAside(vps);
    return [
      `${what}: restored later, it would have ruined its file systems; it is ${aside} now, and may be deleted.`,
    ];
  }

  async function tidyRestoring(vps: VpsId, path: string, domain: Domain | undefined): Promise<string[]> {
    const phase = domain && domainPhase(domain);
    if (domain && phase === 'running') {
      await saved.move(vps, 'restoring', 'saved');
      return leaveBehind(vps);
    }
    if (domain) {
      if (phase !== 'paused' || !(await stays(vps, path, domain, LEFT_PAUSED_MS))) return [];
      const { failure, there } = await change(vps, 'destroy', [vps.name], destroy_timeout_ms);
      if (failure && there) throw failure;
    }
    await saved.move(vps, 'restoring', 'saved');
    return [`The restore of ${vps.name} was cut off before it ran: its saved memory is there again.`];
  }

  async function tidyResuming(vps: VpsId, domain: Domain | undefined): Promise<string[]> {
    if (domain && domainPhase(domain) === 'paused') {
      await resume(vps);
      return [`${vps.name} was restored and still paused: it runs now.`];
    }
    await saved.remove(vps);
    return [];
  }

  return {
    async restore(vps) {
      const file = await saved.find(vps);
      if (!file || file.stage === 'resuming')
        throw new AgentError('vps_not_running', `${vps.name} cannot be restored: no memory of it is saved.`);
      const path = file.stage === 'saved' ? await saved.move(vps, 'saved', 'restoring') : file.path;
      const { failure, there } = await change(vps, 'restore', ['-p', path], restore_timeout_ms, true);
      if (failure) {
        // A domain that is there may be another's, or half of one: tidySaved sees what becomes of it.
        if (!there) await saved.move(vps, 'restoring', 'saved');
        const message = `${failure.message} What it remembers stays saved; where it cannot be restored, let go of it with destroyVPS.`;
        throw new AgentError(failure.code, message, { cause: failure });
      }
      await saved.move(vps, 'restoring', 'resuming');
      await resume(vps);
    },

    forgetSaved: (vps) => saved.remove(vps),

    savedVpses: () => saved.vpses(),

    async tidySaved(vps) {
      const past = await saved.leftBehind(vps);
      const file = past === undefined ? await saved.find(vps) : { path: past, stage: 'saved' };
      if (!file) return [];
      const domain = await find(vps);
      if (past !== undefined && !domain)
        return leaveBehind(vps, `${vps.name} was started anew after its memory was saved`);
      if (file.stage === 'restoring') return tidyRestoring(vps, file.path, domain);
      if (file.stage === 'resuming') return tidyResuming(vps, domain);
      const left = domain && domainPhase(domain) === 'running';
      return left && (await stays(vps, file.path, domain, LEFT_BEHIND_MS)) ? leaveBehind(vps) : [];
    },
  };
}
