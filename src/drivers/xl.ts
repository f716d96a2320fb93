import { setTimeout as sleep } from 'node:timers/promises';
import type { Config } from '../config/schema.ts';
import { AgentError, asAgentError } from '../core/errors.ts';
import { holdingNothing } from '../core/held-locks.ts';
import type { Hypervisor } from '../core/ports.ts';
import type { Finished, Runner } from '../core/runner.ts';
import { bySystemd, inGuestScope } from '../core/transient-unit.ts';
import { type Domain, type DomainPhase, domainPhase, type VpsId } from '../core/vps.ts';
import { whenSettled } from '../core/when-settled.ts';
import { noteDestroyed, noteLeftStopped, xlLog } from '../core/xl-log.ts';
import { shareFresh } from './fresh-share.ts';
import { createGuestPresence, type PresenceOptions } from './guest-presence.ts';
import { parseXlInfo } from './parse/xl-info.ts';
import { parseXlList } from './parse/xl-list.ts';
import { createSavedGuests } from './saved-guests.ts';
import { explainXlFailure } from './xl-failures.ts';
import { createXlSaved } from './xl-saved.ts';

/** What the xl driver needs; the times are for tests. */
export interface XlOptions extends Pick<PresenceOptions, 'holdsXendomains'> {
  readonly runner: Runner;
  readonly config: Pick<Config, 'job_runner' | 'xen_dir' | 'xen_log_dir' | 'xen_save_dir' | 'proc_dir'>;
  /** Between two looks at a domain that is going away. */
  readonly poll_ms?: number;
  /** For a call that only asks. */
  readonly ask_timeout_ms?: number;
  /** For `xl create`; a loser of a race for a disk takes 17 s on a slow node (transcript 206). */
  readonly create_timeout_ms?: number;
  /** For `xl shutdown`, which itself waits 60 s for the guest's acknowledgement. */
  readonly shutdown_timeout_ms?: number;
  /** For each of two tries at `xl destroy`, which itself waits up to 10 s for a device and 40 s for its hotplug script. */
  readonly destroy_timeout_ms?: number;
  /** How long a domain that should be going may stay in a phase that is not one of going. */
  readonly settle_ms?: number;
}

/** A guest that comes back so often is started by somebody, not by its own reboot. */
const MAX_DESTROYED = 3;
/** Between the two domains of a guest's reboot: 2 to 10 s, and more on a slow node. */
const REBOOT_MS = 30_000;
/** Who was asked to power off and is still there after this is not going to. */
const ASKED_MS = 10 * 60_000;

/** A domain is still there after the time that was to be waited. */
class NotGone extends AgentError {}

/** Says what Xen has of the VPS now, as the end of a sentence. */
function whatIsThere(vps: VpsId, domain: Domain | undefined): string {
  if (!domain) return `Xen has no domain ${vps.name} now`;
  const { domid, state } = domain;
  return `Xen has ${vps.name} as domain ${domid}, state ${state} (${domainPhase(domain)})`;
}

/** The name of a VPS as an argument: a bare number or `Domain-0` would be the whole node's end (transcript 044). */
function domainName(vps: VpsId): string {
  if (/^xen[0-9]{1,5}$/.test(vps.name)) return vps.name;
  throw new Error('not the name of a VPS');
}

/** Makes the {@link Hypervisor} of Xen's xl. */
export function createXl({
  runner,
  config,
  holdsXendomains,
  poll_ms = 500,
  ask_timeout_ms = 20_000,
  create_timeout_ms = 150_000,
  shutdown_timeout_ms = 75_000,
  destroy_timeout_ms = 60_000,
  settle_ms = 5_000,
}: XlOptions): Hypervisor {
  /** What leaves a process for the guest's whole life is started where that belongs: outside of this service (`in_scope`). */
  async function xl(
    command: string,
    args: readonly string[],
    timeout_ms: number,
    in_scope = false,
  ): Promise<Finished> {
    const words = ['xl', command, ...args];
    const scoped = in_scope && (await bySystemd(config.job_runner)) ? inGuestScope(words) : words;
    const [program = '', ...rest] = scoped;
    return runner.run({ label: `xl ${command}`, program, args: rest, timeout_ms });
  }

  async function ask(command: string): Promise<string> {
    const answer = await xl(command, [], ask_timeout_ms);
    if (answer.exit_code === 0 && !answer.truncated) return answer.stdout;
    const why = answer.exit_code === 0 ? 'its answer is too long' : explainXlFailure(answer);
    throw new AgentError('program_failed', `xl ${command} failed (exit code ${answer.exit_code}): ${why}.`, {
      log: { ...answer },
    });
  }

  const list = shareFresh(async () => parseXlList(await ask('list')));
  const find = async (vps: VpsId) => {
    const wanted = domainName(vps);
    return (await list()).find(({ name }) => name === wanted);
  };
  const saved = createSavedGuests(config);
  const guests = createGuestPresence({
    ...{ runner, config, saved, find },
    ...(holdsXendomains && { holdsXendomains }),
  });

  /** What is there after a change went wrong: a look that fails too must not hide the first failure. */
  async function lookAgain(vps: VpsId): Promise<{ there: Domain | undefined; told: string }> {
    try {
      const there = await find(vps);
      return { there, told: whatIsThere(vps, there) };
    } catch (error) {
      if (!(error instanceof AgentError)) throw error;
      return {
        there: undefined,
        told: `what is there now cannot be seen (${error.message.replace(/\.$/, '')})`,
      };
    }
  }

  /** Runs a change; where it fails or does not end, looks again and hands over what is there. */
  async function change(
    vps: VpsId,
    command: string,
    args: readonly string[],
    timeout_ms: number,
    in_scope = false,
  ) {
    let finished: Finished;
    try {
      finished = await xl(command, args, timeout_ms, in_scope);
    } catch (error) {
      if (!(error instanceof AgentError) || error.code !== 'program_timeout') throw error;
      const { there, told } = await lookAgain(vps);
      const message = `${vps.name}: xl ${command} did not end within ${timeout_ms / 1000} s and was killed; ${told}.`;
      const log = error.log === undefined ? {} : { log: error.log };
      return { there, failure: new AgentError('program_timeout', message, { cause: error, ...log }) };
    }
    if (finished.exit_code === 0) return { there: undefined, failure: undefined };
    const { there, told } = await lookAgain(vps);
    const message = `${vps.name}: xl ${command} failed (exit code ${finished.exit_code}): ${explainXlFailure(finished)}; ${told}.`;
    return { there, failure: new AgentError('program_failed', message, { log: { ...finished } }) };
  }

  /**
   * Waits until the domain is gone. A reboot gives a new id: then it came back, and is what is returned. `stays` names what is
   * wrong with a phase that the domain has stayed in for `settle_ms`; a domain passes through any of them on its way down. `failed`
   * is what makes waiting vain.
   */
  async function waitUntilGone(
    vps: VpsId,
    before: Domain,
    wait_ms: number,
    stays: (phase: DomainPhase) => AgentError | undefined,
    failed: () => AgentError | undefined = () => undefined,
  ): Promise<Domain | undefined> {
    const started = performance.now();
    let phase: DomainPhase | undefined;
    let phase_since = started;
    let seen_last = started;
    let reboots = before.state[4] === 'r';
    for (;;) {
      const domain = await find(vps);
      const now = performance.now();
      if (!domain) {
        // Between the two domains of a reboot there is none for some seconds; xl's process lives on, or has ended where it is off.
        const may_return = (await guests.process(vps)) !== undefined && now - started < wait_ms;
        if (!may_return && (!reboots || now - seen_last >= settle_ms)) return undefined;
        await sleep(poll_ms);
        continue;
      }
      seen_last = now;
      reboots = domain.state[4] === 'r';
      if (domain.domid !== before.domid) return domain;
      if (phase !== domainPhase(domain)) {
        phase = domainPhase(domain);
        phase_since = now;
      }
      const wrong = failed() ?? (now - phase_since >= settle_ms ? stays(phase) : undefined);
      if (wrong) throw wrong;
      const left_ms = wait_ms - (now - started);
      if (left_ms <= 0) {
        throw new NotGone(
          'program_timeout',
          `${vps.name} is not gone after ${wait_ms / 1000} s: ${whatIsThere(vps, domain)}.`,
        );
      }
      await sleep(Math.min(poll_ms, left_ms));
    }
  }

  const cameBack = (vps: VpsId, { domid }: Domain) =>
    new AgentError(
      'program_failed',
      `${vps.name} went down and was started again as domain ${domid}; see who did, or its on_poweroff.`,
    );

  /** Destroys one domain, and waits until it is gone. Returns the one that came in its place. */
  async function destroyDomain(vps: VpsId, domain: Domain, wait_ms: number): Promise<Domain | undefined> {
    const destroy = () => change(vps, 'destroy', [domainName(vps)], destroy_timeout_ms);
    const first = await destroy();
    // One that was killed leaves the domain paused, with some of its devices gone: a second one ends it.
    const hung = first.failure?.code === 'program_timeout' && first.there?.domid === domain.domid;
    const { failure } = hung ? await destroy() : first;
    // A destroy while Xen tears the domain down already fails, though the domain goes (transcript 209).
    return waitUntilGone(vps, domain, wait_ms, (phase) =>
      phase === 'stopping' || phase === 'paused' ? undefined : failure,
    );
  }

  /** The guest's domain. Between the two of a reboot Xen has none for seconds, and xl's process makes the next one all the same. */
  async function afterReboot(vps: VpsId, limit_ms = REBOOT_MS): Promise<Domain | undefined> {
    const look = () => guests.of(vps);
    const found = await whenSettled(look, ({ kind }) => kind === 'starting', { limit_ms });
    if (found.kind === 'domain') return found.domain;
    if (found.kind !== 'starting') return undefined;
    throw new AgentError(
      'program_timeout',
      `${vps.name} is being started by xl (process ${found.pid}), which does not come to an end: try again, and see ${xlLog(config.xen_log_dir, vps)}.`,
    );
  }

  /** Domain ids, and when each was asked. */
  const asked_to_stop = new Map<number, number>();

  /**
   * Has xl ask the guest to power off, which waits up to a minute for its acknowledgement: beside the caller, and without the locks
   * that it works under. What xl then fails with counts where the guest is as it was.
   */
  function askToStop(vps: VpsId, domain: Domain): { failed: () => AgentError | undefined } {
    let failure: AgentError | undefined;
    const before = domainPhase(domain);
    asked_to_stop.set(domain.domid, performance.now());
    const end = (error: AgentError | undefined) => {
      failure = error;
      if (error) asked_to_stop.delete(domain.domid);
    };
    if (before === 'running' || before === 'paused' || before === 'building') {
      holdingNothing(() => change(vps, 'shutdown', [domainName(vps)], shutdown_timeout_ms)).then(
        // Another domain is the guest after a reboot of its own, not one that did not answer.
        ({ failure: told, there }) =>
          end(told && there?.domid === domain.domid && domainPhase(there) === before ? told : undefined),
        (thrown: unknown) => end(asAgentError(thrown)),
      );
    }
    return { failed: () => failure };
  }

  const deadDomain =
    (vps: VpsId, { domid }: Domain) =>
    (phase: DomainPhase) =>
      phase === 'crashed' || phase === 'preserved'
        ? new AgentError(
            'program_failed',
            `${vps.name} is down, but its configuration keeps its domain ${domid} (${phase}); destroy it.`,
          )
        : undefined;

  const notRunning = (vps: VpsId) =>
    new AgentError('vps_not_running', `${vps.name} is not running: Xen has no such domain.`);

  return {
    list,
    find,
    presence: guests.of,
    ...createXlSaved({
      ...{ saved, find, destroy_timeout_ms, restore_timeout_ms: create_timeout_ms },
      change,
    }),

    async create(vps, config_path) {
      domainName(vps);
      const { failure, there } = await change(vps, 'create', [config_path], create_timeout_ms, true);
      if (!failure) {
        if (await find(vps)) return;
        throw new AgentError(
          'program_failed',
          `${vps.name}: xl create reported success, but Xen has no such domain: the guest ended at once; see its console in /var/log/xen.`,
        );
      }
      if (there && failure.code === 'program_failed') {
        throw new AgentError('vps_running', failure.message, failure.log ? { log: failure.log } : {});
      }
      throw failure;
    },

    leaveStopped: (vps) => noteLeftStopped(config.xen_log_dir, vps),

    isAskedToStop: ({ domid }) => {
      const since = asked_to_stop.get(domid);
      return since !== undefined && performance.now() - since < ASKED_MS;
    },

    async shutdown(vps, wait_ms, onAsked = async () => {}) {
      const until = performance.now() + wait_ms;
      const domain = await afterReboot(vps, Math.max(Math.min(wait_ms, REBOOT_MS), poll_ms));
      if (!domain) {
        await noteLeftStopped(config.xen_log_dir, vps);
        throw notRunning(vps);
      }
      const asking = askToStop(vps, domain);
      await onAsked();
      try {
        const left_ms = Math.max(until - performance.now(), 0);
        const back = await waitUntilGone(vps, domain, left_ms, deadDomain(vps, domain), asking.failed);
        if (back) throw cameBack(vps, back);
        // Between the two domains of a reboot that it makes instead.
        if ((await guests.process(vps)) !== undefined && performance.now() >= until) return 'stopping';
      } catch (error) {
        if (error instanceof NotGone) return 'stopping';
        throw error;
      }
      await noteLeftStopped(config.xen_log_dir, vps);
      return 'stopped';
    },

    async destroy(vps, wait_ms) {
      await noteDestroyed(config.xen_log_dir, vps);
      let domain = await afterReboot(vps);
      if (!domain) throw notRunning(vps);
      for (let times = 0; domain && times < MAX_DESTROYED; times += 1) {
        domain = (await destroyDomain(vps, domain, wait_ms)) ?? (await afterReboot(vps));
        await noteDestroyed(config.xen_log_dir, vps);
      }
      if (domain) throw cameBack(vps, domain);
    },

    async freeMemory_mib() {
      return parseXlInfo(await ask('info')).free_memory_mib;
    },
  };
}
