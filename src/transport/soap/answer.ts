import type { SoapCall } from '../../core/call.ts';
import type { Outcome } from '../../core/dispatch.ts';
import { AgentError, asAgentError, ERRORS } from '../../core/errors.ts';
import type { Operation } from '../../core/operation.ts';
import { encodeFault, versionToAnswer } from './fault.ts';
import { encodeLegacy } from './legacy.ts';
import { encodeModern } from './modern.ts';

/** An answer as HTTP sends it. */
export interface Answer {
  readonly status: 200 | 500;
  readonly content_type: string;
  readonly body: string;
  /**
   * Call once it is known whether the client has the answer. It tells the operation, which keeps what this answer did not
   * carry, so that an outcome which could not be encoded is never taken for delivered.
   */
  readonly answered: (read: boolean) => Promise<void>;
  /** There where the client must be known to have read the answer (src/core/dispatch.ts). */
  readonly carried?: { readonly wanted: Promise<void> };
  /** A defect met while encoding, for the log. */
  readonly defect?: unknown;
}

const CONTENT_TYPES = Object.freeze({
  '1.1': 'text/xml; charset=utf-8',
  '1.2': 'application/soap+xml; charset=utf-8',
});

/** Legacy answers have it as SOAPpy's did. For the others there are no quotes: .NET takes them for a part of the charset's name. */
function contentType(call: SoapCall | undefined, soap: SoapCall['soap']): string {
  return call?.dialect === 'legacy' && soap === '1.1' ? 'text/xml; charset="UTF-8"' : CONTENT_TYPES[soap];
}

/**
 * Encodes what came of a request.
 *
 * The legacy dialect tells most errors as values, with HTTP 200 (contract, "Failure, legacy dialect"); the modern one tells
 * all of them as faults. Never throws.
 *
 * @param call undefined where the request could not be read; `outcome` is then the error that said so
 */
export function answerCall(call: SoapCall | undefined, outcome: Outcome | AgentError): Answer {
  if (outcome instanceof AgentError) return answerError(call, outcome);
  if (!outcome.ok) return answerError(call, outcome.error, outcome.operation?.legacy_errors);
  const { operation, output, input, answered, carried } = outcome;
  try {
    if (!call) throw new Error('an outcome without a call');
    const body =
      call.dialect === 'legacy'
        ? encodeLegacy(call, operation.legacy(output, input))
        : encodeModern(call, output, operation.output);
    const content_type = contentType(call, call.soap);
    return { status: 200, content_type, body, answered, ...(carried ? { carried } : {}) };
  } catch (defect) {
    const answer = answerError(call, asAgentError(defect));
    return { ...answer, answered: () => answered(false), defect };
  }
}

function answerError(
  call: SoapCall | undefined,
  error: AgentError,
  legacy_errors: Operation['legacy_errors'] = {},
): Answer {
  const nothing = { answered: async () => {} };
  const { legacy } = ERRORS[error.code];
  if (call?.dialect === 'legacy' && legacy !== 'fault') {
    const told = legacy === 'denied' ? 'NOTOK' : `NOTOK - ${error.message}`;
    const value = legacy_errors[error.code] ?? told;
    return {
      status: 200,
      content_type: contentType(call, call.soap),
      body: encodeLegacy(call, value),
      ...nothing,
    };
  }
  const content_type = contentType(call, versionToAnswer(call, error));
  return { status: 500, content_type, body: encodeFault(call, error), ...nothing };
}
