import { AgentError } from '../../core/errors.ts';

/** What `xl info` tells of the node's memory, in MiB. */
export interface XlInfo {
  readonly total_memory_mib: number;
  /** What Xen can still give to guests. */
  readonly free_memory_mib: number;
}

/**
 * Reads the answer of `xl info`: lines of `key : value`.
 *
 * @throws AgentError program_output
 */
export function parseXlInfo(text: string): XlInfo {
  const number = (key: string): number => {
    const value = new RegExp(`^${key}\\s*:\\s*(\\d+)\\s*$`, 'm').exec(text)?.[1];
    if (value !== undefined) return Number(value);
    throw new AgentError('program_output', `xl info answered without a number for ${key}.`, {
      log: { stdout: text.slice(0, 4096) },
    });
  };
  return { total_memory_mib: number('total_memory'), free_memory_mib: number('free_memory') };
}
