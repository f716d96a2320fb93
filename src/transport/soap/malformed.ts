import { AgentError } from '../../core/errors.ts';

/** The SOAP fault that a message which cannot be read gets; `Client` is told as `Sender` in SOAP 1.2. */
export type MessageFault = 'Client' | 'VersionMismatch' | 'MustUnderstand';

/** A message that is no call: `malformed_request`, with the SOAP version to answer in, as far as it was seen. */
export class MalformedMessage extends AgentError {
  readonly faultcode: MessageFault;
  readonly soap: '1.1' | '1.2';

  constructor(
    message: string,
    more: { faultcode?: MessageFault; soap?: '1.1' | '1.2'; cause?: unknown } = {},
  ) {
    super('malformed_request', message, { cause: more.cause });
    this.name = 'MalformedMessage';
    this.faultcode = more.faultcode ?? 'Client';
    this.soap = more.soap ?? '1.1';
  }
}
