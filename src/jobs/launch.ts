import { mkdir } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import type { JobKind } from '../core/ports.ts';
import type { Companion, CompanionCommand, Runner } from '../core/runner.ts';
import { bySystemd, inTransientUnit, type JobRunner } from '../core/transient-unit.ts';
import type { JobFolder } from './folder.ts';
import { JOB_MARK } from './leftovers.ts';

/** How a job's process is started. */
export interface LaunchOptions {
  readonly runner: Runner;
  readonly job_runner: JobRunner;
  /** The program that calls `runJob`; the job's folder is put behind it. */
  readonly job_command: readonly string[];
  /** Colon-separated folders; a transient unit does not inherit ours. */
  readonly program_path: string;
}

/** Beside this file, and beside the bundle that it becomes part of. */
const WITH_NODE_PROC = fileURLToPath(new URL('./with-node-proc', import.meta.url));

/** A dead job's folder may be looked at, under its lock, at the moment that its process starts: then this waits. */
const LOCK_WAIT_S = '10';

/**
 * The job's process as process 1 of a PID namespace with mounts of its own, under the job's lock: when it dies, the kernel
 * kills what it started and takes its mounts down, and only then is the lock free.
 */
function contained(folder: JobFolder, job_command: readonly string[]): string[] {
  return [
    ...['flock', '--timeout', LOCK_WAIT_S, '--conflict-exit-code', '75', '--', folder.lock_path],
    ...['unshare', '--mount', '--propagation', 'slave', '--'],
    ...['/bin/sh', WITH_NODE_PROC, folder.node_proc_dir],
    ...job_command,
    folder.path,
  ];
}

function asTransientUnit(
  kind: JobKind,
  folder: JobFolder,
  program_path: string,
  command: readonly string[],
): string[] {
  const output = `append:${folder.process_log_path}`;
  const unit = {
    kind,
    name: `dtc-xen-job-${folder.id}`,
    description: `${folder.vps.name}: job ${folder.id}`,
    program_path,
    options: [
      `--property=StandardOutput=${output}`,
      `--property=StandardError=${output}`,
      `--setenv=${JOB_MARK}=${folder.id}`,
    ],
  };
  return inTransientUnit(unit, command);
}

/** Starts a job's process, which outlives this one; a companion that ends at once need not mean that the job did. */
export async function launch(kind: JobKind, folder: JobFolder, options: LaunchOptions): Promise<Companion> {
  const { runner, job_runner, job_command, program_path } = options;
  await mkdir(folder.node_proc_dir, { recursive: true, mode: 0o700 });
  const inside = contained(folder, job_command);
  const [program = '', ...args] = (await bySystemd(job_runner))
    ? asTransientUnit(kind, folder, program_path, inside)
    : inside;
  const command: CompanionCommand = {
    label: `job ${folder.id}`,
    program,
    args,
    env: { [JOB_MARK]: folder.id },
    output_path: folder.process_log_path,
  };
  return runner.start(command);
}
