import * as z from 'zod';
import { AgentError, PROGRAM_ERRORS } from '../core/errors.ts';
import { result, vpsname } from '../core/fields.ts';
import { defineOperation } from '../core/operation.ts';
import { requireStopped } from '../core/vps-checks.ts';
import { guestName } from '../core/xl-config.ts';

export default defineOperation({
  name: 'startVPS',
  summary: 'Boots the VPS from its configuration in /etc/xen; one that was saved goes on where it was.',
  who: 'owner',
  input: z.object({ vpsname: vpsname() }),
  output: result,
  legacy: (output) => ['OK', output.result],
  lock: 'vps',
  changes: true,
  timeout_ms: 180_000,
  errors: ['vps_running', 'vps_not_installed', ...PROGRAM_ERRORS],
  handler: async ({ hypervisor, guests }, { vpsname: vps }) => {
    if ((await hypervisor.presence(vps)).kind === 'saved') {
      await hypervisor.restore(vps);
      return { result: `Started ${vps.name}` };
    }
    const file = await guests.read(vps);
    if (!file) {
      throw new AgentError(
        'vps_not_installed',
        `${vps.name} cannot be started: it has no configuration; install it with reinstallVPSos first.`,
      );
    }
    const name = guestName(file.text);
    if (name !== undefined && name !== vps.name) {
      throw new AgentError(
        'program_failed',
        `${vps.name} cannot be started: its configuration ${guests.path(vps)} is that of ${name} (name = "${name}"). Put name = "${vps.name}" into it. Nothing was started.`,
      );
    }
    await requireStopped(hypervisor, vps, 'cannot be started');
    await hypervisor.create(vps, guests.path(vps));
    return { result: `Started ${vps.name}` };
  },
});
