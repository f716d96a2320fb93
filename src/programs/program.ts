import type { ParamValue } from '../core/call.ts';
import type { Outcome } from '../core/dispatch.ts';
import type { Move, Moves } from '../core/moves.ts';
import type { OwnSettings } from '../core/own-settings.ts';
import type { Jobs } from '../core/ports.ts';
import type { VpsId } from '../core/vps.ts';

/** The agent's operations, done here and now as the admin, under the same locks and refusals as the daemon's. */
export interface LocalAgent {
  call(operation: string, params: Readonly<Record<string, ParamValue>>): Promise<Outcome>;
  /**
   * Writes the configuration of a stopped VPS with a paravirtual Linux, and its autostart link. Says what was done.
   * Errors: `vps_running`, `vps_saved`, `vps_busy`, `disks_missing`, `invalid_value`, `program_*`.
   */
  configure(order: ConfigureOrder): Promise<string>;
  /** The VPS that is being installed where this is called by a template's program. */
  readonly installing: string | undefined;
  /** Makes sure that what was said for one VPS alone is there, before anything is touched. Errors: `not_found`, `invalid_value`. */
  requireOwn(): Promise<void>;
  readonly jobs: Pick<Jobs, 'last' | 'installLog'>;
  readonly moves: Moves;
  /** The volume group of the VPS disks. Errors: `no_volume_group`, `program_*`. */
  volumeGroup(): Promise<string>;
}

/** A configuration that an admin orders by hand; the words are as they were given. */
export interface ConfigureOrder {
  readonly vpsname: string;
  readonly memory_mb: string;
  /** As `nics` of reinstallVPSos. */
  readonly nics: string;
  readonly imagetype: string | undefined;
}

/** A password that goes into a parameter: as it was given, the first line of a file, or else of standard input. */
export interface Secret {
  readonly param: string;
  readonly prompt: string;
  readonly given?: string | undefined;
  readonly file?: string | undefined;
}

/** What holds for this VPS alone, and what is made sure of first. */
export interface ForOneVps {
  readonly own?: OwnSettings;
  /** Refused where the volume group of the VPS disks is another one. */
  readonly volume_group?: string;
  /** Whether the installation of the VPS does it by itself: a template's program that asks for it is told so. */
  readonly is_installations?: boolean;
}

/** An operation that a command line stands for. */
export interface OperationRequest extends ForOneVps {
  readonly operation: string;
  readonly params: Readonly<Record<string, string>>;
  readonly secret?: Secret;
  /** Waits for the end of the job that the operation starts: with its log on standard output, or without. */
  readonly follow?: 'log' | 'quiet';
  /** What is done when that has ended well. */
  readonly afterwards?: OperationRequest;
}

/** A configuration that a command line asks for. */
export interface ConfigureRequest extends ForOneVps {
  readonly configure: ConfigureOrder;
}

/** What a command line asks for. */
export type Request =
  | OperationRequest
  | ConfigureRequest
  | { readonly move: Move }
  | { readonly receive: VpsId }
  | 'help'
  | 'volume group'
  | 'free disk'
  | 'free memory';

/** A program of DTC-Xen that an admin calls by hand. */
export interface Program {
  /** What --help prints. */
  readonly usage: string;
  /** Whether no arguments at all stand for a request to see the usage. */
  readonly needs_arguments: boolean;
  /** Reads the command line, and where the configuration is. Throws {@link UsageError}. */
  parse(argv: readonly string[]): { readonly request: Request; readonly config_file: string };
}

/** A command line that cannot be understood; the message says what is wrong with it. */
export class UsageError extends Error {}
