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
  const volumes = await bases.volumes();
  if (kept.length === 0 && volumes.length === 0) print('There is no base; the first reinstall makes one.');
  for (const { key, made, archive_bytes, inputs } of kept) {
    const days = (Date.now() - Date.parse(made)) / DAY_MS;
    const size = `${Math.round(archive_bytes / 1024 / 1024)} MiB`;
    const age = days < max_age_days ? '' : '; made anew this night';
    const more = inputs.packages.length > 0 ? `, with ${inputs.packages.join(' ')}` : '';
    const what = `${inputs.release} ${inputs.arch} by ${inputs.tool} ${inputs.tool_version}${more}`;
    const as_volume = volumes.some((volume) => volume.key === key) ? '; a volume, too' : '';
    print(`${key}  ${made.slice(0, 16)}Z  ${size}  ${what}${as_volume}${age}`);
  }
  for (const { key, size_bytes } of volumes) {
    if (kept.some((base) => base.key === key)) continue;
    print(`${key}  a volume of ${Math.round(size_bytes / 1024 / 1024)} MiB, of a template`);
  }
}

async function allKeys(bases: BaseKeeper): Promise<string[]> {
  const all = [...(await bases.list()), ...(await bases.volumes())];
  return [...new Set(all.map(({ key }) => key))];
}

/**
 * `base list`, `base refresh [stale]`, `base drop BASE...|all`.
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
    const keys = rest.length === 1 && rest[0] === 'all' ? await allKeys(bases) : rest;
    for (const key of keys) await bases.drop(key, context);
    return true;
  }
  return false;
}
