import { SaxesParser } from 'saxes';
import { quoteName } from '../../core/bind.ts';
import { MalformedMessage } from './malformed.ts';
import { XML_NAMESPACE, XMLNS_NAMESPACE } from './namespaces.ts';

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
  /** Where it starts, as a person finds it: `line 1, column 20`. */
  readonly at: string;
  /** The namespace that a prefix stands for here; undefined where it was not declared. */
  resolve(prefix: string): string | undefined;
}

/** Prefix -> namespace, declared here or further out. */
interface Scope {
  readonly outer: Scope | undefined;
  readonly declared: ReadonlyMap<string, string>;
}

interface OpenElement extends XmlElement {
  readonly children: XmlElement[];
  readonly scope: Scope;
  text: string;
}

interface Attribute {
  readonly name: string;
  readonly value: string;
}

const ROOT_SCOPE: Scope = {
  outer: undefined,
  declared: new Map([
    ['xml', XML_NAMESPACE],
    ['xmlns', XMLNS_NAMESPACE],
  ]),
};

function lookUp(scope: Scope | undefined, prefix: string): string | undefined {
  for (let at = scope; at; at = at.outer) {
    const uri = at.declared.get(prefix);
    if (uri !== undefined) return uri;
  }
  return undefined;
}

/**
 * Reads an XML 1.0 document with namespaces into a tree, under {@link LIMITS}; the first error ends it.
 *
 * It is stricter than XML (no DOCTYPE, no processing instruction) and laxer than Namespaces in XML in one point: PHP's
 * SoapClient with an empty uri declares `xmlns:ns1=""`, and means no namespace.
 *
 * @param onRoot called with the root's start tag, before its content is read; what it throws ends the reading
 * @throws AgentError malformed_request, with line and column
 */
export function readXml(text: string, onRoot: (root: XmlElement) => void): XmlElement {
  const parser = new SaxesParser({ xmlns: false, defaultXMLVersion: '1.0', forceXMLVersion: true });
  const open: OpenElement[] = [];
  let root: XmlElement | undefined;
  let attributes: Attribute[] = [];
  let elements = 0;
  let namespaces = 0;
  let text_chars = 0;

  const here = () => `line ${parser.line}, column ${parser.column}`;
  const fail = (what: string): never => {
    throw new MalformedMessage(`The request cannot be read at ${here()}: ${what}.`);
  };
  const cap = (count: number, limit: keyof typeof LIMITS, what: string) => {
    if (count > LIMITS[limit]) fail(`${what} (at most ${LIMITS[limit]})`);
  };

  const split = (name: string): [prefix: string, local: string] => {
    cap(name.length, 'name_chars', 'a name is too long');
    const colon = name.indexOf(':');
    if (colon === -1) return ['', name];
    const [prefix, local] = [name.slice(0, colon), name.slice(colon + 1)];
    if (!prefix || !local || local.includes(':')) fail('a name has its colon in a wrong place');
    return [prefix, local];
  };
  const resolve = (scope: Scope, prefix: string): string =>
    lookUp(scope, prefix) ?? (prefix === '' ? '' : fail(`the prefix ${quoteName(prefix)} is not declared`));

  const scopeOf = (outer: Scope): Scope => {
    const declared = new Map<string, string>();
    for (const { name, value } of attributes) {
      const [prefix, local] = split(name);
      if (prefix !== 'xmlns' && name !== 'xmlns') continue;
      if (prefix && (local === 'xmlns' || (local === 'xml') !== (value === XML_NAMESPACE))) {
        fail('a reserved prefix is declared');
      }
      declared.set(prefix ? local : '', value);
    }
    namespaces += declared.size;
    cap(namespaces, 'namespaces', 'it has too many namespace declarations');
    return declared.size === 0 ? outer : { outer, declared };
  };
  const namedAttributes = (scope: Scope): Map<string, string> => {
    const named = new Map<string, string>();
    for (const { name, value } of attributes) {
      const [prefix, local] = split(name);
      if (prefix === 'xmlns' || name === 'xmlns') continue;
      const uri = prefix === '' ? '' : resolve(scope, prefix);
      const key = uri === '' ? local : `{${uri}}${local}`;
      if (named.has(key)) fail('an attribute is there twice');
      named.set(key, value);
    }
    return named;
  };

  const append = (piece: string) => {
    text_chars += piece.length;
    cap(text_chars, 'text_chars', 'it has too much text');
    const current = open.at(-1);
    if (current) current.text += piece;
  };

  parser.on('error', (error) => {
    // saxes: `line:column: what is wrong: the name`; the name may be anything, and is left out.
    fail(/^\d+:\d+: ([^:]*[^:.])/.exec(error.message)?.[1] ?? 'it is not well-formed');
  });
  parser.on('xmldecl', ({ version }) => {
    if (version !== '1.0') fail('it is not XML 1.0');
  });
  parser.on('doctype', () => fail('a DOCTYPE is not allowed'));
  parser.on('processinginstruction', () => fail('a processing instruction is not allowed'));
  parser.on('opentagstart', () => {
    cap(++elements, 'elements', 'it has too many elements');
    cap(open.length + 1, 'depth', 'its elements are nested too deeply');
  });
  parser.on('attribute', ({ name, value }) => {
    attributes.push({ name, value });
    cap(attributes.length, 'attributes_per_element', 'an element has too many attributes');
    cap(value.length, 'attribute_chars', 'an attribute is too long');
  });
  parser.on('opentag', ({ name }) => {
    const parent = open.at(-1);
    const scope = scopeOf(parent?.scope ?? ROOT_SCOPE);
    const [prefix, local] = split(name);
    const element: OpenElement = {
      uri: resolve(scope, prefix),
      local,
      attributes: namedAttributes(scope),
      children: [],
      scope,
      text: '',
      at: here(),
      resolve: (wanted) => lookUp(scope, wanted),
    };
    attributes = [];
    open.push(element);
    if (parent) parent.children.push(element);
    else {
      root = element;
      onRoot(element);
    }
  });
  parser.on('closetag', () => open.pop());
  parser.on('text', append);
  parser.on('cdata', append);

  cap(text.length, 'document_chars', 'it is too long');
  parser.write(text).close();
  return root ?? fail('it is empty');
}
