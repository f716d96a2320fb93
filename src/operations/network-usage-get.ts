import * as z from 'zod';
import { PROGRAM_ERRORS } from '../core/errors.ts';
import { out, vpsname } from '../core/fields.ts';
import { defineOperation } from '../core/operation.ts';
import { inAndOut } from '../core/traffic.ts';
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
    const bytes = inAndOut(config.perf_direction, rx, tx);
    return { net_inbytes: bytes.in, net_outbytes: bytes.out };
  },
});
