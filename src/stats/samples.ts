import { join } from 'node:path';
import type { Logger } from 'pino';
import type { Config } from '../config/schema.ts';
import { asAgentError, errorFields } from '../core/errors.ts';
import type { CounterReader, Hypervisor, Samples } from '../core/ports.ts';
import { createDeliveries } from './delivery.ts';
import { createExclusive } from './exclusive.ts';
import { diff } from './sample.ts';
import { createSchedule } from './schedule.ts';
import { openSpool, type Spool } from './spool.ts';
import { createSpoolFolder, type Fault } from './spool-folder.ts';

const EVERY_MINUTE = '* * * * *';
const DELIVERY_WAIT_MS = 60_000;

/** What the sampler is made of. */
export interface SamplesOptions {
  readonly hypervisor: Pick<Hypervisor, 'list' | 'find'>;
  readonly counters: CounterReader;
  readonly config: Pick<Config, 'state_dir' | 'perf_direction' | 'perf_retention'>;
  readonly log: Logger;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
  /** A cron expression, with seconds where it has six fields. */
  readonly schedule?: string;
  /** How long a caller waits for another's delivery. */
  readonly delivery_wait_ms?: number;
  readonly fault?: Fault;
  /**
   * Makes sure that the spool's folder is the one that it was, and marks it where it is new: of one that is not mounted, an empty
   * folder is left. Error: `store_away`.
   */
  readonly claimFolder?: (folder: string) => Promise<unknown>;
}

/** The sample spool with its sampler. */
export interface Sampler extends Samples {
  /** Opens the spool, at every minute anew where that fails, and begins to take samples. */
  start(): Promise<void>;
  /** Takes no more samples; one that is being taken is finished. */
  stop(): Promise<void>;
  /** Takes a sample now. Errors: `program_*` where Xen cannot be asked; the next sample covers the time. */
  sampleNow(): Promise<void>;
}

/** Makes the {@link Sampler} of a node; its files are in state_dir/perfdata. */
export function createSamples(options: SamplesOptions): Sampler {
  const { hypervisor, counters, config, log, now = Date.now, claimFolder = async () => undefined } = options;
  const exclusive = createExclusive();

  const dir = join(config.state_dir, 'perfdata');

  async function open() {
    const folder = createSpoolFolder(dir, log, options.fault);
    const spool = await openSpool({ folder, retention_days: config.perf_retention, log, now });
    const wait_ms = options.delivery_wait_ms ?? DELIVERY_WAIT_MS;
    return { spool, deliveries: createDeliveries({ spool, wait_ms }) };
  }

  let opened: ReturnType<typeof open> | undefined;
  async function ready(): ReturnType<typeof open> {
    await claimFolder(dir);
    opened ??= open().catch((error: unknown) => {
      opened = undefined;
      throw error;
    });
    return opened;
  }

  async function takeSample(spool: Spool): Promise<void> {
    const domains = await hypervisor.list();
    const timestamp = spool.timestamp();
    const reading = await counters.read(domains);
    const { sample, state } = diff(spool.state, reading, { timestamp, direction: config.perf_direction });
    await spool.append(sample, state);
  }

  const sampleNow = () => exclusive(async () => takeSample((await ready()).spool));

  async function sampleOrWarn(): Promise<void> {
    try {
      await sampleNow();
    } catch (error) {
      const failure = asAgentError(error);
      log.warn(errorFields(failure), `no sample was taken; the next one covers its time: ${failure.message}`);
    }
  }

  const schedule = createSchedule(options.schedule ?? EVERY_MINUTE, sampleOrWarn, log);

  return {
    sampleNow,
    async start() {
      try {
        await ready();
      } catch (error) {
        const failure = asAgentError(error);
        log.warn(errorFields(failure), `the sample spool cannot be opened now: ${failure.message}`);
      }
      await schedule.start();
    },
    async stop() {
      await schedule.stop();
      await exclusive(async () => undefined);
    },
    take: async (count) => (await ready()).deliveries.take(count),
    confirm: async (timestamp, count) => (await ready()).deliveries.confirm(timestamp, count),
    async counters(vps) {
      const domain = await hypervisor.find(vps);
      const guest = domain && (await counters.read([domain])).guests[0];
      return (
        guest && {
          cpu_seconds: guest.cpu_seconds,
          vif_rx_bytes: guest.vif_rx_bytes ?? 0,
          vif_tx_bytes: guest.vif_tx_bytes ?? 0,
          root_sectors: guest.root?.sectors ?? 0,
          swap_sectors: guest.swap?.sectors ?? 0,
        }
      );
    },
  };
}
