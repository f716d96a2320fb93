import { readFile } from 'node:fs/promises';
import type { Bases, HeldVolume } from '../core/bases.ts';
import type { TemplatePrograms } from '../core/ports.ts';
import type { StepContext } from './plan.ts';

/** What a template's base is made by. */
export interface TemplateBase {
  readonly bases: Bases;
  readonly has_pool: boolean;
  readonly os: string;
  readonly programs: TemplatePrograms;
  /** The arguments of `reinstall-hook` for one of them. */
  readonly args: (program: string) => string[];
  readonly mount_point: string;
  readonly disk_bytes: number;
}

const MINUTE_MS = 60_000;
const ASK_MS = 5 * MINUTE_MS;
const INSTALL_MS = 120 * MINUTE_MS;
/** The answer of `base_inputs`: what the files take in KiB, and one word for all that they are made of. */
const ANSWER = /^(?<needs_kib>[1-9][0-9]{0,11}) (?<inputs>[!-~]{1,256})$/m;

/**
 * Holds the volume of what a template's install_os makes, where it says by `base_inputs` that this is the same for every VPS;
 * undefined where it is not, or has no room.
 *
 * @throws AgentError program_*: what install_os came to
 */
export async function holdBase(template: TemplateBase, ctx: StepContext): Promise<HeldVolume | undefined> {
  const { bases, has_pool, os, programs, args, mount_point, disk_bytes } = template;
  if (!has_pool || programs.base_inputs === undefined) return undefined;
  const asked = await ctx.script('reinstall-hook', args(programs.base_inputs), { timeout_ms: ASK_MS });
  const { needs_kib, inputs } = ANSWER.exec(asked.stdout)?.groups ?? {};
  if (needs_kib === undefined || inputs === undefined) return undefined;
  const made_from = [inputs, await readFile(programs.install_os, 'latin1')];
  const fill = (disk: string) =>
    ctx.script('base-fill', ['--disk', disk, '--on', mount_point, '--hook', ...args(programs.install_os)], {
      timeout_ms: INSTALL_MS,
      ends_with_caller: true,
    });
  return bases.volume({ template: { os, made_from, needs_kib: Number(needs_kib), fill } }, disk_bytes, ctx);
}
