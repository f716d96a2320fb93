import type { Logger } from 'pino';
import { systemFields } from '../core/errors.ts';
import type { Sample } from '../core/ports.ts';
import { createExclusive } from './exclusive.ts';
import type { CounterState } from './sample.ts';
import type { SpoolFolder, StoredSample, StoredState } from './spool-folder.ts';

/**
 * The sample spool: samples on disk until a panel has them, and the counters that the next sample is taken against.
 *
 *   append:  sample file (sample + counters) --> last-counters.json
 *   remove:  last-counters.json at least as new as what goes --> the samples, oldest first
 *   open:    counters = the newer of last-counters.json and the newest sample
 *
 * A sample's file holds the counters it ended at, so one rename commits both: killed before it, the next sample covers that
 * time; killed after it, the next one starts where it ended. last-counters.json carries the counters on when samples are
 * deleted. A sample that cannot be written (a full disk) waits in memory; killed meanwhile, the counters on disk are still the
 * older ones, and the next sample covers its time too.
 */
export interface Spool {
  /** The counters after the newest sample; undefined before the first one ever. */
  readonly state: CounterState | undefined;
  /**
   * Seconds since 1970, for the next sample. While the clock stands behind the newest sample (it was set back, or the node came up
   * without one), the thousandths are made so that a time that comes again is no earlier sample's timestamp.
   */
  timestamp(): number;
  /** Adds a sample and the counters it ended at. One without guests is not kept, its counters are. */
  append(sample: Sample, state: CounterState): Promise<void>;
  /** Reads the oldest samples, at most `count` (0: all) and, past the first, at most `guest_rows` rows. */
  oldest(count: number, guest_rows: number): Promise<readonly StoredSample[]>;
  /** Deletes these samples. Where that fails they stay, which is logged. */
  remove(serials: readonly number[]): Promise<void>;
  /** Deletes the samples up to the first that has this timestamp, to the millisecond; none where none has it. */
  confirm(timestamp: number): Promise<void>;
}

/** Settings of a {@link Spool}. */
export interface SpoolOptions {
  readonly folder: SpoolFolder;
  readonly retention_days: number;
  readonly log: Logger;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

const SAMPLES_A_DAY = 1440;
/** A millisecond, and what a double of the wire may be off by. */
const SAME_TIME_S = 0.001_001;
/** Samples that wait in memory for a disk with room; beyond, differences go on growing in the next sample. */
const PENDING_MAX = 60;

/** Opens a spool and finds out where sampling stood. */
export async function openSpool({ folder, retention_days, log, now }: SpoolOptions): Promise<Spool> {
  const exclusive = createExclusive();
  const pending: StoredSample[] = [];

  await folder.open();
  const found = await folder.serials();
  /** What last-counters.json says; `committed` is the newest of it and the samples on disk. */
  let saved = await folder.readLast();
  let committed = saved;
  for (const serial of found.toReversed()) {
    if (committed && committed.serial >= serial) break;
    committed = (await folder.readSample(serial)) ?? committed;
  }
  let last_serial = Math.max(committed?.serial ?? 0, found.at(-1) ?? 0);

  /**
   * Serials are the time in ms, and grow even where the clock was set back: file names sort in the order of taking. Nothing is
   * reckoned with them: how old a sample is, no clock of a node can be trusted to say.
   */
  function nextSerial(): number {
    last_serial = Math.max(Math.floor(now()), last_serial + 1);
    return last_serial;
  }

  /** Samples of the schedule are taken in the first half of a second; the second half's thousandths count on with the serials. */
  function timestamp(): number {
    const now_ms = now();
    if (now_ms > last_serial) return now_ms / 1000;
    return (Math.floor(now_ms / 1000) * 1000 + 500 + ((last_serial + 1) % 500)) / 1000;
  }

  async function save({ serial, state }: StoredState): Promise<void> {
    if (saved && saved.serial >= serial) return;
    await folder.writeLast({ serial, state });
    saved = { serial, state };
  }

  async function flush(): Promise<void> {
    for (let next = pending[0]; next; next = pending[0]) {
      if (next.sample.guests.length > 0) await folder.writeSample(next);
      else await save(next);
      committed = { serial: next.serial, state: next.state };
      pending.shift();
    }
    if (committed) await save(committed);
  }

  async function flushOrWait(): Promise<void> {
    try {
      await flush();
    } catch (error) {
      log.warn(
        { ...systemFields(error), waiting: pending.length },
        `the sample spool in state_dir cannot be written; up to ${PENDING_MAX} samples wait in memory: df and dmesg show why`,
      );
    }
  }

  async function expire(): Promise<void> {
    const serials = await folder.serials();
    const expired = serials.slice(0, Math.max(0, serials.length - retention_days * SAMPLES_A_DAY));
    if (expired.length === 0) return;
    await removeSamples(expired);
    log.warn(
      { removed: expired.length, from: isoTime(expired.at(0)), to: isoTime(expired.at(-1)) },
      `the sample spool is full (${retention_days} days' worth): the oldest samples, which no panel fetched, are removed`,
    );
  }

  /** The serials up to the sample's that has this timestamp. No sample is newer than its serial says, so those before need no look. */
  async function serialsUpTo(timestamp: number): Promise<readonly number[]> {
    const serials = await folder.serials();
    const from = serials.findIndex((serial) => serial >= (timestamp - 1) * 1000);
    for (let at = from; at >= 0 && at < serials.length; at += 1) {
      const stored = await folder.readSample(serials[at] ?? 0);
      if (stored && Math.abs(stored.sample.timestamp - timestamp) < SAME_TIME_S)
        return serials.slice(0, at + 1);
    }
    return [];
  }

  async function removeSamples(serials: readonly number[]): Promise<void> {
    const safe = serials.filter((serial) => saved && serial <= saved.serial);
    await folder.remove(safe);
    if (safe.length === serials.length) return;
    if (committed) await save(committed);
    await folder.remove(serials);
  }

  async function removeOrLog(serials: readonly number[]): Promise<void> {
    try {
      await removeSamples(serials);
    } catch (error) {
      log.error(systemFields(error), 'delivered samples cannot be deleted; they will be delivered again');
    }
  }

  async function expireOrLog(): Promise<void> {
    try {
      await expire();
    } catch (error) {
      log.warn(systemFields(error), 'samples past their retention cannot be removed');
    }
  }

  await expireOrLog();

  return {
    get state() {
      return pending.at(-1)?.state ?? committed?.state;
    },
    timestamp,
    append: (sample, state) =>
      exclusive(async () => {
        if (pending.length >= PENDING_MAX) await flushOrWait();
        if (pending.length >= PENDING_MAX) return;
        pending.push({ serial: nextSerial(), sample, state });
        await flushOrWait();
        await expireOrLog();
      }),
    async oldest(count, guest_rows) {
      const samples: StoredSample[] = [];
      let rows = 0;
      for (const serial of await folder.serials()) {
        if (count > 0 && samples.length >= count) break;
        const stored = await folder.readSample(serial);
        if (!stored) continue;
        rows += stored.sample.guests.length;
        if (samples.length > 0 && rows > guest_rows) break;
        samples.push(stored);
      }
      return samples;
    },
    remove: (serials) => exclusive(() => removeOrLog(serials)),
    confirm: (timestamp) => exclusive(async () => removeOrLog(await serialsUpTo(timestamp))),
  };
}

function isoTime(serial: number | undefined): string | undefined {
  return serial === undefined ? undefined : new Date(serial).toISOString();
}
