import { quoteName } from '../../core/bind.ts';
import { MalformedMessage } from './malformed.ts';

/** What a request's headers say of how its body is written. */
export interface Media {
  readonly content_type: string | undefined;
  readonly content_encoding: string | undefined;
}

/** Media types of messages in parts, and of parts of them. */
const IN_PARTS = /^(?:multipart\/[^;]*|application\/(?:xop\+xml|dime))$/;

/**
 * Makes sure that a body is an envelope as it stands, and not packed or in parts. Any other media type is none of our business: curl
 * says application/x-www-form-urlencoded.
 *
 * @throws AgentError malformed_request, with what to send instead
 */
export function requirePlain({ content_type = '', content_encoding = 'identity' }: Media): void {
  const soap = /application\/soap\+xml/i.test(content_type) ? '1.2' : '1.1';
  if (content_encoding.trim().toLowerCase() !== 'identity') {
    throw new MalformedMessage(
      `The request's Content-Encoding is ${content_encoding.replace(/[^\x20-\x7e]/g, '?').slice(0, 40)}, and compressed requests are not supported: send it without.`,
      { soap },
    );
  }
  const type = (content_type.split(';')[0] ?? '').trim().toLowerCase();
  if (IN_PARTS.test(type)) {
    throw new MalformedMessage(
      `The request is ${quoteName(type)} (MTOM, or SOAP with attachments), which is not supported: send the envelope alone, as text/xml, with every value in it.`,
      { soap },
    );
  }
}
