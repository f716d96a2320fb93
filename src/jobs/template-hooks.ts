import { access, constants } from 'node:fs/promises';
import type { Config } from '../config/schema.ts';
import type { Installable } from '../core/ports.ts';
import { type Installation, templateArgs } from './reinstall-args.ts';

/** The keys of the configuration that the shipped templates go by; they are in a program's environment. */
const TEMPLATE_KEYS = [
  ...(['ubuntu_repo', 'ubuntu_release', 'ubuntu_keyring'] as const),
  ...(['rocky_repo', 'rocky_release', 'rocky_key', 'image_dir'] as const),
];

/** Whether a file is there and may be executed. */
export async function isProgram(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
}

/**
 * The arguments of `reinstall-hook`, which runs a template's program or the custom_postinstall_script. A template is told its
 * own name where an appliance was asked for.
 */
export function hookArgs(program: string, at: Installation & { installable: Installable }): string[] {
  const settings = TEMPLATE_KEYS.flatMap((key) => ['--set', `${key}=${at.config[key]}`]);
  const request = { ...at.request, os: at.installable.os };
  return [...settings, program, ...templateArgs({ ...at, request })];
}

/** The arguments of `reinstall-first-boot`. The Debian that the agent installs has host keys of its own already. */
export function firstBootArgs(
  mount_point: string,
  config: Pick<Config, 'first_boot_script'>,
  { system, appliance, wants_root_password }: Installable,
): string[] {
  const script = config.first_boot_script;
  return [
    ...['--root', mount_point],
    ...(system.kind === 'debian' ? ['--keep-host-keys'] : []),
    ...(script === '' ? [] : ['--script', script]),
    ...(appliance === undefined ? [] : ['--appliance', appliance]),
    ...(wants_root_password ? ['--root-password'] : []),
  ];
}
