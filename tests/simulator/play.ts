// Plays a story: its steps, what interrupts them, and the rest that it comes to.
import type { Outcome } from '../../src/core/dispatch.ts';
import { type Caller, startByHand, useSettings } from './agent.ts';
import { callOf, REFUSALS } from './calls.ts';
import type { System } from './disk.ts';
import type { Call, Process, Trap } from './engine.ts';
import { errno } from './errno.ts';
import { AT, machine } from './machine.ts';
import { NodeLife } from './node-life.ts';
import { startProgram } from './programs.ts';
import { comeToRest } from './rest.ts';
import { FIRST_MEMORY_MB, makeSite, VPSES } from './site.ts';
import {
  type Act,
  COUNTED,
  type Counted,
  EVENTS,
  type EventName,
  FAULTS,
  type FaultName,
  type Interruption,
  OPERATIONS,
  type OperationName,
  type Step,
  type Story,
} from './story.ts';
import type { Order, Violation } from './watch.ts';

/** A call to the agent, and what came of it. */
export interface Asked {
  readonly operation: OperationName | 'state';
  readonly vps: string;
  readonly caller: Caller;
  readonly order: Order | undefined;
  outcome: Outcome | undefined;
}

/** How many calls of each kind the steps of an operation take where nothing happens. */
export type Lengths = Readonly<Record<string, Readonly<Record<Counted, number>>>>;

/** What came of a story. */
export interface Played {
  readonly violations: readonly Violation[];
  readonly calls: number;
  /** What really happened, by its name. */
  readonly happened: readonly string[];
  readonly log: readonly string[];
}

const isOperation = (what: string): what is OperationName => (OPERATIONS as readonly string[]).includes(what);
const isEvent = (what: string): what is EventName => (EVENTS as readonly string[]).includes(what);
const isFault = (what: string): what is FaultName => (FAULTS as readonly string[]).includes(what);
/** A record, or the folder that it is in, is put on the disk. */
const RECORD = /^fsync .*\/states\//;
const JOBS: readonly string[] = ['reinstall', 'fsck'];
/** Orders after which a guest is started by another order alone. */
const LEAVES_STOPPED: readonly string[] = [
  ...['shutdown', 'destroy', 'reinstall', 'rollback', 'fsck', 'password'],
];
const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;

/** One story that is being played. */
export class Player {
  readonly story: Story;
  readonly life: NodeLife;
  readonly happened: string[] = [];
  readonly asked: Asked[] = [];
  moved_images = false;
  #memory_mb = FIRST_MEMORY_MB + 100;
  readonly #lengths: Lengths;
  readonly counts: Record<Counted, number> = { look: 0, write: 0, program: 0, record: 0, any: 0 };

  constructor(story: Story, lengths: Lengths) {
    this.story = story;
    this.#lengths = lengths;
    makeSite(story);
    useSettings(story.settings);
    this.life = new NodeLife(story.settings);
  }

  #orderOf(operation: Asked['operation'], vps: string): Order | undefined {
    const what = ({ kill: 'kill', reinstall: 'reinstall', setup: 'room' } as const)[operation as 'kill'];
    if (!what) return undefined;
    const order: Order = {
      what,
      vps,
      since_ms: machine.engine.now,
      until_ms: Number.POSITIVE_INFINITY,
      refused: false,
    };
    machine.watch.orders.push(order);
    return order;
  }

  /** Calls the agent; what comes of it is in the answer when it comes. */
  ask(caller: Caller, operation: Asked['operation'], vps: string): Asked {
    const asked: Asked = { operation, vps, caller, order: this.#orderOf(operation, vps), outcome: undefined };
    this.asked.push(asked);
    machine.watch.lost_since.delete(vps);
    const startAnswered = operation === 'start' ? machine.watch.startAsked(vps) : undefined;
    if (operation === 'reinstall') this.#memory_mb += 1;
    const type = this.story.types[VPSES.indexOf(vps as 'xen01')] as 'lvm' | 'vbd';
    const [name, values] = callOf(operation, { vps, type, memory_mb: this.#memory_mb });
    const params = Object.entries(values).map(([key, value]) => ({ name: key, value }));
    const call = { dialect: 'modern', soap: '1.1', operation: name, namespace: '', params } as const;
    const { watch, engine } = machine;
    engine.as(caller.process, () => {
      const admin = { user: 'dtc-xen', address: '192.0.2.9', stillKnown: async () => true };
      caller.dispatch?.(call, admin).then((outcome) => {
        asked.outcome = outcome;
        if (asked.order) asked.order.until_ms = engine.now;
        startAnswered?.();
        const is_stopped = outcome.ok
          ? outcome.output['state'] !== 'stopping'
          : outcome.error.code === 'vps_not_running';
        if (LEAVES_STOPPED.includes(operation) && is_stopped) watch.leftStopped(vps);
        if (operation === 'setup' && outcome.ok) watch.handedOver(vps);
        if (outcome.ok) {
          machine.log.push(
            `${name} of ${vps}: ${String(outcome.output['result'] ?? outcome.output['state'] ?? 'done')}`,
          );
          if (operation === 'collect') void watch.bill.receive(outcome, machine.chance);
          else void outcome.answered(true);
          return;
        }
        const { code, message } = outcome.error;
        if (asked.order) asked.order.refused = REFUSALS.includes(code);
        machine.log.push(`${name} of ${vps}: ${code}: ${message}`);
        if (code === 'internal' && !machine.faulty && !/is damaged; look which/.test(message))
          watch.report(
            'a defect',
            `${name} of ${vps} was answered: ${message} ${String((outcome.error.cause as Error)?.stack ?? '')
              .split('\n')
              .slice(0, 3)
              .join(' | ')}`,
          );
      });
    });
    return asked;
  }

  /** The daemon, ready for calls; undefined where it does not come up. */
  async daemon(): Promise<Caller | undefined> {
    const { engine } = machine;
    await engine.run(() => this.life.daemon?.end === 'ready' && this.life.daemon.process.alive, 120_000);
    const { daemon } = this.life;
    return daemon?.end === 'ready' && daemon.process.alive ? daemon : undefined;
  }

  async #caller(by: Step['by']): Promise<Caller | undefined> {
    if (by === 'daemon') return this.daemon();
    const hand = startByHand(this.story.settings);
    await machine.engine.run(() => hand.end !== undefined, 60_000);
    return hand.end === 'ready' ? hand : undefined;
  }

  /** What a trap is to do at the call that it waits for. */
  #trapFor({ when, act }: Interruption, call: Call, by: Process | undefined): Trap | undefined {
    const { what } = act;
    const vps = VPSES[act.vps];
    const does = (work: () => void): Trap => ({ [when]: work });
    this.happened.push(what);
    if (isFault(what)) return this.#faultFor(what, when, call, by, vps);
    // A call that finds a store half gone may say what it will.
    if (/go away$/.test(what)) machine.faulty = true;
    if (isEvent(what)) return does(() => this.#happens(what, vps));
    return does(() => {
      const { daemon } = this.life;
      if (daemon?.end === 'ready' && daemon.process.alive) this.ask(daemon, what, vps);
    });
  }

  #faultFor(
    fault: FaultName,
    when: 'before' | 'after',
    call: Call,
    by: Process | undefined,
    vps: string,
  ): Trap | undefined {
    // From a moment to half a minute.
    const slow_ms = 300 * 80 ** machine.chance.next();
    switch (fault) {
      case 'the caller dies':
        return by && { [when]: () => machine.kill(by) };
      case 'the program is killed':
        return call.program && { [when]: () => call.program?.kill() };
      case 'the program is slow':
        return call.program && { [when]: () => call.program?.slowDown(slow_ms) };
      case 'the caller dies, the program goes on':
        return (
          call.program &&
          by && {
            [when]: () => {
              call.program?.slowDown(slow_ms);
              machine.kill(by);
            },
          }
        );
      case 'a guest starts beside a slow program':
        return (
          call.program && {
            [when]: () => {
              call.program?.slowDown(slow_ms);
              this.#happens('guest starts by hand', vps);
            },
          }
        );
      case 'ENOSPC':
      case 'EIO': {
        if (
          call.kind === 'program' ||
          (fault === 'ENOSPC' && !/^(open|write|mkdir|link|symlink|rename|fsync)/.test(call.what))
        )
          return undefined;
        machine.faulty = true;
        machine.watch.bill.is_damaged = true;
        const [syscall = '', ...path] = call.what.split(' ');
        return { fail: errno(fault, syscall, path.join(' ')) };
      }
    }
  }

  #happens(event: EventName, vps: string): void {
    if (event === 'images are moved') this.moved_images = true;
    // Whoever does something with a guest has his own will with it; a boot has xendomains.
    const { lost_since } = machine.watch;
    if (event.startsWith('guest')) lost_since.delete(vps);
    if (/^(power|node|clock|agent|volumes|images|a record)/.test(event)) lost_since.clear();
    this.life.happens(event, vps);
  }

  #arm({ act, interruptions }: Step): void {
    const { counts } = this;
    for (const kind of COUNTED) counts[kind] = 0;
    const lengths = this.#lengths[act.what];
    const waiting = interruptions.map((interruption) => ({
      interruption,
      at: 1 + Math.floor((interruption.at / 1000) * (lengths?.[interruption.counting] ?? 40)),
    }));
    machine.engine.trap = (call, by) => {
      const counted: readonly Counted[] = [
        'any',
        call.kind,
        ...(RECORD.test(call.what) ? ['record' as const] : []),
      ];
      for (const kind of counted) counts[kind] += 1;
      for (let i = 0; i < waiting.length; i += 1) {
        const { interruption, at } = waiting[i] as (typeof waiting)[number];
        const { counting } = interruption;
        if (counts[counting] !== at || !counted.includes(counting)) continue;
        waiting.splice(i, 1);
        return this.#trapFor(interruption, call, by);
      }
      return undefined;
    };
  }

  async step(step: Step): Promise<void> {
    const { engine } = machine;
    const { what } = step.act;
    const vps = VPSES[step.act.vps];
    this.happened.push(what);
    if (!isOperation(what)) {
      this.#arm(step);
      if (isEvent(what)) this.#happens(what, vps);
      await this.#timePasses(what);
      engine.trap = undefined;
      return;
    }
    const caller = await this.#caller(step.by);
    if (!caller) return;
    this.#rememberRoots();
    this.#arm(step);
    const asked = this.ask(caller, what, vps);
    const isOver = () => asked.outcome !== undefined || !caller.process.alive;
    await engine.run(isOver, 500_000);
    if (!isOver()) machine.watch.report('not nameable', `${what} of ${vps} was not answered within 500 s`);
    if (JOBS.includes(what)) await this.jobsEnd();
    this.#lookForConfigs(asked);
    await engine.run(() => false, 3_000);
    engine.trap = undefined;
    if (step.by === 'hand') machine.kill(caller.process);
  }

  /** An exchange that could not begin leaves what was there as it was, and startable. */
  #lookForConfigs({ vps, operation, outcome, caller }: Asked): void {
    const { watch, mounts, processes } = machine;
    const is_over = outcome && !outcome.ok && caller.process.alive && processes.has(caller.process.pid);
    if (
      !is_over ||
      operation !== 'rollback' ||
      !['program_failed', 'program_timeout'].includes(outcome.error.code)
    )
      return;
    // Where the disks went away meanwhile, nobody sees how far it came, nor starts anything: it is noted, told, and finished later.
    const is_away = !machine.volumes.is_there || !mounts.at(AT.images);
    if (is_away && outcome.error.message.includes('What was begun is noted, and tried again')) return;
    const root = watch.everyRoot().find(({ name }) => name === vps)?.disk;
    const was_there = root?.system?.precious && root.system === this.roots_before.get(vps);
    if (was_there && this.configured_before.has(vps) && !mounts.isThere(`/etc/xen/${vps}`)) {
      watch.report(
        'not nameable',
        `${operation} of ${vps} failed (${outcome.error.message}), and left its system without a configuration`,
      );
    }
  }

  readonly roots_before = new Map<string, System | undefined>();
  readonly configured_before = new Set<string>();

  #rememberRoots(): void {
    this.configured_before.clear();
    const roots = machine.watch.everyRoot();
    for (const vps of VPSES) {
      this.roots_before.set(vps, roots.find(({ name }) => name === vps)?.disk.system);
      if (machine.mounts.isThere(`/etc/xen/${vps}`)) this.configured_before.add(vps);
    }
  }

  /** Waits until no job is at work. */
  async jobsEnd(): Promise<void> {
    const works = () => [...machine.processes.values()].some(({ contained }) => contained);
    await machine.engine.run(() => !works(), 900_000);
  }

  async #timePasses(what: Act['what']): Promise<void> {
    const { engine } = machine;
    if (what === 'an hour passes' || what === 'a day passes') {
      await this.hours(what === 'an hour passes' ? 1 : 23.5);
      return;
    }
    if (what === 'minutes pass') {
      for (let minute = 0; minute < 3; minute += 1) await this.minute();
      return;
    }
    const late =
      what === 'power fails' || what === 'power fails, stores come late' || what === 'node reboots';
    await engine.run(() => false, late ? 15_000 : 6_000);
  }

  async minute(): Promise<void> {
    await machine.engine.run(() => false, MINUTE_MS);
    this.life.tick('* * * * *');
    await machine.engine.run(() => false, 1_000);
  }

  /** Time in which nothing is asked: what is under way comes to its end first. */
  async hours(count: number): Promise<void> {
    const { engine } = machine;
    await engine.run(() => false, 5_000);
    engine.now += count * HOUR_MS;
    this.life.tick('* * * * *');
    this.life.tick('41 * * * *');
    await engine.run(() => false, 31_000);
  }

  async begin(): Promise<void> {
    this.life.startAgent();
    await this.daemon();
    VPSES.forEach((vps, i) => {
      if (this.story.running[i]) startProgram({ argv: ['xl', 'create', `/etc/xen/${vps}`] });
    });
    // What the daemon does at its start is over then, but in some stories.
    const is_at_once = machine.chance.is(0.1);
    const rest_ms = this.story.running.includes(true) ? 12_000 : 3_000;
    if (!is_at_once) await machine.engine.run(() => false, rest_ms);
  }
}

/** Plays a story to its end. */
export async function play(story: Story, lengths: Lengths): Promise<Played> {
  const player = new Player(story, lengths);
  const { watch, engine } = machine;
  try {
    await player.begin();
    for (const step of story.steps) {
      await player.step(step);
      if (watch.violations.length > 0) break;
    }
    if (watch.violations.length === 0) await comeToRest(player);
  } catch (error) {
    watch.report('a defect', (error as Error).stack?.split('\n').slice(0, 6).join(' | ') ?? String(error));
  }
  engine.trap = undefined;
  return {
    violations: watch.violations,
    calls: engine.calls,
    happened: player.happened,
    log: engine.trace.length > 0 ? engine.trace : machine.log,
  };
}
