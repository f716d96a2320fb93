import type { ParamValue } from '../core/call.ts';
import type { Outcome } from '../core/dispatch.ts';
import type { Move, Moves } from '../core/moves.ts';
import type { Jobs } from '../core/ports.ts';
import type { VpsId } from '../core/vps.ts';

/** The agent's operations, done here and now as the admin, under the same locks and refusals as the daemon's. */
export interface LocalAgent {
  call(operation: string, params: Readonly<Record<string, ParamValue>>): Promise<Outcome>;
  readonly jobs: Pick<Jobs, 'last' | 'installLog'>;
  readonly moves: Moves;
  /** The volume group of the VPS disks. Errors: `no_volume_group`, `program_*`. */
  volumeGroup(): Promise<string>;
}

/** A password that goes into a parameter: as it was given, the first line of a file, or else of standard input. */
export interface Secret {
  readonly param: string;
  readonly prompt: string;
  readonly given?: string | undefined;
  readonly file?: string | undefined;
}

/** An operation that a command line stands for. */
export interface OperationRequest {
  readonly operation: string;
  readonly params: Readonly<Record<string, string>>;
  readonly secret?: Secret;
  /** Waits for the end of the job that the operation starts: with its log on standard output, or without. */
  readonly follow?: 'log' | 'quiet';
}

/** What a command line asks for. */
export type Request =
  | OperationRequest
  | { readonly move: Move }
  | { readonly receive: VpsId }
  | 'help'
  | 'volume group';

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
