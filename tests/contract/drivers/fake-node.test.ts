import { describeBaseVolumes } from './base-volumes.contract.ts';
import { describeDiskStore } from './disk-store.contract.ts';
import { openFakeNode, openFakeThinNode } from './fake-driver-node.ts';
import { describeHypervisor } from './hypervisor.contract.ts';
import { describeRemovedDisks } from './removed-disks.contract.ts';

describeDiskStore('the fake node', 'lvm', openFakeNode);
describeDiskStore('the fake node', 'lvm-thin', openFakeThinNode);
describeDiskStore('the fake node', 'vbd', openFakeNode);
describeRemovedDisks('the fake node', openFakeNode);
describeBaseVolumes('the fake node', openFakeThinNode);
describeHypervisor('the fake node', openFakeNode);
