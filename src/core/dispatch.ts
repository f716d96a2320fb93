import type { Logger } from 'pino';
import type { Config } from '../config/schema.ts';
import { bindParams, quoteName } from './bind.ts';
import { type Caller, type ParamValue, type SoapCall, toldOf } from './call.ts';
import type { AnswerOutcome, OperationContext, Ports } from './context.ts';
import { AgentError, asAgentError } from './errors.ts';
import { mayAnswer, type Operation } from './operation.ts';
import type { Registry } from './registry.ts';
import { createUnderLock } from './under-lock.ts';
import { validateInput } from './validate.ts';
import { parseVpsId, type VpsId } from './vps.ts';

/** What came of a call; the transport encodes it and then says whether the client has read the answer. */
export type Outcome =
  | {
      readonly ok: true;
      readonly operation: Operation;
      readonly input: Record<string, unknown>;
      readonly output: Record<string, unknown>;
      readonly answered: (read: boolean) => Promise<void>;
      /**
       * There where something is the client's for good only once it is known to have read the answer; `wanted` resolves when
       * another caller waits for it.
       */
      readonly carried?: { readonly wanted: Promise<void> };
    }
  | { readonly ok: false; readonly operation: Operation | undefined; readonly error: AgentError };

/** What dispatching needs besides the call. */
export interface DispatchOptions {
  readonly registry: Registry;
  readonly config: Config;
  readonly ports: Ports;
  readonly log: Logger;
}

/** Runs one call from name to outcome; never throws. */
export type Dispatch = (call: SoapCall, caller: Caller) => Promise<Outcome>;

function authorize(
  operation: Operation,
  caller: Caller,
  admin_user: string,
  bound: Readonly<Record<string, ParamValue>>,
): void {
  if (caller.user === admin_user || operation.who === 'user') return;
  if (operation.who === 'owner' && typeof bound['vpsname'] === 'string') {
    const vps = parseVpsId(bound['vpsname']);
    if (vps !== undefined && vps.name === caller.user) return;
  }
  throw new AgentError(
    'not_allowed',
    `The user ${quoteName(caller.user)} may not call ${operation.name} here.`,
  );
}

function changedMeanwhile({ user }: Caller): AgentError {
  return new AgentError(
    'not_allowed',
    `The password of the user ${quoteName(user)} was changed while this call was on its way; nothing was done: call again with the new one.`,
  );
}

/** Waits for the work as long as the operation may take; what comes of it after that, nobody is told but `onLate`. */
async function withTimeout<T>(
  operation: Operation,
  work: Promise<T>,
  onLate: (error?: AgentError) => void,
): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const expired = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      work.then(
        () => onLate(),
        (thrown: unknown) => onLate(asAgentError(thrown)),
      );
      const after = `${operation.name} did not end within ${operation.timeout_ms / 1000} s`;
      const advice = operation.changes
        ? '; it goes on: ask getVPSState what came of it.'
        : ": the node is slow, or a program on it hangs; see the agent's log.";
      reject(new AgentError('timeout', `${after}${advice}`));
    }, operation.timeout_ms);
  });
  try {
    return await Promise.race([work, expired]);
  } finally {
    clearTimeout(timer);
  }
}

/** What waits for the client to have read the answer; once settled, whatever comes later is settled as lost at once. */
class PendingAnswers {
  #waiting: AnswerOutcome[] = [];
  #settled = false;

  add(outcome: AnswerOutcome): void {
    if (this.#settled) outcome.lost();
    else this.#waiting.push(outcome);
  }

  get carried(): { carried: { wanted: Promise<void> } } | undefined {
    if (this.#waiting.length === 0) return undefined;
    return { carried: { wanted: Promise.race(this.#waiting.map(({ wanted }) => wanted)) } };
  }

  async settle(read: boolean): Promise<void> {
    this.#settled = true;
    for (const { delivered, lost } of this.#waiting.splice(0)) await (read ? delivered() : lost());
  }
}

const DETAIL_CHARS = 4096;

/** What an error has for the log, each text cut to its last part: a program may have said megabytes. */
function shortened(detail: AgentError['log']): AgentError['log'] {
  const entries = Object.entries(detail ?? {}).map(([key, value]) => [
    key,
    typeof value === 'string' ? value.slice(-DETAIL_CHARS) : value,
  ]);
  return detail && Object.fromEntries(entries);
}

/** Composes the one way from a call to its outcome: bind, authorize, validate, lock, handle, audit. */
export function createDispatch({ registry, config, ports, log }: DispatchOptions): Dispatch {
  const underLock = createUnderLock({ ports, log });

  async function runHandler(
    operation: Operation,
    input: Record<string, unknown>,
    caller: Caller,
    onLate: (error?: AgentError) => void,
  ) {
    const answers = new PendingAnswers();
    const ctx: Omit<OperationContext, 'unlock'> = {
      ...ports,
      config,
      caller,
      log,
      onAnswer: (delivery) => answers.add(delivery),
    };
    const vps = input['vpsname'] as VpsId | undefined;
    const handle = async (unlock = async () => {}) => {
      if (!(await caller.stillKnown())) throw changedMeanwhile(caller);
      return operation.handler({ ...ctx, unlock }, input);
    };
    const { lock, settles = true } = operation;
    const work = lock === 'vps' && vps ? underLock(vps, operation.name, handle, { settles }) : handle();
    try {
      const output = await withTimeout(operation, work, onLate);
      return { output, answered: (read: boolean) => answers.settle(read), ...answers.carried };
    } catch (error) {
      await answers.settle(false);
      throw error;
    }
  }

  return async (call, caller) => {
    const started = performance.now();
    const operation = registry.get(call.operation);
    let bound: Record<string, ParamValue> = {};
    const report = (error?: AgentError, what = 'call') => {
      const entry = {
        operation: quoteName(call.operation),
        vps: typeof bound['vpsname'] === 'string' ? quoteName(bound['vpsname']) : undefined,
        ...toldOf(caller),
        dialect: call.dialect,
        outcome: error?.code ?? 'ok',
        message: error?.message,
        ms: Math.round(performance.now() - started),
      };
      if (error?.code === 'internal') log.error({ err: error.cause, ...entry }, 'defect');
      if (operation && error && !mayAnswer(operation, error.code)) {
        log.warn(entry, 'an error that the operation does not declare');
      }
      if (operation?.changes || error)
        log.info({ audit: true, ...entry, detail: shortened(error?.log) }, what);
      else log.debug(entry, what);
    };
    const reportLate = (error?: AgentError) => report(error, 'the end of a call past its time limit');
    try {
      if (!operation) {
        throw new AgentError('unknown_operation', `There is no operation ${quoteName(call.operation)}.`);
      }
      bound = bindParams(operation, call.params);
      authorize(operation, caller, config.admin_user, bound);
      const input = validateInput(operation, bound);
      const done = await runHandler(operation, input, caller, reportLate);
      report();
      return { ok: true, operation, input, ...done };
    } catch (thrown) {
      const error = asAgentError(thrown);
      report(error);
      return { ok: false, operation, error };
    }
  };
}
