import type { DebianSystem, InstallContext } from '../core/bases.ts';
import type { BaseKeeper, Refresh } from './bases.ts';

/** What `dtc-xen base ...` works with. */
export interface BaseCommand {
  readonly bases: BaseKeeper;
  /** The system that the configuration asks for. */
  readonly system: DebianSystem;
  readonly max_age_days: number;
  readonly context: InstallContext;
  /** Prints a line of the answer. */
  print(line: string): void;
}

const DAY_MS = 24 * 60 * 60_000;

async function list({ bases, print, max_age_days }: BaseCommand): Promise<void> {
  const kept = await bases.list();
  if (kept.length === 0) print('There is no base; the first reinstall makes one.');
  for (const { key, made, archive_bytes, inputs } of kept) {
    const days = (Date.now() - Date.parse(made)) / DAY_MS;
    const size = `${Math.round(archive_bytes / 1024 / 1024)} MiB`;
    const age = days < max_age_days ? '' : '; made anew this night';
    const more = inputs.packages.length > 0 ? `, with ${inputs.packages.join(' ')}` : '';
    const what = `${inputs.release} ${inputs.arch} by ${inputs.tool} ${inputs.tool_version}${more}`;
    print(`${key}  ${made.slice(0, 16)}Z  ${size}  ${what}${age}`);
  }
}

/**
 * `base list`, `base refresh [stale]`, `base drop KEY...|all`.
 *
 * @returns whether these words could be understood
 * @throws AgentError not_found, program_*, timeout
 */
export async function baseCommand(words: readonly string[], command: BaseCommand): Promise<boolean> {
  const [verb, ...rest] = words;
  const { bases, system, max_age_days, context } = command;
  if (verb === 'list' && rest.length === 0) {
    await list(command);
    return true;
  }
  if (verb === 'refresh' && (rest.length === 0 || (rest.length === 1 && rest[0] === 'stale'))) {
    const which: Refresh = rest[0] === 'stale' ? { older_than_days: max_age_days } : 'all';
    await bases.refresh(system, which, context);
    return true;
  }
  if (verb === 'drop' && rest.length > 0) {
    const keys = rest.length === 1 && rest[0] === 'all' ? (await bases.list()).map(({ key }) => key) : rest;
    for (const key of keys) await bases.drop(key, context);
    return true;
  }
  return false;
}
