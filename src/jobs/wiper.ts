import type { Logger } from 'pino';
import { AgentError, asAgentError, errorFields } from '../core/errors.ts';
import { holdingNothing } from '../core/held-locks.ts';
import type { RemovedDisks } from '../core/ports.ts';

/** Overwrites removed disks, one after the other. */
export interface Wiper {
  /** Does so until there are none; one that cannot be wiped is logged, and left to the next call. Never rejects. */
  run(): Promise<void>;
  /** The same where a process, such as a job, has said that one waits or that its room is wanted. */
  look(): Promise<void>;
  /** Ends within one step; what is left is done after the next start. */
  stop(): Promise<void>;
}

/** What a {@link Wiper} needs. */
export interface WiperOptions {
  readonly removed: RemovedDisks;
  readonly log: Pick<Logger, 'info' | 'warn'>;
}

const NO_VOLUMES = ['no_volume_group', 'program_missing'];

/** Makes a {@link Wiper}. */
export function createWiper({ removed, log }: WiperOptions): Wiper {
  const stopping = new AbortController();
  const { signal } = stopping;
  let running: Promise<void> | undefined;

  function warn(what: string, thrown: unknown): void {
    const failure = asAgentError(thrown);
    log.warn(errorFields(failure), `${what}: ${failure.message}`);
  }

  async function wipeAll(): Promise<void> {
    const failed = new Set<string>();
    for (;;) {
      const [disk] = (await removed.list()).filter(({ name }) => !failed.has(name));
      if (!disk || signal.aborted) return;
      const began = performance.now();
      try {
        await removed.wipe(disk.name, signal);
      } catch (thrown) {
        if (signal.aborted) return;
        warn(`${disk.name} was not wiped, which is tried again within the hour`, thrown);
        failed.add(disk.name);
        continue;
      }
      const [mb, s] = [disk.size_bytes / 1024 / 1024, (performance.now() - began) / 1000];
      log.info(
        { disk: disk.name },
        `${disk.name} was overwritten and removed: ${mb} MB in ${s.toFixed(0)} s`,
      );
    }
  }

  function run(): Promise<void> {
    running ??= holdingNothing(wipeAll)
      .catch((thrown: unknown) => {
        if (thrown instanceof AgentError && NO_VOLUMES.includes(thrown.code)) return;
        warn('removed disks cannot be looked for', thrown);
      })
      .finally(() => {
        running = undefined;
      });
    return running;
  }

  return {
    run,
    async look() {
      if (!running && (await removed.isWaiting())) await run();
    },
    async stop() {
      stopping.abort();
      await running;
    },
  };
}
