import * as z from 'zod';
import { AgentError } from '../../core/errors.ts';

const row = z.record(z.string(), z.string());
const report = z.object({
  report: z.array(z.object({ lv: z.array(row).optional(), vg: z.array(row).optional() })),
});

/** What a report of lvs or vgs has of one volume or group: its fields by their names. */
export type LvmRow = Readonly<Record<string, string>>;

/**
 * Reads the rows of what `lvs` or `vgs` answers with `--reportformat json` (lvmreport(7)).
 *
 * @throws AgentError program_output
 */
export function parseLvmReport(text: string, kind: 'lv' | 'vg'): readonly LvmRow[] {
  const wrong = (cause: unknown) =>
    new AgentError('program_output', `${kind}s answered something that is not a report of LVM.`, {
      cause,
      log: { stdout: text.slice(0, 4096) },
    });
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw wrong(error);
  }
  const parsed = report.safeParse(json);
  if (!parsed.success) throw wrong(parsed.error);
  return parsed.data.report.flatMap((part) => part[kind] ?? []);
}

/**
 * A field of a row, `--units b --nosuffix`: a whole number of bytes.
 *
 * @throws AgentError program_output
 */
export function bytesOf(fields: LvmRow, name: string): number {
  const value = fields[name];
  if (value !== undefined && /^[0-9]{1,15}$/.test(value)) return Number(value);
  throw new AgentError('program_output', `LVM's report has no number of bytes for ${name}.`, {
    log: { fields: { ...fields } },
  });
}
