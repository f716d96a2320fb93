import { readFile } from 'node:fs/promises';
import { deniedTo, type UnitKind } from './unit-denials.ts';

/** How work that outlives the daemon is started: the configuration's key; `auto` is systemd where it is process 1. */
export type JobRunner = 'auto' | 'systemd' | 'detached';

/** A service that systemd makes for one command (systemd-run(1)). */
export interface TransientUnit {
  /** What it is for, and so what systemd denies it. */
  readonly kind: UnitKind;
  readonly name: string;
  readonly description: string;
  /** Colon-separated folders; a transient unit does not inherit ours. */
  readonly program_path: string;
  /** Further options of systemd-run. */
  readonly options: readonly string[];
}

/** Whether work is started as a {@link TransientUnit}. */
export async function bySystemd(job_runner: JobRunner): Promise<boolean> {
  if (job_runner !== 'auto') return job_runner === 'systemd';
  return (await readFile('/proc/1/comm', 'utf8')).trim() === 'systemd';
}

/**
 * The command that runs another one as a unit of its own, in the slice of work that gives way to guests, and outside of the
 * daemon's sandbox.
 */
export function inTransientUnit(unit: TransientUnit, command: readonly string[]): string[] {
  return [
    ...['systemd-run', '--quiet', '--collect', '--no-ask-password', `--unit=${unit.name}`],
    ...[`--description=${unit.description}`, '--slice=dtc-xen-jobs.slice', '--service-type=exec'],
    ...['--property=KillMode=control-group', '--property=TimeoutStopSec=30'],
    ...[...deniedTo(unit.kind), ...unit.options],
    ...[`--setenv=PATH=${unit.program_path}`, '--setenv=LC_ALL=C', '--setenv=HOME=/root', '--'],
    ...command,
  ];
}

/**
 * The command that runs another one where guests' own processes are: xl leaves one for each guest, which makes it anew when it
 * reboots. In a service it would be in that service's way, and end with it.
 */
export function inGuestScope(command: readonly string[]): string[] {
  const scope = ['systemd-run', '--scope', '--quiet', '--collect', '--no-ask-password'];
  return [...scope, '--slice=xenguests.slice', '--', ...command];
}
