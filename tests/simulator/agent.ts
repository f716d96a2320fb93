// The agent's processes: the real compositions of src/app*.ts, on the story's node.

import { openLocally } from '../../src/app-by-hand.ts';
import { startAgent } from '../../src/app-daemon.ts';
import { runJobHere } from '../../src/app-job.ts';
import { parseConfig } from '../../src/config/load.ts';
import type { Config } from '../../src/config/schema.ts';
import type { Dispatch, Outcome } from '../../src/core/dispatch.ts';
import { Process } from './engine.ts';
import { listening } from './listening.ts';
import { AT, machine } from './machine.ts';
import type { Program, Work } from './program.ts';
import { jobStarter } from './programs.ts';

/** What stories choose of the configuration. */
export interface Settings {
  readonly mode: 'auto' | 'swap' | 'in-place';
  readonly keep_hours: number;
  readonly block_script: boolean;
  /** Whether removed volumes are overwritten. */
  readonly wipes: boolean;
}

const configs = new Map<string, Config>();

/** The node's configuration. */
export function configOf({ mode, keep_hours, block_script, wipes }: Settings): Config {
  const text = [
    ...['provisioning_volgroup=vg0', `provisioning_mount_point=${AT.images}`, `state_dir=${AT.state}`],
    ...[`run_dir=${AT.run}`, `reinstall_mode=${mode}`, `reinstall_keep_hours=${keep_hours}`],
    ...[
      'node_name=node.example',
      'KERNEL_RELEASE=6.12.0',
      'perf_retention=1',
      'GATEWAY=192.0.2.1',
      'DNS=192.0.2.1',
    ],
    ...NEWER_KEYS,
    `wipe_removed_disks=${wipes ? 'yes' : 'no'}`,
    ...(block_script ? [] : SOME_KEYS.block_script),
  ].join('\n');
  const known = configs.get(text);
  if (known) return known;
  const config = parseConfig(`${text}\n`);
  configs.set(text, config);
  return config;
}

const NEWER_KEYS = [`xen_save_dir=${AT.saved}`];
const SOME_KEYS = { block_script: ['block_script='] };

/** A logger that keeps what is worth keeping. */
function logOf(process: Process) {
  const keep = (level: string) => (fields: unknown, message?: string) => {
    const text = typeof fields === 'string' ? fields : (message ?? '');
    machine.log.push(`${process.name} ${level}: ${text}`);
    const { err } = (typeof fields === 'object' ? fields : {}) as { err?: Error };
    if (level === 'error' && text === 'defect' && !machine.faulty) {
      machine.watch.report('a defect', `${err?.stack?.split('\n').slice(0, 3).join(' | ') ?? text}`);
    }
  };
  const silent = () => undefined;
  return {
    ...{
      info: silent,
      debug: silent,
      trace: silent,
      warn: keep('warn'),
      error: keep('error'),
      fatal: keep('fatal'),
    },
    level: 'info',
  };
}

/** A process that calls can be made to: the daemon, or a program by hand. */
export interface Caller {
  readonly process: Process;
  dispatch: Dispatch | undefined;
  /** What its start came to where it is over. */
  end: 'ready' | { readonly failed: unknown } | undefined;
}

let starting: Caller | undefined;

listening.tell = (dispatch) => {
  if (starting) starting.dispatch = dispatch;
};

function makeProcess(name: string, environ: Readonly<Record<string, string>>, contained: boolean): Process {
  const process = new Process(machine.pid(), name, environ, contained);
  machine.processes.set(process.pid, process);
  return process;
}

/** Starts the daemon. */
export function startDaemon(settings: Settings): Caller {
  const process = makeProcess('daemon', {}, false);
  const caller: Caller = { process, dispatch: undefined, end: undefined };
  const log = logOf(process);
  machine.engine.as(process, () => {
    starting = caller;
    const options = { config: configOf(settings), config_file: AT.config, log: log as never };
    startAgent(options).then(
      () => {
        caller.end = 'ready';
      },
      (failed: unknown) => {
        caller.end = { failed };
        machine.kill(process);
      },
    );
  });
  return caller;
}

/** Starts a program that an admin calls by hand, which does what the daemon does. */
export function startByHand(settings: Settings): Caller {
  const process = makeProcess('by hand', {}, false);
  const caller: Caller = { process, dispatch: undefined, end: undefined };
  machine.engine.as(process, () => {
    openLocally({ config: configOf(settings), config_file: AT.config }).then(
      (agent) => {
        caller.dispatch = ({ operation, params }) =>
          agent.call(
            operation,
            Object.fromEntries(params.map(({ name, value }) => [name, value])),
          ) as Promise<Outcome>;
        caller.end = 'ready';
      },
      (failed: unknown) => {
        caller.end = { failed };
      },
    );
  });
  return caller;
}

/** The process of a job, as process 1 of its namespaces. */
function* runJob(
  settings: Settings,
  folder: string,
  environ: Readonly<Record<string, string>>,
  by: Program,
): Work {
  yield 200;
  const process = makeProcess('job', { ...environ, ...by.environ }, true);
  let exit: number | undefined;
  machine.engine.as(process, () => {
    runJobHere({ config: configOf(settings), config_file: AT.config, folder }).then(
      (code) => {
        exit = code;
        machine.kill(process);
      },
      (failed: unknown) => {
        exit = 1;
        if (!machine.faulty)
          machine.watch.report('a defect', `a job's process ended: ${(failed as Error).stack}`);
        machine.kill(process);
      },
    );
  });
  process.onEnd = () => by.wake();
  try {
    while (process.alive) yield Number.POSITIVE_INFINITY;
    return { exit: exit ?? 137 };
  } finally {
    machine.kill(process);
  }
}

/** Has the model start jobs with these settings. */
export function useSettings(settings: Settings): void {
  jobStarter.start = (folder, environ, by) => runJob(settings, folder, environ, by);
  machine.watch.keep_hours = settings.keep_hours;
}
