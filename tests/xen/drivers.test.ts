// The one driver contract, against the fake node here and against real Xen and LVM in dom0: the same assertions, counted.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';
import { afterEach, describe, expect, it } from 'vitest';
import { describeBaseVolumes } from '../contract/drivers/base-volumes.contract.ts';
import { describeDiskStore } from '../contract/drivers/disk-store.contract.ts';
import { openFakeNode, openFakeThinNode } from '../contract/drivers/fake-driver-node.ts';
import { describeHypervisor } from '../contract/drivers/hypervisor.contract.ts';
import { describeRemovedDisks } from '../contract/drivers/removed-disks.contract.ts';
import type { Outcome } from './contract/harness.ts';
import { dom0 } from './node.ts';
import { note } from './report.ts';

const HERE = import.meta.dirname;
const ON_FAKE = 'the contract on the fake node';
const fake = new Map<string, number>();

describe(ON_FAKE, () => {
  afterEach(({ task }) => {
    const path = [task.name];
    for (let { suite } = task; suite && suite.name !== ON_FAKE; suite = suite.suite) path.unshift(suite.name);
    fake.set(path.join(' > '), expect.getState().assertionCalls);
  });
  describeDiskStore('a node', 'lvm', openFakeNode);
  describeDiskStore('a node', 'vbd', openFakeNode);
  describeRemovedDisks('a node', openFakeNode);
  // A change in a thin pool takes seconds in an emulated machine: these take minutes.
  if (process.env['XEN_TEST_LONG']) {
    describeDiskStore('a node', 'lvm-thin', openFakeThinNode);
    describeBaseVolumes('a node', openFakeThinNode);
  }
  describeHypervisor('a node', openFakeNode);
});

async function runInDom0(): Promise<Outcome[]> {
  const folder = mkdtempSync(join(tmpdir(), 'dtc-xen-contract-'));
  try {
    const outfile = join(folder, 'contract.mjs');
    await build({
      entryPoints: [join(HERE, 'contract/main.ts')],
      outfile,
      bundle: true,
      platform: 'node',
      target: 'node20.19',
      format: 'esm',
      logLevel: 'warning',
      alias: { vitest: join(HERE, 'contract/harness.ts') },
      banner: {
        js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);",
      },
    });
    execFileSync(join(HERE, 'lab/lab'), ['put', outfile, '/root/contract.mjs'], { stdio: 'pipe' });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  const lines = await dom0(
    `cd /root && XEN_TEST_LONG=${process.env['XEN_TEST_LONG'] ?? ''} node contract.mjs`,
  );
  return lines.split('\n').map((line) => JSON.parse(line) as Outcome);
}

describe('the contract on real Xen', () => {
  it('holds, test by test, with as many assertions as on the fake node', async () => {
    const outcomes = await runInDom0();
    expect(outcomes).toHaveLength(fake.size);
    const failed = outcomes.filter(({ error }) => error !== undefined);
    expect(failed.map(({ name, error }) => `${name}: ${error}`)).toEqual([]);
    expect(Object.fromEntries(outcomes.map(({ name, assertions }) => [name, assertions]))).toEqual(
      Object.fromEntries(fake),
    );
    const sum = (counts: Iterable<number>) => [...counts].reduce((total, count) => total + count, 0);
    note('driver contract, assertions on the fake node', String(sum(fake.values())));
    note(
      'driver contract, assertions on real Xen',
      String(sum(outcomes.map(({ assertions }) => assertions))),
    );
  });
});
