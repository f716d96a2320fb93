import { z } from 'zod';
import { count, out } from '../core/fields.ts';
import { Double, Struct } from '../core/legacy-value.ts';
import { defineOperation } from '../core/operation.ts';

const sample = z
  .object({
    vpsname: out.string('The VPS.'),
    timestamp: out.double('Seconds since 1970.'),
    diff_cpu_time: out.double('CPU seconds since the last sample.'),
    diff_net_inbytes: out.long('Bytes in, since the last sample (perf_direction says whose in).'),
    diff_net_outbytes: out.long('Bytes out, since the last sample.'),
    diff_filesystem_sectors: out.long(
      '512-byte sectors read and written on the root disk, since the last sample.',
    ),
    diff_swap_sectors: out.long('The same for the swap disk.'),
    cpu_time: out.double('The counters themselves.'),
    net_inbytes: out.long('Bytes in.'),
    net_outbytes: out.long('Bytes out.'),
    filesystem_sectors: out.long('Sectors of the root disk.'),
    swap_sectors: out.long('Sectors of the swap disk.'),
  })
  .meta({ typeName: 'Sample' });

const FLOATS: ReadonlySet<string> = new Set(['timestamp', 'diff_cpu_time', 'cpu_time']);

const toStruct = ({ vpsname: _name, ...counters }: z.output<typeof sample>) =>
  new Struct(
    Object.entries(counters).map(
      ([key, value]) => [key, FLOATS.has(key) ? new Double(value) : value] as const,
    ),
  );

export default defineOperation({
  name: 'getCollectedPerformanceData',
  summary: 'Hands out the oldest samples; they are deleted once the answer has been written out in full.',
  who: 'admin',
  input: z.object({ count: count('Samples wanted; 0: all.').default(0) }),
  output: z.object({ sample: z.array(sample) }),
  legacy: ({ sample: rows }) => {
    const minutes = new Map<number, [string, Struct][]>();
    for (const row of rows) {
      const minute = minutes.get(row.timestamp) ?? [];
      minutes.set(row.timestamp, [...minute, [row.vpsname, toStruct(row)]]);
    }
    return [...minutes.values()].map((guests) => new Struct(guests));
  },
  lock: 'none',
  changes: true,
  timeout_ms: 120_000,
  errors: [],
  handler: async ({ samples, onAnswer }, { count }) => {
    const delivery = await samples.take(count);
    onAnswer({ delivered: () => delivery.delivered(), lost: () => delivery.kept() });
    return { sample: delivery.samples.flatMap((taken) => [...taken.guests]) };
  },
});
