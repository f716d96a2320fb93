// A panel's rpc/encoded call, byte for byte as NuSOAP writes it, and its answer decoded by xsi:type as NuSOAP decodes it.
import { request } from 'node:https';
import { SaxesParser } from 'saxes';

/** A decoded value: struct as object, SOAP-ENC:Array as array, xsd:int/integer/double as numbers, nil as null. */
export type Decoded = string | number | null | Decoded[] | { [key: string]: Decoded };

/** A SOAP fault that the agent answered. */
export class LegacyFault extends Error {
  readonly faultcode: string;
  constructor(faultcode: string, faultstring: string) {
    super(faultstring);
    this.faultcode = faultcode;
  }
}

export interface Endpoint {
  readonly url: string;
  readonly ca: string;
  readonly user: string;
  readonly password: string;
}

export interface HttpAnswer {
  readonly status: number;
  readonly headers: Record<string, string | string[] | undefined>;
  readonly body: string;
}

const escapeXml = (text: string) =>
  text.replace(
    /[&<>"']/g,
    (c) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&apos;' })[c] ?? c,
  );

/** The envelope that NuSOAP sends without a WSDL. */
export function legacyEnvelope(operation: string, params: Readonly<Record<string, string | number>>): string {
  const fields = Object.entries(params).map(([name, value]) => {
    const type = typeof value === 'number' ? 'xsd:int' : 'xsd:string';
    return `<${name} xsi:type="${type}">${escapeXml(String(value))}</${name}>`;
  });
  return `<?xml version="1.0" encoding="ISO-8859-1"?><SOAP-ENV:Envelope SOAP-ENV:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/" xmlns:SOAP-ENV="http://schemas.xmlsoap.org/soap/envelope/" xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:SOAP-ENC="http://schemas.xmlsoap.org/soap/encoding/"><SOAP-ENV:Body><${operation}>${fields.join('')}</${operation}></SOAP-ENV:Body></SOAP-ENV:Envelope>`;
}

/** Posts a body as it is. */
export function post(
  endpoint: Endpoint,
  body: string | Buffer,
  headers: Record<string, string> = {},
): Promise<HttpAnswer> {
  return new Promise((resolve, reject) => {
    const call = request(endpoint.url, {
      method: 'POST',
      ca: endpoint.ca,
      agent: false,
      auth: `${endpoint.user}:${endpoint.password}`,
      headers: {
        'content-type': 'text/xml; charset=ISO-8859-1',
        soapaction: '""',
        'content-length': Buffer.byteLength(body),
        ...headers,
      },
    });
    call.on('error', reject);
    call.on('response', (answer) => {
      const chunks: Buffer[] = [];
      answer.on('error', reject);
      answer.on('data', (chunk: Buffer) => chunks.push(chunk));
      answer.on('end', () =>
        resolve({
          status: answer.statusCode ?? 0,
          headers: answer.headers,
          body: Buffer.concat(chunks).toString(),
        }),
      );
    });
    call.end(body);
  });
}

interface Node {
  readonly name: string;
  readonly type: string;
  readonly nil: boolean;
  readonly children: Node[];
  text: string;
}

function parse(xml: string): Node {
  const root: Node = { name: '', type: '', nil: false, children: [], text: '' };
  const stack = [root];
  const parser = new SaxesParser();
  parser.on('error', (error) => {
    throw error;
  });
  parser.on('opentag', ({ name, attributes }) => {
    const node: Node = {
      name: name.replace(/^.*:/, ''),
      type: String(attributes['xsi:type'] ?? ''),
      nil: attributes['xsi:nil'] === 'true',
      children: [],
      text: '',
    };
    stack.at(-1)?.children.push(node);
    stack.push(node);
  });
  parser.on('text', (text) => {
    const node = stack.at(-1);
    if (node) node.text += text;
  });
  parser.on('closetag', () => void stack.pop());
  parser.write(xml).close();
  return root;
}

function decode(node: Node): Decoded {
  if (node.nil) return null;
  if (node.type === 'SOAP-ENC:Array') return node.children.map(decode);
  if (node.type === 'SOAP-ENC:Struct') {
    return Object.fromEntries(node.children.map((child) => [child.name, decode(child)]));
  }
  if (['xsd:int', 'xsd:integer', 'xsd:double'].includes(node.type)) return Number(node.text);
  if (node.type === 'xsd:string') return node.text;
  throw new Error(`a value of type '${node.type}' in <${node.name}>, which a panel would not understand`);
}

const child = (node: Node | undefined, name: string) =>
  node?.children.find((candidate) => candidate.name === name);

/** Decodes the body of a legacy answer. */
export function decodeAnswer(operation: string, answer: HttpAnswer): Decoded {
  const body = child(child(parse(answer.body), 'Envelope'), 'Body');
  const fault = child(body, 'Fault');
  if (fault)
    throw new LegacyFault(child(fault, 'faultcode')?.text ?? '', child(fault, 'faultstring')?.text ?? '');
  if (answer.status !== 200) throw new Error(`HTTP ${answer.status}`);
  const result = child(child(body, `${operation}Response`), 'Result');
  if (!result) throw new Error(`no Result in: ${answer.body}`);
  return decode(result);
}

/** Calls an operation as the panel does. */
export async function callLegacy(
  endpoint: Endpoint,
  operation: string,
  params: Readonly<Record<string, string | number>> = {},
): Promise<Decoded> {
  return decodeAnswer(operation, await post(endpoint, legacyEnvelope(operation, params)));
}
