import { quoteName } from '../../core/bind.ts';
import type { SoapCall } from '../../core/call.ts';
import { MalformedMessage } from './malformed.ts';
import { DTC_XEN, ENCODING, ENVELOPE } from './namespaces.ts';
import { childrenOf, indexIds, malformedAt, ValueReader } from './value.ts';
import { readXml, type XmlElement } from './xml.ts';

type SoapVersion = SoapCall['soap'];

/** The actors and roles that mean the one who reads this (SOAP 1.1, 4.2.2; SOAP 1.2, 2.2). */
const OUR_ROLES: ReadonlySet<string> = new Set([
  '',
  'http://schemas.xmlsoap.org/soap/actor/next',
  `${ENVELOPE['1.2']}/role/next`,
  `${ENVELOPE['1.2']}/role/ultimateReceiver`,
]);

/**
 * Reads a SOAP request of either dialect and either SOAP version.
 *
 * @throws AgentError malformed_request (a {@link MalformedMessage}, which knows the version to answer in)
 */
export function readSoapCall(text: string): SoapCall {
  let soap: SoapVersion = '1.1';
  try {
    const envelope = readXml(text, (root) => {
      soap = versionOf(root);
    });
    return readEnvelope(envelope, soap);
  } catch (error) {
    if (!(error instanceof MalformedMessage)) throw error;
    throw new MalformedMessage(error.message, { faultcode: error.faultcode, soap, cause: error });
  }
}

function versionOf(root: XmlElement): SoapVersion {
  if (root.local !== 'Envelope') {
    throw new MalformedMessage(`The request is no SOAP envelope: it starts with ${quoteName(root.local)}.`);
  }
  if (root.uri === ENVELOPE['1.1']) return '1.1';
  if (root.uri === ENVELOPE['1.2']) return '1.2';
  throw new MalformedMessage("The envelope's namespace is neither SOAP 1.1's nor SOAP 1.2's.", {
    faultcode: 'VersionMismatch',
  });
}

function readEnvelope(envelope: XmlElement, soap: SoapVersion): SoapCall {
  const parts = childrenOf(envelope);
  const [header, body] = parts[0]?.local === 'Header' ? parts : [undefined, parts[0]];
  if (parts.some((part) => part.uri !== envelope.uri) || body?.local !== 'Body' || parts.at(-1) !== body) {
    throw malformedAt(envelope, 'an envelope holds one Body, after at most one Header');
  }
  if (header) checkHeader(header);

  const operation = operationOf(body);
  const { local, uri } = operation;
  const isEncoded = [envelope, body, operation].some(({ attributes }) =>
    attributes.get(`{${envelope.uri}}encodingStyle`)?.split(/\s+/).includes(ENCODING['1.1']),
  );
  const dialect = uri === '' || isEncoded ? 'legacy' : 'modern';
  if (dialect === 'modern' && uri !== DTC_XEN) {
    throw malformedAt(operation, `${quoteName(local)} is not in the namespace ${DTC_XEN}`);
  }
  if (dialect === 'modern' && childrenOf(body).length > 1) throw tooMany(body);
  const params = new ValueReader(dialect, indexIds(body)).params(operation);
  return { dialect, soap, operation: local, namespace: uri, params };
}

/** Nothing in a header is for us; what insists on being understood is refused (SOAP 1.1, 4.2.3). */
function checkHeader(header: XmlElement): void {
  for (const { attributes, local } of childrenOf(header)) {
    const own = (name: string) => attributes.get(`{${header.uri}}${name}`)?.trim();
    const isForUs = OUR_ROLES.has(own('actor') ?? own('role') ?? '');
    if (isForUs && ['1', 'true'].includes(own('mustUnderstand') ?? '')) {
      throw new MalformedMessage(`The header ${quoteName(local)} must be understood, and is not.`, {
        faultcode: 'MustUnderstand',
      });
    }
  }
}

/**
 * The operation: the Body's only child, beside the values with an id that SOAPpy and .NET put next to it. .NET's formatter gives the
 * operation an id, too: then it is the one that nothing refers to (SOAP 1.1, section 5.6).
 */
function operationOf(body: XmlElement): XmlElement {
  const children = childrenOf(body);
  const plain = children.filter(({ attributes }) => !attributes.has('id'));
  const referred = new Set(referencesBelow(body));
  const roots = children.filter(({ attributes }) => !referred.has(`#${attributes.get('id')}`));
  const [operation, ...others] = plain.length > 0 ? plain : roots;
  if (!operation) throw malformedAt(body, 'the Body holds no operation');
  if (others.length > 0) throw tooMany(body);
  if (operation.attributes.has('href')) throw malformedAt(operation, 'the operation is a reference');
  return operation;
}

function referencesBelow({ attributes, children }: XmlElement): string[] {
  const own = attributes.get('href');
  return [...(own === undefined ? [] : [own]), ...children.flatMap(referencesBelow)];
}

const tooMany = (body: XmlElement) => malformedAt(body, 'the Body holds more than one operation');
