import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Logger, pino } from 'pino';
import { expect } from 'vitest';
import type { GuestReading, GuestSample, Sample } from '../../src/core/ports.ts';
import type { Domain } from '../../src/core/vps.ts';
import { createSamples, type Sampler, type SamplesOptions } from '../../src/stats/samples.ts';

/** A node with one guest whose counters a test turns, a clock of its own, and a spool in a temporary folder. */
export interface TestNode {
  readonly perfdata: string;
  readonly log: Logger;
  readonly lines: { level: number; msg: string; [key: string]: unknown }[];
  /** Bytes, sectors and hundredths of CPU seconds of xen01. */
  counter: number;
  domid: number;
  running: boolean;
  clock_ms: number;
  /** A sampler on the folder, as a new start of the agent would make it. */
  sampler(more?: Partial<SamplesOptions>): Sampler;
  /** A minute passes, the counter grows, a sample is taken. */
  minute(sampler: Sampler, grown?: number): Promise<void>;
  files(): string[];
  read(file: string): string;
  remove(): void;
}

export const WARN = 40;

/** Makes a {@link TestNode}. */
export function createTestNode(): TestNode {
  const state_dir = mkdtempSync(join(tmpdir(), 'dtc-xen-stats-'));
  const perfdata = join(state_dir, 'perfdata');
  const lines: TestNode['lines'] = [];
  const log = pino({ level: 'debug' }, { write: (line: string) => lines.push(JSON.parse(line)) });
  const domains = (): Domain[] =>
    node.running
      ? [
          {
            name: 'xen01',
            domid: node.domid,
            memory_mib: 384,
            vcpus: 1,
            state: '-b----',
            cpu_seconds: node.counter / 10,
          },
        ]
      : [];
  const reading = ({ name, domid, cpu_seconds }: Domain): GuestReading => ({
    vpsname: name,
    domid,
    cpu_seconds,
    vif_rx_bytes: node.counter,
    vif_tx_bytes: node.counter * 2,
    root: { sectors: node.counter * 3, counted_for: 'guest' },
  });
  const node: TestNode = {
    perfdata,
    log,
    lines,
    counter: 1000,
    domid: 3,
    running: true,
    clock_ms: Date.UTC(2026, 10, 22),
    sampler: (more) =>
      createSamples({
        hypervisor: {
          list: async () => domains(),
          find: async (vps) => domains().find(({ name }) => name === vps.name),
        },
        counters: { read: async (listed) => ({ boot_id: 'a', guests: listed.map(reading) }) },
        config: { state_dir, perf_direction: 'dom0', perf_retention: 7 },
        log,
        now: () => node.clock_ms,
        ...more,
      }),
    async minute(sampler, grown = 100) {
      node.clock_ms += 60_000;
      node.counter += grown;
      await sampler.sampleNow();
    },
    files: () => readdirSync(perfdata).sort(),
    read: (file) => readFileSync(join(perfdata, file), 'utf8'),
    remove: () => rmSync(state_dir, { recursive: true }),
  };
  return node;
}

/** All that is in the spool, which stays as it is. */
export async function peek(sampler: Sampler): Promise<readonly Sample[]> {
  const delivery = await sampler.take(0);
  delivery.kept();
  return delivery.samples;
}

/** The rows of samples, each sample once, in the order of time. */
export function rowsOnce(samples: readonly Sample[]): GuestSample[] {
  const once = new Map(samples.map((sample) => [sample.timestamp, sample]));
  return [...once.values()].sort((a, b) => a.timestamp - b.timestamp).flatMap((sample) => [...sample.guests]);
}

/** Every difference is exactly what the counter grew by since the sample before: nothing is lost, nothing is there twice. */
export function expectExact(rows: readonly GuestSample[]): void {
  for (const [at, row] of rows.entries()) {
    const before = rows[at - 1];
    if (before) expect(row.diff_net_inbytes, `sample ${at}`).toBe(row.net_inbytes - before.net_inbytes);
  }
}
