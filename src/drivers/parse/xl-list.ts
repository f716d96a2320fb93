import { AgentError } from '../../core/errors.ts';
import type { Domain } from '../../core/vps.ts';

const HEADING = /^Name\s+ID\s+Mem\s+VCPUs\s+State\s+Time\(s\)$/;
/** `%-40s %5d %5lu %5d     %c%c%c%c%c%c  %8.1f`, read from the right: a foreign domain's name may hold spaces. */
const ROW = /^(.*?)\s+(\d+)\s+(\d+)\s+(\d+)\s+([-r][-b][-p][-s][-rscwS?][-d])\s+(\d+\.\d)$/;

function nonsense(what: string, text: string): AgentError {
  return new AgentError('program_output', `xl list answered something that cannot be understood: ${what}.`, {
    log: { stdout: text.slice(0, 4096) },
  });
}

/**
 * Reads the answer of `xl list`, Domain-0 left out. A listing without Domain-0 is refused: whoever takes an empty one for
 * "nothing runs" would make file systems on disks of running guests.
 *
 * @throws AgentError program_output
 */
export function parseXlList(text: string): Domain[] {
  const [heading, ...rows] = text.split('\n').filter((line) => line.trim() !== '');
  if (heading === undefined || !HEADING.test(heading)) throw nonsense('it has no heading', text);
  const domains = rows.map((row): Domain => {
    const [, name, domid, memory, vcpus, state, seconds] = ROW.exec(row) ?? [];
    if (name === undefined || state === undefined) throw nonsense('a line is not one of a domain', text);
    return {
      name,
      domid: Number(domid),
      memory_mib: Number(memory),
      vcpus: Number(vcpus),
      state,
      cpu_seconds: Number(seconds),
    };
  });
  if (!domains.some(({ domid }) => domid === 0)) throw nonsense('it lists no Domain-0', text);
  return domains.filter(({ domid }) => domid !== 0);
}
