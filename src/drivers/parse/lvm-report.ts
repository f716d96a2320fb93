import * as z from 'zod';
import { AgentError } from '../../core/errors.ts';

const row = z.record(z.string(), z.string());
const report = z.object({
  report: z.array(z.object({ lv: z.array(row).optional(), vg: z.array(row).optional() })),
  log: z.array(z.object({ log_type: z.string(), log_message: z.string() }).loose()).default([]),
});

/** A report of lvs or vgs: its rows, and the errors that LVM writes into the report instead of onto stderr. */
export interface LvmReport {
  readonly rows: readonly Readonly<Record<string, string>>[];
  readonly errors: readonly string[];
}

/**
 * Reads what `lvs` or `vgs` answers with `--reportformat json` (lvmreport(7)).
 *
 * @throws AgentError program_output
 */
export function parseLvmReport(text: string, kind: 'lv' | 'vg'): LvmReport {
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
  return {
    rows: parsed.data.report.flatMap((part) => part[kind] ?? []),
    errors: parsed.data.log
      .filter(({ log_type }) => log_type === 'error')
      .map(({ log_message }) => log_message),
  };
}

/**
 * A field of a row, `--units b --nosuffix`: a whole number of bytes.
 *
 * @throws AgentError program_output
 */
export function bytesOf(fields: Readonly<Record<string, string>>, name: string): number {
  const value = fields[name];
  if (value !== undefined && /^[0-9]{1,15}$/.test(value)) return Number(value);
  throw new AgentError('program_output', `LVM's report has no number of bytes for ${name}.`, {
    log: { fields: { ...fields } },
  });
}
