import { createHash } from 'node:crypto';
import type { Companion, Runner } from '../core/runner.ts';
import { bySystemd, inTransientUnit, type JobRunner } from '../core/transient-unit.ts';

/** When a node looks whether its bases are old, as a cron expression: between 1 and 5 o'clock, each node at its own minute. */
export function nightlyTime(node_name: string): string {
  const minute = createHash('sha256').update(node_name).digest().readUInt32BE() % 240;
  return `${minute % 60} ${1 + Math.floor(minute / 60)} * * *`;
}

/** Makes old bases anew in a process of its own, which gives way to everything else on the node. */
export interface NightlyRefresh {
  /** Starts it where the last one has ended; settles when it has ended. Never rejects. */
  run(): Promise<void>;
  /** Ends the one that runs; what it has not finished, the next one does. As a unit it goes on, and is not waited for. */
  stop(): Promise<void>;
}

const STOP_GRACE_MS = 1_000;
/** Its unit, where systemd runs it: its messages are in the journal. */
export const REFRESH_UNIT = 'dtc-xen-base-refresh';

function command(agent: readonly string[], by_systemd: boolean, program_path: string): string[] {
  const refresh = [...agent, 'base', 'refresh', 'stale'];
  if (!by_systemd) return ['nice', '-n', '19', 'ionice', '-c', '3', '--', ...refresh];
  const options = ['--wait', '--property=Nice=19', '--property=IOSchedulingClass=idle'];
  const description = 'Nightly refresh of the base systems';
  const unit = { kind: 'base refresh', name: REFRESH_UNIT, description, program_path, options } as const;
  return inTransientUnit(unit, refresh);
}

/** Makes a {@link NightlyRefresh}. `agent` is the program with its arguments, as far as the command. */
export function createNightlyRefresh(options: {
  readonly runner: Runner;
  readonly job_runner: JobRunner;
  readonly program_path: string;
  readonly agent: readonly string[];
  /** Told of how it ended: an exit code or a signal, and what it said last. */
  readonly onEnd: (end: { exit: number | string; last_words: string }) => void;
}): NightlyRefresh {
  const { runner, job_runner, program_path, agent, onEnd } = options;
  let running: Companion | undefined;
  let stopped = false;
  return {
    async run() {
      const unit = await bySystemd(job_runner);
      if (running || stopped) return;
      const [program = '', ...args] = command(agent, unit, program_path);
      running = runner.start({ label: 'base refresh', program, args });
      const end = await running.ended;
      running = undefined;
      if (!stopped) onEnd(end);
    },
    async stop() {
      stopped = true;
      await running?.close(STOP_GRACE_MS);
    },
  };
}
