// dom0's qemu, which xl starts for each fully virtualized guest (xl.cfg(5), device_model_version).
import type { Config } from '../config/schema.ts';
import { AgentError } from '../core/errors.ts';
import type { Runner } from '../core/runner.ts';
import type { Screens } from '../core/screens.ts';

/**
 * No machine and no guest: a screen with a password, and an end. qemu asks its cryptography for DES before it does anything else for
 * that screen. Its own emulation is named for a qemu that has no qtest.
 */
const ASK = [
  ...['-M', 'none', '-accel', 'qtest', '-accel', 'tcg', '-nodefaults', '-no-user-config', '-S'],
  ...['-display', 'none', '-vnc', 'none,password=on', '-qmp', 'stdio'],
];
const QUIT = '{"execute":"qmp_capabilities"}\n{"execute":"quit"}\n';
const TIMEOUT_MS = 10_000;

/** Makes the {@link Screens} of the node; qemu is asked each time, since an upgrade of dom0 may change it. */
export function createScreens({
  runner,
  config,
}: {
  runner: Runner;
  config: Pick<Config, 'device_model'>;
}): Screens {
  return {
    async checksPasswords() {
      const command = { label: 'qemu', program: config.device_model, args: ASK, input: QUIT };
      try {
        const { stderr } = await runner.run({ ...command, timeout_ms: TIMEOUT_MS });
        return !/does not support DES/.test(stderr);
      } catch (error) {
        // What cannot be known leaves the password where it was asked for: no screen is opened for the want of an answer.
        if (error instanceof AgentError && error.code !== 'lock_lost') return true;
        throw error;
      }
    },
  };
}
