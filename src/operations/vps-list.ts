import * as z from 'zod';
import { PROGRAM_ERRORS } from '../core/errors.ts';
import { out } from '../core/fields.ts';
import { defineOperation } from '../core/operation.ts';

const row = z
  .object({
    name: out.string("The domain's name."),
    id: out.int('Domain id.'),
    mem: out.int('Memory in MiB.'),
    vcpus: out.int('Virtual CPUs.'),
    state: out.string("xl's six state characters, such as -b----."),
    time: out.double('CPU seconds.'),
  })
  .meta({ typeName: 'StartedVPS' });

export default defineOperation({
  name: 'listStartedVPS',
  summary: 'Lists the domains that Xen has, sorted by name, without Domain-0.',
  who: 'admin',
  input: z.object({}),
  output: z.object({ vps: z.array(row) }),
  legacy: ({ vps }) =>
    vps.map(({ name, id, mem, vcpus, state, time }) => [
      name,
      `${id}`,
      `${mem}`,
      `${vcpus}`,
      state,
      time.toFixed(1),
    ]),
  lock: 'none',
  changes: false,
  timeout_ms: 30_000,
  errors: [...PROGRAM_ERRORS],
  handler: async ({ hypervisor }) => {
    const domains = [...(await hypervisor.list())];
    domains.sort((a, b) => (a.name < b.name ? -1 : 1));
    return {
      vps: domains.map(({ name, domid, memory_mib, vcpus, state, cpu_seconds }) => ({
        name,
        id: domid,
        mem: memory_mib,
        vcpus,
        state,
        time: cpu_seconds,
      })),
    };
  },
});
