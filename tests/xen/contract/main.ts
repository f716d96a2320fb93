// The driver contract against the machine that this runs on, as a program: a line of JSON for every test.
import { describeBaseVolumes } from '../../contract/drivers/base-volumes.contract.ts';
import { describeDiskStore } from '../../contract/drivers/disk-store.contract.ts';
import { describeHypervisor } from '../../contract/drivers/hypervisor.contract.ts';
import { runTests } from './harness.ts';
import { openRealNode, openRealThinNode } from './real-node.ts';

describeDiskStore('a node', 'lvm', openRealNode);
describeDiskStore('a node', 'lvm-thin', openRealThinNode);
describeDiskStore('a node', 'vbd', openRealNode);
describeBaseVolumes('a node', openRealThinNode);
describeHypervisor('a node', openRealNode);
await runTests((outcome) => process.stdout.write(`${JSON.stringify(outcome)}\n`));
