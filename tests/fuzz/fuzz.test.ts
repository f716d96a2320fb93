// Seconds of what `make fuzz` does for minutes: each reader's seeds, and what a byte here and a piece there makes of them. Findings of
// the longer runs stay in tests/fuzz/findings/TARGET/.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { TARGETS, type Target } from './targets.ts';

const FINDINGS = join(import.meta.dirname, 'findings');
const ROUNDS = 400;
/** Of CPU, for one reading: more, and a client or a guest holds the daemon. */
const LIMIT_MS = 1000;

const foundOf = (name: string) =>
  existsSync(join(FINDINGS, name))
    ? readdirSync(join(FINDINGS, name)).map((file) => readFileSync(join(FINDINGS, name, file)))
    : [];

async function readWithin({ read }: Target, bytes: Buffer): Promise<void> {
  const before = process.cpuUsage();
  await read(bytes);
  const { user, system } = process.cpuUsage(before);
  expect((user + system) / 1000).toBeLessThan(LIMIT_MS);
}

/** What a seed can become: bytes changed, a piece of it or of another one put in or taken out, all of it many times over. */
const changed = (seeds: readonly Buffer[]) =>
  fc
    .tuple(
      fc.constantFrom(...seeds),
      fc.constantFrom(...seeds),
      fc.array(fc.tuple(fc.nat(), fc.nat({ max: 4 }), fc.nat(), fc.uint8Array({ maxLength: 12 })), {
        maxLength: 8,
      }),
    )
    .map(([seed, other, edits]) =>
      edits.reduce((bytes, [where, kind, much, put]) => {
        const at = where % (bytes.length + 1);
        const cut = at + (much % 64);
        const [head, tail] = [bytes.subarray(0, at), bytes.subarray(kind === 0 ? at : cut)];
        const from = much % (other.length + 1);
        if (kind === 3) return Buffer.concat([head, other.subarray(from, from + 200), tail]);
        if (kind === 4)
          return Buffer.concat([head, ...Array(1 + (much % 400)).fill(bytes.subarray(at, cut)), tail]);
        return Buffer.concat([head, put, tail]);
      }, seed),
    );

describe.each(Object.entries(TARGETS))('%s', (name, target) => {
  it('is read or refused, in its seeds and in what was found', async () => {
    const all = [...target.seeds(), ...foundOf(name)];
    expect(all.length).toBeGreaterThan(0);
    for (const bytes of [Buffer.alloc(0), ...all]) await readWithin(target, bytes);
  });

  it('is read or refused, whatever becomes of it', async () => {
    await fc.assert(
      fc.asyncProperty(changed(target.seeds()), (bytes) => readWithin(target, bytes)),
      { numRuns: ROUNDS },
    );
  });
});
