import { mkdir, readdir, readFile, rename, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from 'pino';
import * as z from 'zod';
import { syncFolder, writeFileAtomic } from '../core/atomic-file.ts';
import { systemFields } from '../core/errors.ts';
import type { Sample } from '../core/ports.ts';
import { STORE_MARK } from '../core/store-mark.ts';
import type { CounterState } from './sample.ts';

const counter = z.number().nonnegative();
const disk = z.object({ sectors: counter, counted_for: z.enum(['guest', 'volume']) });
const counterState = z.object({
  boot_id: z.string(),
  guests: z.record(
    z.string(),
    z.object({
      vpsname: z.string(),
      domid: counter,
      cpu_seconds: counter,
      vif_rx_bytes: counter.optional(),
      vif_tx_bytes: counter.optional(),
      root: disk.optional(),
      swap: disk.optional(),
    }),
  ),
}) satisfies z.ZodType<CounterState>;
const sample = z.object({
  timestamp: counter,
  guests: z.array(
    z.object({
      vpsname: z.string(),
      timestamp: counter,
      diff_cpu_time: counter,
      diff_net_inbytes: counter,
      diff_net_outbytes: counter,
      diff_filesystem_sectors: counter,
      diff_swap_sectors: counter,
      cpu_time: counter,
      net_inbytes: counter,
      net_outbytes: counter,
      filesystem_sectors: counter,
      swap_sectors: counter,
    }),
  ),
}) satisfies z.ZodType<Sample>;
const lastFile = z.object({ serial: counter, state: counterState });
const sampleFile = z.object({ serial: counter, state: counterState, sample });

/** The counters after the sample `serial`. */
export interface StoredState {
  readonly serial: number;
  readonly state: CounterState;
}

/** A sample with the counters it ended at: one file holds both, so that one rename commits both. */
export interface StoredSample extends StoredState {
  readonly sample: Sample;
}

/**
 * Told of every step of a write or a deletion before the next one is begun, so that a test can cut there (a promise that never
 * resolves) or fail there (a throw).
 */
export type Fault = (step: string) => Promise<void> | void;

const LAST_COUNTERS = 'last-counters.json';
/** Besides samples; the mark is another's to write. */
const isOurs = (name: string) => name === LAST_COUNTERS || name.startsWith(STORE_MARK);
const SAMPLE_NAME = /^sample-([0-9]{15})\.json$/;
const TEMPORARY_NAME = /^\.(?:sample-[0-9]{15}|last-counters)\.json\.new$/;

const sampleName = (serial: number) => `sample-${String(serial).padStart(15, '0')}.json`;

const hasCode = (error: unknown, ...codes: readonly string[]) =>
  codes.includes((error as NodeJS.ErrnoException).code ?? '');

/** The spool's folder: files that are written whole or not at all. No order of calls is kept here. */
export interface SpoolFolder {
  /** Makes the folder, deletes what a killed write left, sets foreign files aside. */
  open(): Promise<void>;
  /** Serials of the samples that are there, in order. */
  serials(): Promise<number[]>;
  /** Undefined where it is gone, or was damaged and is set aside now. */
  readSample(serial: number): Promise<StoredSample | undefined>;
  readLast(): Promise<StoredState | undefined>;
  writeSample(stored: StoredSample): Promise<void>;
  writeLast(stored: StoredState): Promise<void>;
  /** Deletes samples, the oldest first; those already gone are fine. */
  remove(serials: readonly number[]): Promise<void>;
}

/** Makes a {@link SpoolFolder} of a path. */
export function createSpoolFolder(dir: string, log: Logger, fault: Fault = () => undefined): SpoolFolder {
  async function writeWhole(kind: 'sample' | 'last', name: string, value: unknown): Promise<void> {
    await writeFileAtomic(join(dir, name), JSON.stringify(value), {
      onStep: (step) => fault(`${kind}: ${step}`),
    });
  }

  async function setAside(name: string, reason: unknown): Promise<void> {
    const aside = `${name}.${Date.now()}.damaged`;
    try {
      await rename(join(dir, name), join(dir, aside));
      log.warn(
        { ...systemFields(reason), file: name, aside },
        'a damaged or foreign file in the sample spool is set aside',
      );
    } catch (error) {
      log.warn(
        { ...systemFields(error), file: name },
        'a damaged or foreign file in the sample spool cannot be set aside',
      );
    }
  }

  async function readWhole<T extends { serial: number }>(
    name: string,
    schema: z.ZodType<T>,
  ): Promise<T | undefined> {
    let text: string;
    try {
      text = await readFile(join(dir, name), 'utf8');
    } catch (error) {
      if (hasCode(error, 'EISDIR', 'EIO')) await setAside(name, error);
      else if (!hasCode(error, 'ENOENT')) throw error;
      return undefined;
    }
    try {
      return schema.parse(JSON.parse(text));
    } catch (error) {
      await setAside(name, error);
      return undefined;
    }
  }

  async function removeOne(serial: number): Promise<void> {
    try {
      await unlink(join(dir, sampleName(serial)));
    } catch (error) {
      if (!hasCode(error, 'ENOENT')) throw error;
    }
  }

  return {
    async open() {
      await mkdir(dir, { recursive: true, mode: 0o700 });
      for (const name of await readdir(dir)) {
        if (TEMPORARY_NAME.test(name)) await unlink(join(dir, name));
        else if (!isOurs(name) && !SAMPLE_NAME.test(name) && !name.endsWith('.damaged')) {
          await setAside(name, 'not a file of the spool');
        }
      }
    },
    async serials() {
      const found = (await readdir(dir)).map((name) => SAMPLE_NAME.exec(name)?.[1]);
      return found
        .filter((serial) => serial !== undefined)
        .map(Number)
        .sort((a, b) => a - b);
    },
    readSample: (serial) => readWhole(sampleName(serial), sampleFile),
    readLast: () => readWhole(LAST_COUNTERS, lastFile),
    writeSample: (stored) => writeWhole('sample', sampleName(stored.serial), stored),
    writeLast: (stored) => writeWhole('last', LAST_COUNTERS, stored),
    async remove(serials) {
      for (const serial of serials) {
        await removeOne(serial);
        await fault('remove: one removed');
      }
      if (serials.length > 0) await syncFolder(dir);
    },
  };
}
