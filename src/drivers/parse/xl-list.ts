import { AgentError } from '../../core/errors.ts';
import type { Domain } from '../../core/vps.ts';

const HEADING = /^Name\s+ID\s+Mem\s+VCPUs\s+State\s+Time\(s\)$/;
/** The columns behind the name, with one space between. */
const COLUMNS = /^(\d+) (\d+) (\d+) ([-r][-b][-p][-s][-rscwS?][-d]) (\d+\.\d)$/;
/** How many there are, and spaces, in a row that is split at its spaces. */
const PIECES = 10;

/** Reads `%-40s %5d %5lu %5d     %c%c%c%c%c%c  %8.1f` from the right: a foreign domain's name may hold spaces. */
function parseRow(row: string): Domain | undefined {
  const pieces = row.split(/(\s+)/);
  const columns = pieces.slice(-PIECES).filter((_, i) => i % 2 === 1);
  const [all, domid, memory, vcpus, state = '', seconds] = COLUMNS.exec(columns.join(' ')) ?? [];
  if (all === undefined || pieces.length <= PIECES) return undefined;
  return {
    name: pieces.slice(0, -PIECES).join(''),
    domid: Number(domid),
    memory_mib: Number(memory),
    vcpus: Number(vcpus),
    state,
    cpu_seconds: Number(seconds),
  };
}

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
  const domains = rows.map((row) => {
    const domain = parseRow(row);
    if (!domain) throw nonsense('a line is not one of a domain', text);
    return domain;
  });
  if (!domains.some(({ domid }) => domid === 0)) throw nonsense('it lists no Domain-0', text);
  return domains.filter(({ domid }) => domid !== 0);
}
