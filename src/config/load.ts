import { readFileSync } from 'node:fs';
import { parseShellAssignments } from './parse.ts';
import { type Config, configSchema } from './schema.ts';

/** Where the configuration is, where nobody says another file. */
export const DEFAULT_CONFIG = '/etc/dtc-xen/dtc-xen.conf';

/** A configuration that cannot be used; the message names the file, the key or line, and what it must be. */
export class ConfigError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'ConfigError';
  }
}

/**
 * Checks the text of a configuration file. A key that is set twice takes the later value, as a shell would have it.
 *
 * @throws ConfigError
 */
export function parseConfig(text: string, file = 'dtc-xen.conf'): Config {
  let values: Record<string, string>;
  try {
    values = Object.fromEntries(parseShellAssignments(text).map(({ key, value }) => [key, value]));
  } catch (error) {
    throw new ConfigError(`${file}, ${(error as Error).message}`, { cause: error });
  }
  const parsed = configSchema.safeParse(values);
  if (parsed.success) return Object.freeze(parsed.data);
  const complaints = parsed.error.issues.map((issue) =>
    issue.code === 'unrecognized_keys'
      ? `there is no key ${issue.keys.join(', ')}`
      : `${issue.path.join('.')}: ${issue.message}`,
  );
  throw new ConfigError(`${file}: ${complaints.join('; ')}`);
}

/**
 * Reads and checks a configuration file; one that does not exist is all defaults.
 *
 * @throws ConfigError
 */
export function loadConfig(file: string): Config {
  let text = '';
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') {
      throw new ConfigError(`${file} cannot be read: ${(error as Error).message}`, { cause: error });
    }
  }
  return parseConfig(text, file);
}
