import * as z from 'zod';
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

const NUMBER = /^(?:[0-9]{1,15}(?:\.[0-9]{0,30})?|\.[0-9]{1,30})(?:[eE][+-]?[0-9]{1,3})?$/;
const LATEST_S = 1e11;

/** A sample's timestamp as a caller sends it back; any way to write an xsd:double that its language has. */
const timestamp = (doc: string) =>
  z
    .string()
    .transform((text, ctx) => {
      const value = NUMBER.test(text) ? Number(text) : Number.NaN;
      if (value <= LATEST_S) return value;
      ctx.addIssue({ code: 'custom', message: "must be a sample's timestamp: seconds since 1970, or 0" });
      return z.NEVER;
    })
    // Without it, the samples of this answer go when it has been read: an empty one is a client's mistake.
    .meta({ xsd: 'xsd:double', doc, keepsEmpty: true });

const FLOATS: ReadonlySet<string> = new Set(['timestamp', 'diff_cpu_time', 'cpu_time']);

const toStruct = ({ vpsname: _name, ...counters }: z.output<typeof sample>) =>
  new Struct(
    Object.entries(counters).map(
      ([key, value]) => [key, FLOATS.has(key) ? new Double(value) : value] as const,
    ),
  );

export default defineOperation({
  name: 'getCollectedPerformanceData',
  summary:
    'Hands out the oldest samples. They are deleted once the client is known to have read the answer, or by `confirm` alone.',
  who: 'admin',
  input: z.object({
    count: count('Samples wanted; 0: all.').default(0),
    confirm: timestamp(
      'The timestamp of the newest sample that the caller has stored, or 0: samples up to that one are deleted first, and ' +
        'those of this answer only when a later call confirms them.',
    ).optional(),
  }),
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
  handler: async ({ samples, onAnswer }, { count, confirm }) => {
    const rows = (all: readonly { readonly guests: readonly z.output<typeof sample>[] }[]) =>
      all.flatMap(({ guests }) => guests);
    if (confirm !== undefined) return { sample: rows(await samples.confirm(confirm, count)) };
    const { samples: taken, delivered, kept, wanted } = await samples.take(count);
    if (taken.length === 0) kept();
    else onAnswer({ delivered, lost: kept, wanted });
    return { sample: rows(taken) };
  },
});
