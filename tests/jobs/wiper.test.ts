import { setTimeout as sleep } from 'node:timers/promises';
import { beforeEach, describe, expect, it } from 'vitest';
import { AgentError } from '../../src/core/errors.ts';
import type { RemovedDisk, RemovedDisks } from '../../src/core/ports.ts';
import { createWiper } from '../../src/jobs/wiper.ts';

const MIB = 1024 * 1024;
let waiting: RemovedDisk[];
let broken: Set<string>;
let told: string[];
/** Whether a job has said that it left one. */
let noted = false;
beforeEach(() => {
  waiting = ['a', 'b', 'c'].map((name) => ({ name: `dtc-xen-removed.${name}`, size_bytes: 8 * MIB }));
  broken = new Set();
  told = [];
});

const disks = (wipe_ms = 1): RemovedDisks => ({
  list: async () => {
    noted = false;
    return [...waiting];
  },
  isWaiting: async () => noted,
  async wipe(name, signal) {
    await sleep(wipe_ms, undefined, { signal });
    if (broken.has(name)) throw new AgentError('program_failed', 'blkdiscard failed (exit code 1).');
    waiting = waiting.filter((disk) => disk.name !== name);
  },
});
const log = {
  info: (_fields: object, message: string) => void told.push(message),
  warn: (_fields: object, message: string) => void told.push(message),
} as never;
const left = () => waiting.map(({ name }) => name.replace('dtc-xen-removed.', ''));

describe('removed disks', () => {
  it('are wiped one after the other, those that come meanwhile too, and told', async () => {
    const wiper = createWiper({ removed: disks(), log });
    const first = wiper.run();
    expect(wiper.run()).toBe(first);
    waiting.push({ name: 'dtc-xen-removed.d', size_bytes: 16 * MIB });
    await first;
    expect(left()).toEqual([]);
    expect(told).toHaveLength(4);
    expect(told[3]).toMatch(/^dtc-xen-removed\.d was overwritten and removed: 16 MB in \d+ s$/);
  });

  it('that cannot be wiped do not hold up the others, and are tried again the next time', async () => {
    broken.add('dtc-xen-removed.a');
    const wiper = createWiper({ removed: disks(), log });
    await wiper.run();
    expect(left()).toEqual(['a']);
    expect(told).toContain(
      'dtc-xen-removed.a was not wiped, which is tried again within the hour: blkdiscard failed (exit code 1).',
    );
    broken.clear();
    await wiper.run();
    expect(left()).toEqual([]);
  });

  it('that a job leaves are looked for when it has said so, and not before', async () => {
    const wiper = createWiper({ removed: disks(), log });
    await wiper.look();
    expect(left()).toEqual(['a', 'b', 'c']);
    noted = true;
    await wiper.look();
    expect([left(), noted]).toEqual([[], false]);
  });

  it('wait where the agent stops', async () => {
    const wiper = createWiper({ removed: disks(60_000), log });
    const running = wiper.run();
    await sleep(20);
    await wiper.stop();
    await running;
    expect([left(), told]).toEqual([['a', 'b', 'c'], []]);
  });

  it.each([
    ['no_volume_group', []],
    ['program_failed', ['removed disks cannot be looked for: vgs said no.']],
  ] as const)('are not looked for where LVM says %s', async (code, says) => {
    const list = () => Promise.reject(new AgentError(code, 'vgs said no.'));
    await createWiper({ removed: { ...disks(), list }, log }).run();
    expect(told).toEqual(says);
  });
});
