import { join, resolve } from 'node:path';
import type { JobFate } from '../../src/core/ports.ts';
import type { GuestPresence } from '../../src/core/presence.ts';
import type { Domain, VpsId } from '../../src/core/vps.ts';
import { parseVpsId } from '../../src/core/vps.ts';
import { createFileLocks, createVpsLocks } from '../../src/drivers/flock.ts';
import { createRunner } from '../../src/drivers/run.ts';
import type { Step, StepContext } from '../../src/jobs/plan.ts';

/** The project's own scripts. */
export const SCRIPTS = resolve(import.meta.dirname, '../../scripts');

/** Where Debian keeps programs. */
export const PROGRAM_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** A VPS by its number. */
export function vpsOf(number: string): VpsId {
  const vps = parseVpsId(number);
  if (!vps) throw new Error(`${number} is no VPS`);
  return vps;
}

/**
 * The bytes of a disk that begins with this text and holds something that blkid(8) knows, as every system does: text alone is a
 * disk with nothing on it. It is the header of swap space (mkswap(8)), whose first 1,024 bytes are anybody's.
 */
export function diskWith(text: string): Buffer {
  const PAGE_BYTES = 4096;
  const disk = Buffer.alloc(Math.max(16 * PAGE_BYTES, text.length));
  disk.write(text);
  disk.writeUInt32LE(1, 1024);
  disk.writeUInt32LE(disk.length / PAGE_BYTES - 1, 1028);
  disk.write('SWAPSPACE2', PAGE_BYTES - 10);
  return disk;
}

/** The text that a disk of {@link diskWith} begins with. */
export const textOn = (disk: Buffer): string => disk.toString('latin1').split('\0', 1)[0] ?? '';

/** A hypervisor that answers `find` and `list` with these domains, and can do nothing else. */
export function hypervisorWith(domains: readonly Domain[]) {
  const no = () => Promise.reject(new Error('this hypervisor changes nothing'));
  return {
    list: () => Promise.resolve(domains),
    find: (vps: VpsId) => Promise.resolve(domains.find(({ name }) => name === vps.name)),
    async presence(vps: VpsId): Promise<GuestPresence> {
      const domain = domains.find(({ name }) => name === vps.name);
      return domain ? { kind: 'domain', domain } : { kind: 'stopped' };
    },
    restore: no,
    forgetSaved: no,
    tidySaved: async () => [],
    savedVpses: async () => [],
    create: no,
    leaveStopped: async () => undefined,
    shutdown: no,
    isAskedToStop: () => false,
    destroy: no,
    freeMemory_mib: no,
  };
}

/** Locks of VPSes in a folder of the test's. */
export function locksIn(folder: string) {
  const locks = createFileLocks(createRunner({ path: PROGRAM_PATH }));
  return createVpsLocks({ run_dir: join(folder, 'run'), locks });
}

/** What came of a plan that was run here, in this process. */
export interface PlanRun {
  readonly begun: string[];
  readonly log: string;
  readonly message: string | undefined;
  readonly error: Error | undefined;
  /** What the job would have come to where it had been cut off at its end. */
  readonly fate: JobFate | undefined;
}

/** Runs steps one after the other with the real scripts (or those of another folder) until one fails. */
export async function runPlan(steps: readonly Step[], scripts_dir = SCRIPTS): Promise<PlanRun> {
  const runner = createRunner({ path: PROGRAM_PATH });
  const begun: string[] = [];
  let log = '';
  let message: string | undefined;
  let fate: JobFate | undefined;
  const ctx: StepContext = {
    signal: new AbortController().signal,
    log: (line) => {
      log += `${line}\n`;
    },
    fate: async (now) => {
      fate = now;
    },
    script: (name, args, options) =>
      runner.check({
        label: `script ${name}`,
        program: join(scripts_dir, name),
        args,
        ...options,
        onOutput: (chunk) => {
          log += chunk.toString();
        },
      }),
  };
  for (const step of steps) {
    begun.push(step.name);
    try {
      message = (await step.run(ctx)) ?? message;
    } catch (error) {
      return { begun, log, message, error: error as Error, fate };
    }
  }
  return { begun, log, message, error: undefined, fate };
}
