import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Sample } from '../../src/core/ports.ts';
import { createSamples, type Sampler } from '../../src/stats/samples.ts';
import { createTestNode, expectExact, peek, rowsOnce, type TestNode } from './node.ts';

/** Samples and deliveries in turn; what the panel has received in full is added to `received`. */
async function live(node: TestNode, sampler: Sampler, received: Sample[]): Promise<void> {
  const fetch = async (count: number) => {
    const delivery = await sampler.take(count);
    received.push(...delivery.samples);
    await delivery.delivered();
  };
  await node.minute(sampler, 10);
  await node.minute(sampler, 20);
  await node.minute(sampler, 30);
  await fetch(2);
  node.running = false;
  await node.minute(sampler, 0);
  node.running = true;
  await node.minute(sampler, 40);
  await fetch(0);
  await node.minute(sampler, 50);
}

/** Lives until the step number `at`, then stops dead: nothing after it is done. Tells the steps that were reached. */
async function cutAt(node: TestNode, at: number, received: Sample[]): Promise<string[]> {
  const steps: string[] = [];
  await new Promise<void>((resolve, reject) => {
    const sampler = node.sampler({
      fault: (step) => {
        steps.push(step);
        if (steps.length <= at) return;
        resolve();
        return new Promise<void>(() => undefined);
      },
    });
    live(node, sampler, received).then(resolve, reject);
  });
  return steps;
}

describe('a cut at every step of every write and deletion', () => {
  it('loses nothing and counts nothing twice', async () => {
    const whole = createTestNode();
    const steps = await cutAt(whole, Number.MAX_SAFE_INTEGER, []);
    whole.remove();
    expect(new Set(steps)).toEqual(
      new Set([
        ...['sample', 'last'].flatMap((kind) =>
          ['begun', 'temporary file on disk', 'renamed', 'folder synced'].map((step) => `${kind}: ${step}`),
        ),
        'remove: one removed',
      ]),
    );
    for (const [at, step] of steps.entries()) {
      const node = createTestNode();
      const received: Sample[] = [];
      await cutAt(node, at, received);
      const restarted = node.sampler();
      node.running = true;
      await node.minute(restarted, 7);
      const rows = rowsOnce([...received, ...(await peek(restarted))]);
      expect(rows.at(-1)?.net_inbytes, step).toBe(node.counter);
      expectExact(rows);
      expect(
        node.files().filter((name) => name.endsWith('.new') || name.endsWith('.damaged')),
        step,
      ).toEqual([]);
      node.remove();
    }
  });
});

describe('kill -9 of a sampling process', () => {
  const folder = mkdtempSync(join(tmpdir(), 'dtc-xen-kill-'));
  const program = join(folder, 'sampling-process.mjs');
  let child: ChildProcess | undefined;

  beforeAll(async () => {
    await build({
      entryPoints: [fileURLToPath(new URL('sampling-process.ts', import.meta.url))],
      outfile: program,
      bundle: true,
      platform: 'node',
      format: 'esm',
      logLevel: 'error',
      banner: {
        js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);",
      },
    });
  });
  afterAll(() => {
    child?.kill('SIGKILL');
    rmSync(folder, { recursive: true });
  });

  /** Runs the process, kills it `after_ms` after its first sample, and returns the whole lines that it wrote. */
  async function runAndKill(started_ms: number, after_ms: number): Promise<string[]> {
    const running = spawn(process.execPath, [program, folder, String(started_ms)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    child = running;
    let text = '';
    running.stdout.setEncoding('utf8').on('data', (chunk: string) => {
      if (text === '') setTimeout(() => running.kill('SIGKILL'), after_ms);
      text += chunk;
    });
    const signal = await new Promise((resolve) =>
      running.on('close', (_code, ended_by) => resolve(ended_by)),
    );
    expect(signal).toBe('SIGKILL');
    return text.split('\n').slice(0, -1);
  }

  it('leaves every finished sample readable and none counted twice, thirty times', async () => {
    const started_ms = Date.now();
    const known = new Map<number, Sample>();
    for (let round = 0; round < 30; round += 1) {
      const lines = await runAndKill(started_ms, Math.random() * 150);
      const finished = new Set<number>();
      for (const line of lines) {
        const said = JSON.parse(line) as { counter?: number; received?: Sample };
        if (said.counter !== undefined) finished.add(said.counter);
        if (said.received) known.set(said.received.timestamp, said.received);
      }
      const restarted = createSamples({
        hypervisor: { list: async () => [], find: async () => undefined },
        counters: { read: async () => ({ boot_id: 'a', guests: [] }) },
        config: { state_dir: folder, perf_direction: 'dom0', perf_retention: 7 },
        log: pino({ level: 'silent' }),
      });
      const delivery = await restarted.take(0);
      for (const sample of delivery.samples) known.set(sample.timestamp, sample);
      if (round % 2 === 0) await delivery.delivered();
      else delivery.kept();

      const rows = rowsOnce([...known.values()]);
      const found = new Set(rows.map(({ net_inbytes }) => net_inbytes));
      expect(
        [...finished].filter((counter) => !found.has(counter)),
        `round ${round}`,
      ).toEqual([]);
      expectExact(rows);
      const sum = rows.reduce((total, row) => total + row.diff_net_inbytes, 0);
      expect(sum).toBe((rows.at(-1)?.net_inbytes ?? 0) - (rows[0]?.net_inbytes ?? 0));
    }
    expect(known.size).toBeGreaterThan(60);
  }, 180_000);
});
