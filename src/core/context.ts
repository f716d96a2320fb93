import type { Logger } from 'pino';
import type { Config } from '../config/schema.ts';
import type { Caller } from './call.ts';
import type { ConsoleLogs } from './consoles.ts';
import type { GuestConfigStore } from './guest-configs.ts';
import type {
  Accounts,
  DiskStore,
  GuestRoots,
  Hypervisor,
  ImageType,
  Jobs,
  Samples,
  Templates,
  VpsLocks,
} from './ports.ts';
import type { Screens } from './screens.ts';
import type { Systems } from './systems.ts';

/** The drivers, behind their ports: what an operation may reach. Composed once, in src/app.ts. */
export interface Ports {
  readonly hypervisor: Hypervisor;
  readonly disks: Readonly<Record<ImageType, DiskStore>>;
  readonly guests: GuestConfigStore;
  readonly roots: GuestRoots;
  readonly jobs: Jobs;
  readonly samples: Samples;
  readonly accounts: Accounts;
  readonly consoles: ConsoleLogs;
  readonly screens: Screens;
  readonly templates: Templates;
  readonly systems: Systems;
  readonly locks: VpsLocks;
  /** Finds the kernel that paravirtual guests boot. Error: `not_found`. */
  readonly kernel: () => Promise<unknown>;
}

/** What a handler wants done once it is known whether the client has its answer; exactly one of the two is called. */
export interface AnswerOutcome {
  delivered(): Promise<void>;
  lost(): void;
  /** Resolves when another caller waits for this one's end. */
  readonly wanted: Promise<void>;
}

/** What a handler is called with. */
export interface OperationContext extends Ports {
  readonly config: Config;
  readonly caller: Caller;
  readonly log: Logger;
  /**
   * Has `delivered` called once the client is known to have read the answer, or `lost` where it is not: the connection was cut,
   * or the call failed after all.
   */
  onAnswer(outcome: AnswerOutcome): void;
  /** Lets go of the VPS's lock before the handler ends: from then on it only waits, and others may change the VPS. */
  unlock(): Promise<void>;
}
