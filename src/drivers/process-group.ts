import { readdirSync, readFileSync } from 'node:fs';

const GONE: ReadonlySet<unknown> = new Set(['ENOENT', 'ESRCH']);

function unlessGone<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch (error) {
    if (GONE.has((error as NodeJS.ErrnoException).code)) return undefined;
    throw error;
  }
}

/** The living processes of a group but its leader (proc_pid_stat(5): after the name come state, parent and group). */
function followers(leader: number): number[] {
  const pids = readdirSync('/proc').filter((name) => /^[0-9]+$/.test(name));
  return pids.map(Number).filter((pid) => {
    if (pid === leader) return false;
    const stat = unlessGone(() => readFileSync(`/proc/${pid}/stat`, 'latin1')) ?? '';
    const [state = '', , group] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return Number(group) === leader && !['Z', 'X'].includes(state);
  });
}

/** Sends a signal to every process of a group; who is gone is fine. */
export function killGroup(leader: number, signal: NodeJS.Signals): void {
  unlessGone(() => process.kill(-leader, signal));
}

/** The same, but to none that leads the group: also to those that are forked meanwhile. Returns how many there were. */
export function killFollowers(leader: number, signal: NodeJS.Signals): number {
  const told = new Set<number>();
  for (;;) {
    const fresh = followers(leader).filter((pid) => !told.has(pid));
    if (fresh.length === 0) return told.size;
    for (const pid of fresh) {
      told.add(pid);
      unlessGone(() => process.kill(pid, signal));
    }
  }
}
