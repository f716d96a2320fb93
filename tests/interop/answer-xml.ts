// Reads an answer that curl brought, as the XML itself types it, and more strictly than any client does.
import { SaxesParser, type SaxesTagNS } from 'saxes';
import type { Line } from './calls.ts';

const XSI = 'http://www.w3.org/2001/XMLSchema-instance';
const ENVELOPE = 'http://schemas.xmlsoap.org/soap/envelope/';

interface Element {
  readonly uri: string;
  readonly local: string;
  readonly type: string | undefined;
  readonly arrayType: string | undefined;
  readonly children: Element[];
  text: string;
}

function parse(xml: string): Element {
  const root: Element = { uri: '', local: '', type: undefined, arrayType: undefined, children: [], text: '' };
  const open = [root];
  const parser = new SaxesParser({ xmlns: true });
  parser.on('error', (error) => {
    throw error;
  });
  parser.on('opentag', ({ uri, local, attributes }: SaxesTagNS) => {
    const attribute = (name: string, ns?: string) =>
      Object.values(attributes).find((each) => each.local === name && (ns === undefined || each.uri === ns))
        ?.value;
    const element: Element = {
      uri,
      local,
      type: attribute('type', XSI),
      arrayType: attribute('arrayType'),
      children: [],
      text: '',
    };
    open.at(-1)?.children.push(element);
    open.push(element);
  });
  parser.on('text', (text) => {
    const element = open.at(-1);
    if (element) element.text += text;
  });
  parser.on('closetag', () => void open.pop());
  parser.write(xml).close();
  return root;
}

const members = ({ children }: Element) => children.map((child) => [child.local, child] as const);

/** A typed value, as NuSOAP needs it: every element has its xsi:type, every array says how many items it has. */
function encoded(element: Element): unknown {
  const { type, text, children, arrayType } = element;
  if (type === 'xsd:string') return text;
  if (type === 'xsd:double' && /[.eE]/.test(text)) return { float: Number(text) };
  const narrow = Math.abs(Number(text)) < 2 ** 31;
  if (type === (narrow ? 'xsd:int' : 'xsd:integer') && /^-?[0-9]+$/.test(text)) return { int: text };
  if (type === 'SOAP-ENC:Array' && arrayType?.endsWith(`[${children.length}]`)) return children.map(encoded);
  if (type === 'SOAP-ENC:Struct') {
    return { dict: Object.fromEntries(members(element).map(([name, child]) => [name, encoded(child)])) };
  }
  throw new Error(`<${element.local}> of type ${type} holds '${text}'`);
}

/** An untyped value: text, or a structure; repeated elements are a list. */
function literal(element: Element): unknown {
  if (element.children.length === 0) return element.text;
  const dict: Record<string, unknown> = {};
  for (const [name, child] of members(element)) {
    const before = dict[name];
    const value = literal(child);
    dict[name] = before === undefined ? value : [before, value].flat();
  }
  return { dict };
}

function find(element: Element | undefined, ...path: string[]): Element | undefined {
  return path.reduce((at, name) => at?.children.find(({ local }) => local === name), element);
}

/** What curl.sh tells of an answer. */
export interface CurlLine {
  readonly operation: string;
  readonly status: number;
  readonly content_type: string;
  readonly body_base64: string;
}

/**
 * Reads an answer as a client would.
 *
 * @throws Error where a legacy value lacks its type, or the envelope is not what the dialect has
 */
export function readAnswer(dialect: 'legacy' | 'modern', line: CurlLine): Line {
  const { operation, status, content_type } = line;
  const xml = Buffer.from(line.body_base64, 'base64').toString();
  if (xml === '') return { operation, error: `HTTP ${status}` };
  const charset = dialect === 'legacy' ? 'UTF-8' : 'utf-8';
  if (content_type !== `text/xml; charset=${charset}`) throw new Error(`${operation}: ${content_type}`);
  const body = find(parse(xml), 'Envelope', 'Body');
  const fault = find(body, 'Fault');
  if (fault?.uri === ENVELOPE && status === 500) {
    return {
      operation,
      fault: {
        code: find(fault, 'faultcode')?.text.replace(/^.*:/, '') ?? '',
        message: find(fault, 'faultstring')?.text ?? '',
        detail_code: find(fault, 'detail', 'fault', 'code')?.text ?? null,
      },
    };
  }
  const response = find(body, `${operation}Response`);
  if (!response || status !== 200) throw new Error(`${operation}: HTTP ${status} with ${xml}`);
  if (dialect === 'modern') return { operation, result: literal(response) };
  const [result, more] = response.children;
  if (result?.local !== 'Result' || more) throw new Error(`${operation}: not one Result in ${xml}`);
  return { operation, result: encoded(result) };
}
