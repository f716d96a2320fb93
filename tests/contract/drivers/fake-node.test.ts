import { describeDiskStore } from './disk-store.contract.ts';
import { openFakeNode } from './fake-driver-node.ts';
import { describeHypervisor } from './hypervisor.contract.ts';

describeDiskStore('the fake node', 'lvm', openFakeNode);
describeDiskStore('the fake node', 'vbd', openFakeNode);
describeHypervisor('the fake node', openFakeNode);
