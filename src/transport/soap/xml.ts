import { SaxesParser } from 'saxes';
import { MalformedMessage } from './malformed.ts';
import { type Fail, type RawAttribute, Scope, splitName } from './scope.ts';

/** What a request may hold at most; a real one holds a tenth of it. */
export const LIMITS = Object.freeze({
  document_chars: 256 * 1024,
  text_chars: 128 * 1024,
  depth: 32,
  elements: 1000,
  attributes_per_element: 32,
  attribute_chars: 2048,
  namespaces: 100,
  name_chars: 128,
});

/** An element, its names resolved. */
export interface XmlElement {
  /** Namespace, '' where it has none. */
  readonly uri: string;
  readonly local: string;
  /** By `{namespace}local`, or `local` where the attribute has no namespace; without the namespace declarations. */
  readonly attributes: ReadonlyMap<string, string>;
  readonly children: readonly XmlElement[];
  /** Its own character data, without that of its children. */
  readonly text: string;
  /** Where its start tag ends, as a person finds it: `line 1, column 20`. */
  readonly at: string;
  /** The prefixes in force here, for names in values (xsi:type). */
  readonly scope: Scope;
}

interface OpenElement extends XmlElement {
  readonly children: XmlElement[];
  text: string;
}

/**
 * Reads an XML 1.0 document with namespaces into a tree, under {@link LIMITS}; the first error ends it. Stricter than XML:
 * no DOCTYPE, no processing instruction.
 *
 * @param onRoot called with the root's start tag, before its content is read; what it throws ends the reading
 * @throws AgentError malformed_request, with line and column
 */
export function readXml(text: string, onRoot: (root: XmlElement) => void): XmlElement {
  const parser = new SaxesParser({ xmlns: false, defaultXMLVersion: '1.0', forceXMLVersion: true });
  const here = () => `line ${parser.line}, column ${parser.column}`;
  const fail: Fail = (what) => {
    throw new MalformedMessage(`The request cannot be read at ${here()}: ${what}.`);
  };
  const cap = (count: number, limit: keyof typeof LIMITS, what: string) => {
    if (count > LIMITS[limit]) fail(`${what} (at most ${LIMITS[limit]})`);
  };

  const open: OpenElement[] = [];
  let root: XmlElement | undefined;
  let attributes: RawAttribute[] = [];
  let [elements, namespaces, text_chars] = [0, 0, 0];

  parser.on('error', ({ message }) => {
    // saxes: `line:column: what is wrong: the name`; the name may be anything, and is left out.
    fail(/^\d+:\d+: ([^:]*[^:.])/.exec(message)?.[1] ?? 'it is not well-formed');
  });
  parser.on('xmldecl', ({ version }) => {
    if (version !== '1.0') fail('it is not XML 1.0');
  });
  parser.on('doctype', () => fail('a DOCTYPE is not allowed'));
  parser.on('processinginstruction', () => fail('a processing instruction is not allowed'));
  parser.on('opentagstart', ({ name }) => {
    cap(++elements, 'elements', 'it has too many elements');
    cap(open.length + 1, 'depth', 'its elements are nested too deeply');
    cap(name.length, 'name_chars', 'a name is too long');
  });
  parser.on('attribute', ({ name, value }) => {
    attributes.push({ name, value });
    cap(attributes.length, 'attributes_per_element', 'an element has too many attributes');
    cap(name.length, 'name_chars', 'a name is too long');
    cap(value.length, 'attribute_chars', 'an attribute is too long');
  });
  parser.on('opentag', ({ name }) => {
    const parent = open.at(-1);
    const { scope, declarations } = (parent?.scope ?? Scope.ROOT).within(attributes, fail);
    namespaces += declarations;
    cap(namespaces, 'namespaces', 'it has too many namespace declarations');
    const [prefix, local] = splitName(name, fail);
    const element: OpenElement = {
      uri: scope.resolve(prefix, fail),
      local,
      attributes: scope.nameAttributes(attributes, fail),
      children: [],
      text: '',
      at: here(),
      scope,
    };
    attributes = [];
    open.push(element);
    parent?.children.push(element);
    if (!parent) {
      root = element;
      onRoot(element);
    }
  });
  parser.on('closetag', () => open.pop());

  const append = (piece: string) => {
    text_chars += piece.length;
    cap(text_chars, 'text_chars', 'it has too much text');
    const current = open.at(-1);
    if (current) current.text += piece;
  };
  parser.on('text', append);
  parser.on('cdata', append);

  cap(text.length, 'document_chars', 'it is too long');
  parser.write(text).close();
  return root ?? fail('it is empty');
}
