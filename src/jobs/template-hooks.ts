import { access, constants } from 'node:fs/promises';
import { join } from 'node:path';
import { AgentError } from '../core/errors.ts';

/** The programs that an operating system template may have (contract, "Files, names and programs that stay"). */
export type TemplateHook = 'install_os' | 'custom_os' | 'setup_network' | 'last_stage_custom';

/** A template of /usr/share/dtc-xen-os: the paths of the programs that it has. */
export type Template = Readonly<Partial<Record<TemplateHook, string>>> & { readonly install_os: string };

const PLAIN_NAME = /^[A-Za-z0-9][A-Za-z0-9._+-]*$/;

/** Whether a file is there and may be executed. */
export async function isProgram(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
}

/**
 * Finds a template's programs; each may be missing but install_os.
 *
 * @throws AgentError unknown_os
 */
export async function findTemplate(os_dir: string, os: string): Promise<Template> {
  const find = async (hook: TemplateHook) => {
    const path = join(os_dir, os, hook);
    return PLAIN_NAME.test(os) && (await isProgram(path)) ? path : undefined;
  };
  const install_os = await find('install_os');
  if (install_os === undefined) {
    throw new AgentError('unknown_os', `The template ${os} has no program install_os that can be run.`);
  }
  const rest = ['custom_os', 'setup_network', 'last_stage_custom'] as const;
  const found = await Promise.all(rest.map(async (hook) => [hook, await find(hook)] as const));
  return { install_os, ...Object.fromEntries(found.filter(([, path]) => path !== undefined)) };
}
