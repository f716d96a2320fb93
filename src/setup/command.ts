import { existsSync, readFileSync } from 'node:fs';
import { parseConfig } from '../config/load.ts';
import { parseShellAssignments } from '../config/parse.ts';
import type { Config } from '../config/schema.ts';
import { replaceFile } from '../core/atomic-file.ts';
import type { PasswordFile } from '../core/ports.ts';
import { setKeys } from './edit-config.ts';
import { type TakeOver, takeDtcXenOver } from './take-over.ts';

/** What the commands that set a node up work with. */
export interface Setup extends TakeOver {
  /** The configuration as it is; read when a command needs it. */
  readonly config: () => Config;
  readonly passwords: () => Promise<PasswordFile>;
  /** Standard input, whole. */
  readonly input: () => Promise<string>;
  readonly print: (line: string) => void;
}

async function set({ config_file, sample, input, print }: Setup): Promise<void> {
  const given = await input();
  parseConfig(given, 'standard input');
  const values = parseShellAssignments(given).map(({ key, value }) => [key, value] as const);
  const text = existsSync(config_file) ? readFileSync(config_file, 'utf8') : sample;
  const changed = setKeys(text, new Map(values));
  parseConfig(changed, config_file);
  await replaceFile(config_file, Buffer.from(changed));
  print(`${config_file}: ${values.map(([key]) => key).join(', ')} set.`);
}

/**
 * Does `config get KEY`, `config set` (KEY=value lines on standard input), `config take-over` or `passwd [USER]` (the
 * password on standard input). Returns whether the words were understood.
 *
 * @throws ConfigError, AgentError
 */
export async function setupCommand(words: readonly string[], setup: Setup): Promise<boolean> {
  const [command, verb, ...rest] = words;
  if (command === 'passwd' && rest.length === 0) {
    const user = verb ?? setup.config().admin_user;
    const passwords = await setup.passwords();
    await passwords.setPassword(user, (await setup.input()).replace(/\r?\n$/, ''));
    setup.print(`The SOAP password of ${user} is set.`);
    return true;
  }
  if (command !== 'config') return false;
  const [key] = rest;
  const config = setup.config;
  if (verb === 'get' && rest.length === 1 && key !== undefined && Object.hasOwn(config(), key)) {
    setup.print(String(config()[key as keyof Config]));
    return true;
  }
  if (verb === 'set' && rest.length === 0) {
    await set(setup);
    return true;
  }
  if (verb === 'take-over' && rest.length === 0) {
    for (const note of await takeDtcXenOver(setup)) setup.print(note);
    return true;
  }
  return false;
}
