// The driver contract against the machine that this runs on, as a program: a line of JSON for every test.
import { describeBaseVolumes } from '../../contract/drivers/base-volumes.contract.ts';
import { describeDiskStore } from '../../contract/drivers/disk-store.contract.ts';
import { describeHypervisor } from '../../contract/drivers/hypervisor.contract.ts';
import { describeRemovedDisks } from '../../contract/drivers/removed-disks.contract.ts';
import { runTests } from './harness.ts';
import { openRealNode, openRealThinNode } from './real-node.ts';

describeDiskStore('a node', 'lvm', openRealNode);
describeDiskStore('a node', 'vbd', openRealNode);
describeRemovedDisks('a node', openRealNode);
// A change in a thin pool takes seconds in an emulated machine: these take minutes.
if (process.env['XEN_TEST_LONG']) {
  describeDiskStore('a node', 'lvm-thin', openRealThinNode);
  describeBaseVolumes('a node', openRealThinNode);
}
describeHypervisor('a node', openRealNode);
await runTests((outcome) => process.stdout.write(`${JSON.stringify(outcome)}\n`));
