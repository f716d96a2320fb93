import type { Logger } from 'pino';
import { type Caller, type SoapCall, toldOf } from '../core/call.ts';
import type { Dispatch } from '../core/dispatch.ts';
import { asAgentError } from '../core/errors.ts';
import { type Answer, answerCall } from './soap/answer.ts';
import { decodeBody } from './soap/charset.ts';
import { type Media, requirePlain } from './soap/media.ts';
import { readSoapCall } from './soap/reader.ts';

/** From a request's bytes to its answer; never throws. */
export type SoapRoute = (body: Buffer, media: Media, caller: Caller) => Promise<Answer>;

/** Makes the way of a SOAP request: charset, XML, dialect, dispatch, encoding. */
export function createSoapRoute(dispatch: Dispatch, log: Logger): SoapRoute {
  return async (body, media, caller) => {
    let call: SoapCall;
    try {
      requirePlain(media);
      call = readSoapCall(decodeBody(body, media.content_type));
    } catch (thrown) {
      const error = asAgentError(thrown);
      if (error.code === 'internal') log.error({ err: thrown, ...toldOf(caller) }, 'defect');
      else log.info({ ...toldOf(caller), outcome: error.code, message: error.message }, 'unreadable request');
      return answerCall(undefined, error);
    }
    const answer = answerCall(call, await dispatch(call, caller));
    if (answer.defect !== undefined) log.error({ err: answer.defect, ...toldOf(caller) }, 'defect');
    return answer;
  };
}
