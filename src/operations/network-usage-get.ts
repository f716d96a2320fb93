import { z } from 'zod';
import { PROGRAM_ERRORS } from '../core/errors.ts';
import { out, vpsname } from '../core/fields.ts';
import { defineOperation } from '../core/operation.ts';
import { requireCounters } from '../core/vps-checks.ts';

export default defineOperation({
  name: 'getNetworkUsage',
  summary: 'Tells the bytes in and out of the first interface of a running VPS, since it was started.',
  who: 'owner',
  input: z.object({ vpsname: vpsname() }),
  output: z.object({
    net_inbytes: out.long('Bytes in (perf_direction says whose in).'),
    net_outbytes: out.long('Bytes out.'),
  }),
  legacy: ({ net_inbytes, net_outbytes }) => `${net_inbytes},${net_outbytes}`,
  lock: 'none',
  changes: false,
  timeout_ms: 30_000,
  errors: ['vps_not_running', ...PROGRAM_ERRORS],
  handler: async ({ samples, config }, { vpsname: vps }) => {
    const { vif_rx_bytes: rx, vif_tx_bytes: tx } = await requireCounters(samples, vps);
    return config.perf_direction === 'dom0'
      ? { net_inbytes: rx, net_outbytes: tx }
      : { net_inbytes: tx, net_outbytes: rx };
  },
});
