import { join } from 'node:path';
import type { Config } from '../config/schema.ts';
import type { GuestRoots } from '../core/ports.ts';
import type { Runner } from '../core/runner.ts';

const TIMEOUT_MS = 150_000;

/** Makes {@link GuestRoots}: a script that reads and writes a guest's root without mounting it. */
export function createGuestRoots({
  runner,
  config: { scripts_dir },
}: {
  runner: Runner;
  config: Pick<Config, 'scripts_dir'>;
}): GuestRoots {
  return {
    async setRootPassword({ path }, hash) {
      await runner.check({
        label: 'script guest-root-password',
        program: join(scripts_dir, 'guest-root-password'),
        args: ['--disk', path],
        input: `${hash}\n`,
        timeout_ms: TIMEOUT_MS,
      });
    },
  };
}
