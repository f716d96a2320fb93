// What is asked of the agent, as a panel asks it.
import { machine } from './machine.ts';
import { ROOT_MB, SWAP_MB } from './site.ts';
import type { OperationName } from './story.ts';

/** The name of an operation, and its parameters. */
export type SoapCall = readonly [name: string, params: Readonly<Record<string, string>>];

/** What is known of the VPS that a call is about. */
export interface CallSubject {
  readonly vps: string;
  readonly type: 'lvm' | 'vbd';
  /** What a new system's guest gets: each another number. */
  readonly memory_mb: number;
}

const PASSWORD = { password: 'not-a-secret' };

/** The call of an operation; `state` asks what a VPS does. */
export function callOf(operation: OperationName | 'state', subject: CallSubject): SoapCall {
  const { vps, type: imagetype, memory_mb } = subject;
  const vpsname = { vpsname: vps };
  switch (operation) {
    case 'start':
      return ['startVPS', vpsname];
    case 'shutdown':
      return ['shutdownVPS', vpsname];
    case 'destroy':
      return ['destroyVPS', vpsname];
    case 'rollback':
      return ['rollbackVPSos', vpsname];
    case 'fsck':
      return ['fsckVPSpartition', vpsname];
    case 'password':
      return ['changeVPSrootPassword', { ...vpsname, ...PASSWORD }];
    case 'cancel':
      return ['cancelVPSJob', vpsname];
    case 'kill':
      return ['killVPS', { ...vpsname, imagetype }];
    case 'setup':
      return ['setupLVMDisks', { ...vpsname, hddsize: `${ROOT_MB}`, swapsize: `${SWAP_MB}`, imagetype }];
    case 'collect': {
      const confirm = `${machine.watch.bill.newest}`;
      return ['getCollectedPerformanceData', machine.chance.is(0.3) ? { confirm } : {}];
    }
    case 'state':
      return ['getVPSState', vpsname];
    case 'reinstall': {
      const nics = '192.0.2.7,255.255.255.0,192.0.2.255';
      return ['reinstallVPSos', { ...vpsname, ...PASSWORD, ostype: 'debian', ramsize: `${memory_mb}`, nics }];
    }
  }
}

/** Answers after which nothing was done; after others, some of it may have been. */
export const REFUSALS: readonly string[] = [
  ...(['vps_busy', 'vps_running', 'vps_saved', 'store_away', 'disks_in_use'] as const),
  ...(['disks_missing', 'not_found', 'invalid_value', 'no_volume_group'] as const),
];
