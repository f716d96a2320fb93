import type { RootRole } from '../core/ports.ts';
import type { Runner } from '../core/runner.ts';
import { parseVpsId, type VpsId } from '../core/vps.ts';

/** Every role that a root disk can have. */
export const ROOT_ROLES: readonly RootRole[] = ['current', 'new', 'old', 'passing'];

/** What is put behind a VPS's name for a role: nothing, `.new`, `.old`, `.passing`. */
const ending = (role: RootRole) => (role === 'current' ? '' : `.${role}`);

/** The name of a root disk without the ending of image files: `xen01.old`. */
export const rootName = (vps: VpsId, role: RootRole): string => `${vps.name}${ending(role)}`;

/** The VPS whose root disk in this role has this name, if it is one. */
export function vpsOfRoot(name: string, role: RootRole): VpsId | undefined {
  if (!name.endsWith(ending(role))) return undefined;
  const vps = parseVpsId(name.slice(0, name.length - ending(role).length));
  return vps && rootName(vps, role) === name ? vps : undefined;
}

/** blkid(8), "EXIT CODE": nothing that it knows is there; more than one thing is. */
const NOTHING_FOUND = 2;
const AMBIVALENT = 8;

/** Whether blkid can name anything on a disk; its answer comes from the disk itself, never from a cache. */
export async function hasSignature(runner: Runner, path: string): Promise<boolean> {
  const { exit_code } = await runner.check({
    label: 'blkid',
    program: 'blkid',
    args: ['--probe', '--', path],
    timeout_ms: 30_000,
    ok_codes: [NOTHING_FOUND, AMBIVALENT],
  });
  return exit_code !== NOTHING_FOUND;
}
