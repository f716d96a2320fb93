/** Whose fault an error is: `caller` becomes a Client fault, `node` a Server fault. */
export type Fault = 'caller' | 'node';

/**
 * How a legacy client is told (contract, "Failure, legacy dialect"):
 * `fault` a SOAP fault (the call itself is malformed), `notok` the value `NOTOK - reason`, `denied` the value `NOTOK` alone.
 */
export type LegacyTelling = 'fault' | 'notok' | 'denied';

interface ErrorKind {
  readonly fault: Fault;
  readonly legacy: LegacyTelling;
  /** Whether the same call may succeed later without anybody mending anything. */
  readonly retry: boolean;
  /** What it means, for docs/operations.md. */
  readonly means: string;
}

const kind = (fault: Fault, legacy: LegacyTelling, retry: boolean, means: string): ErrorKind =>
  Object.freeze({ fault, legacy, retry, means });

/** Every error that a caller may be told: the one table of codes. */
export const ERRORS = Object.freeze({
  malformed_request: kind('caller', 'fault', false, 'The request is not a SOAP call that can be read.'),
  unknown_operation: kind('caller', 'fault', false, 'There is no operation of that name.'),
  missing_parameter: kind('caller', 'fault', false, 'A parameter that the operation needs is not there.'),
  unknown_parameter: kind('caller', 'fault', false, 'The operation has no such parameter.'),
  repeated_parameter: kind('caller', 'fault', false, 'A parameter is there more than once.'),
  wrong_type: kind(
    'caller',
    'fault',
    false,
    'A parameter is a list, a structure or nil where a text is expected.',
  ),
  invalid_value: kind('caller', 'notok', false, 'A parameter has a value that cannot be used.'),
  not_allowed: kind('caller', 'denied', false, 'This user may not call the operation, or not on this VPS.'),
  vps_busy: kind('caller', 'notok', true, 'Another change or a job holds this VPS.'),
  lock_lost: kind(
    'node',
    'notok',
    true,
    'Somebody removed or replaced the file of the lock that the change was made under: it stopped where it was.',
  ),
  vps_running: kind(
    'caller',
    'notok',
    false,
    'Xen has a domain of that name, in whatever state; the VPS must be stopped.',
  ),
  vps_saved: kind(
    'caller',
    'notok',
    false,
    "The guest's memory is saved on the node's disk: it goes on where it was, and its disks may not change meanwhile. startVPS restores it, destroyVPS lets go of the memory.",
  ),
  vps_not_running: kind('caller', 'notok', false, 'Xen has no domain of that name.'),
  vps_not_installed: kind(
    'caller',
    'notok',
    false,
    'The VPS has no configuration in /etc/xen: nothing is installed.',
  ),
  disks_missing: kind('caller', 'notok', false, 'The VPS has no disks: setupLVMDisks was not called.'),
  disks_exist: kind(
    'caller',
    'notok',
    false,
    'The VPS has disks already, of other sizes; nothing was touched.',
  ),
  disks_in_use: kind('node', 'notok', true, 'Something on the node holds the disks open.'),
  no_space: kind(
    'node',
    'notok',
    false,
    'There is not enough room in the volume group, in its thin pool, or on the file system.',
  ),
  no_volume_group: kind(
    'node',
    'notok',
    false,
    'The volume group is missing, or it is not clear which one is meant; or its thin pool is missing, or not fit for use.',
  ),
  store_away: kind(
    'node',
    'notok',
    true,
    'The place of disks, samples or homes is not there at the moment (a volume group, a file system that is not mounted); nothing was touched.',
  ),
  record_damaged: kind(
    'node',
    'notok',
    false,
    'A file in which the agent noted something is damaged; the sentence says which, and what to do. Nothing is guessed from it.',
  ),
  unknown_os: kind('caller', 'notok', false, 'There is no operating system template of that name.'),
  not_found: kind('caller', 'notok', false, 'What was named does not exist on this node.'),
  program_failed: kind('node', 'notok', false, 'A program (xl, lvm, ...) ended with an error.'),
  program_timeout: kind('node', 'notok', true, 'A program did not end in time and was killed.'),
  program_missing: kind('node', 'notok', false, 'A program is not installed, or cannot be run.'),
  program_output: kind('node', 'notok', false, 'A program answered something that cannot be understood.'),
  timeout: kind('node', 'notok', true, 'The operation did not end in time.'),
  internal: kind('node', 'notok', false, "A defect in the agent; the agent's log has the details."),
} satisfies Record<string, ErrorKind>);

/** A stable code of {@link ERRORS}, the `code` of a modern fault's detail. */
export type ErrorCode = keyof typeof ERRORS;

/** What any call may be answered with, declared or not. */
export const ERRORS_OF_ANY_CALL: readonly ErrorCode[] = Object.freeze([
  'malformed_request',
  'unknown_operation',
  'missing_parameter',
  'unknown_parameter',
  'repeated_parameter',
  'wrong_type',
  'invalid_value',
  'not_allowed',
  'timeout',
  'record_damaged',
  'internal',
]);

/** What a call that changes something may be answered with besides. */
export const ERRORS_OF_CHANGES: readonly ErrorCode[] = Object.freeze([
  'vps_busy',
  'lock_lost',
  'no_space',
  'store_away',
]);

/** What an operation that asks a program may answer with. */
export const PROGRAM_ERRORS = [
  'program_failed',
  'program_timeout',
  'program_missing',
  'program_output',
] as const satisfies readonly ErrorCode[];

/**
 * An error that may be told to a caller.
 *
 * `message` is one sentence an admin can act on: what was tried, on which VPS, what was answered, what to do. It holds no
 * secret and no path of ours; `log` may hold more (a program's whole output) and reaches the log alone.
 */
export class AgentError extends Error {
  readonly code: ErrorCode;
  readonly log: Readonly<Record<string, unknown>> | undefined;

  constructor(
    code: ErrorCode,
    message: string,
    more: { cause?: unknown; log?: Record<string, unknown> } = {},
  ) {
    super(message, more.cause === undefined ? undefined : { cause: more.cause });
    this.name = 'AgentError';
    this.code = code;
    this.log = more.log;
  }
}

/** What the kernel says where a file does not fit (open(2), write(2)). */
const NO_ROOM: ReadonlySet<unknown> = new Set(['ENOSPC', 'EDQUOT']);

/**
 * Turns anything thrown into an {@link AgentError}: a full file system is told as what it is; what is not ours becomes
 * `internal` and is told without details.
 */
export function asAgentError(thrown: unknown): AgentError {
  if (thrown instanceof AgentError) return thrown;
  const { code, path, syscall } = (thrown ?? {}) as NodeJS.ErrnoException;
  if (NO_ROOM.has(code)) {
    return new AgentError(
      'no_space',
      'A file of the agent could not be written: a file system of the node is full; make room (df shows where), and try again.',
      { cause: thrown, log: { code, path, syscall } },
    );
  }
  return new AgentError('internal', 'The agent hit a defect of its own; its log has the details.', {
    cause: thrown,
  });
}

/** What a log line says of an error beside its sentence: code and detail, or where it is a defect, the defect itself. */
export function errorFields(error: AgentError): Record<string, unknown> {
  return error.code === 'internal'
    ? { code: error.code, err: error.cause }
    : { code: error.code, detail: error.log };
}

/** What a log line says of something that the kernel refused (a full disk, an I/O error): its words, and no stack. */
export function systemFields(thrown: unknown): Record<string, unknown> {
  const { code, path, syscall, message } = (thrown ?? {}) as NodeJS.ErrnoException;
  return syscall === undefined ? { err: thrown } : { code, path, detail: message };
}
