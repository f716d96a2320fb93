import type { SoapCall } from '../../core/call.ts';
import { type AgentError, ERRORS } from '../../core/errors.ts';
import { escapeXml } from './escape.ts';
import { MalformedMessage, type MessageFault } from './malformed.ts';
import { DTC_XEN, ENVELOPE } from './namespaces.ts';

/** The SOAP version that an answer is written in: the call's, as far as the request was understood. */
export function versionToAnswer(
  call: Pick<SoapCall, 'soap'> | undefined,
  error: AgentError,
): SoapCall['soap'] {
  return call?.soap ?? (error instanceof MalformedMessage ? error.soap : '1.1');
}

/**
 * A SOAP fault, 1.1 or 1.2 as the request was. The faultcode says whose fault it is; the stable code stands in the detail:
 * `<fault xmlns="urn:dtc-xen"><code/><message/><retry/></fault>`. An error of the envelope or a header has no detail (SOAP
 * 1.1, section 4.4).
 *
 * NuSOAP takes a SOAP 1.2 shaped fault for success, so a 1.1 request never gets one.
 */
export function encodeFault(call: Pick<SoapCall, 'soap'> | undefined, error: AgentError): string {
  const { fault, retry } = ERRORS[error.code];
  const client: MessageFault = error instanceof MalformedMessage ? error.faultcode : 'Client';
  const faultcode = fault === 'caller' ? client : 'Server';
  const message = escapeXml(error.message);
  const detail =
    faultcode === 'Client' || faultcode === 'Server'
      ? `<fault xmlns="${DTC_XEN}"><code>${error.code}</code><message>${message}</message><retry>${retry}</retry></fault>`
      : '';
  return versionToAnswer(call, error) === '1.1'
    ? fault11(faultcode, message, detail)
    : fault12(faultcode, message, detail);
}

function fault11(faultcode: string, message: string, detail: string): string {
  return (
    `<?xml version="1.0" encoding="UTF-8"?>\n<SOAP-ENV:Envelope xmlns:SOAP-ENV="${ENVELOPE['1.1']}"><SOAP-ENV:Body>` +
    `<SOAP-ENV:Fault><faultcode>SOAP-ENV:${faultcode}</faultcode><faultstring>${message}</faultstring>` +
    `${detail && `<detail>${detail}</detail>`}</SOAP-ENV:Fault></SOAP-ENV:Body></SOAP-ENV:Envelope>\n`
  );
}

const CODES_12: ReadonlyMap<string, string> = new Map([
  ['Client', 'Sender'],
  ['Server', 'Receiver'],
]);

function fault12(faultcode: string, message: string, detail: string): string {
  return (
    `<?xml version="1.0" encoding="UTF-8"?>\n<S:Envelope xmlns:S="${ENVELOPE['1.2']}"><S:Body><S:Fault>` +
    `<S:Code><S:Value>S:${CODES_12.get(faultcode) ?? faultcode}</S:Value></S:Code>` +
    `<S:Reason><S:Text xml:lang="en">${message}</S:Text></S:Reason>` +
    `${detail && `<S:Detail>${detail}</S:Detail>`}</S:Fault></S:Body></S:Envelope>\n`
  );
}
