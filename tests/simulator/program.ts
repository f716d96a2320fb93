// Programs that the agent, an admin or the node's boot starts: each goes through its steps, whatever becomes of who started it.
import type { Process } from './engine.ts';
import { machine } from './machine.ts';

/** How a program ends. */
export interface Ending {
  readonly exit: number;
  readonly stdout?: string;
  readonly stderr?: string;
}

/** What a program does: yields the milliseconds until its next step. */
export type Work = Generator<number, Ending, void>;

/** How a program is started. */
export interface Start {
  readonly argv: readonly string[];
  readonly environ?: Readonly<Record<string, string>>;
  readonly input?: string;
  /** The process of the agent that started it. */
  readonly starter?: Process | undefined;
  /** The process whose namespaces it is in, and ends with. */
  readonly inside?: Process | undefined;
  readonly by_xendomains?: boolean;
  readonly onEnd?: (ending: Ending | undefined) => void;
  /** Called when it says its first word. */
  readonly onAnswer?: () => void;
}

/** A program that runs. */
export class Program {
  alive = true;
  readonly pid = machine.pid();
  readonly since_ms = machine.engine.now;
  readonly comm: string;
  readonly cmdline: readonly string[];
  readonly told: string;
  readonly environ: Readonly<Record<string, string>>;
  /** Paths of its open files, as /proc shows them. */
  readonly files: string[] = [];
  readonly starter: Process | undefined;
  readonly inside: Process | undefined;
  readonly input: string;
  readonly by_xendomains: boolean;
  #work: Work | undefined;
  #slow_ms = 0;
  readonly #onEnd: Start['onEnd'];

  constructor(start: Start) {
    const [name = ''] = start.argv;
    this.comm = name.slice(name.lastIndexOf('/') + 1);
    this.cmdline = start.argv;
    this.told = start.argv.join(' ');
    this.environ = start.environ ?? {};
    this.input = start.input ?? '';
    this.starter = start.starter;
    this.inside = start.inside;
    this.by_xendomains = start.by_xendomains ?? false;
    this.#onEnd = start.onEnd;
    machine.programs.set(this.pid, this);
  }

  /** Begins this work, or goes over to it: its first step is done now. */
  begin(work: Work): void {
    this.#work = work;
    this.#go();
  }

  /** Has it go on that waits for ever. */
  wake(): void {
    this.#wait(1);
  }

  /** Has its next step come later: it is held up, as by a disk that does not answer. */
  slowDown(ms: number): void {
    this.#slow_ms = ms;
  }

  #wait(ms: number): void {
    machine.engine.at(machine.engine.now + ms * (0.5 + machine.chance.next()), this, () => this.#step());
  }

  #step(): void {
    const call = { kind: 'program', what: this.told, program: this } as const;
    machine.engine.step(call, this.starter?.alive ? this.starter : undefined, () => this.#go());
  }

  #go(): void {
    if (!this.alive || !this.#work) return;
    if (this.#slow_ms > 0) {
      const ms = this.#slow_ms;
      this.#slow_ms = 0;
      machine.engine.at(machine.engine.now + ms, this, () => this.#step());
      return;
    }
    const { done, value } = this.#work.next();
    if (!this.alive) return;
    if (done) this.#end(value);
    else if (value < Number.POSITIVE_INFINITY) this.#wait(value);
  }

  #end(ending: Ending | undefined): void {
    this.alive = false;
    machine.programs.delete(this.pid);
    machine.letGo(this);
    this.#onEnd?.(ending);
  }

  /** SIGKILL. */
  kill(): void {
    if (!this.alive) return;
    this.alive = false;
    this.#work?.return({ exit: 137 });
    this.#end(undefined);
  }
}
