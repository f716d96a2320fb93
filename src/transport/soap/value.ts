import { quoteName } from '../../core/bind.ts';
import type { Param, ParamValue } from '../../core/call.ts';
import { MalformedMessage } from './malformed.ts';
import { DTC_XEN, ENCODING, SCHEMA_INSTANCES } from './namespaces.ts';
import { LIMITS, type XmlElement } from './xml.ts';

/** Elements by their `id`, for references to them. */
export type Ids = ReadonlyMap<string, XmlElement>;

const ENCODINGS: readonly string[] = Object.values(ENCODING);
const BINARY: ReadonlySet<string> = new Set(['base64', 'base64Binary', 'hexBinary']);

/** An error at an element. */
export function malformedAt(element: XmlElement, what: string): MalformedMessage {
  return new MalformedMessage(`The request cannot be used at ${element.at}: ${what}.`);
}

/** The child elements of one that may hold nothing else but white space. */
export function childrenOf(element: XmlElement): readonly XmlElement[] {
  if (/[^ \t\r\n]/.test(element.text)) {
    throw malformedAt(element, `${quoteName(element.local)} holds text where elements are expected`);
  }
  return element.children;
}

/**
 * Indexes everything below an element that can be referred to.
 *
 * @throws AgentError malformed_request where an id is there twice
 */
export function indexIds(body: XmlElement): Ids {
  const ids = new Map<string, XmlElement>();
  const visit = (element: XmlElement) => {
    const id = element.attributes.get('id');
    if (id !== undefined) {
      if (ids.has(id)) throw malformedAt(element, 'its id is there twice');
      ids.set(id, element);
    }
    element.children.forEach(visit);
  };
  body.children.forEach(visit);
  return ids;
}

/** The xsi:type as namespace and name; undefined where there is none. */
function typeOf(element: XmlElement): { uri: string; local: string } | undefined {
  const type = attributeIn(element, SCHEMA_INSTANCES, 'type')?.trim();
  if (type === undefined) return undefined;
  const colon = type.indexOf(':');
  const uri = element.scope.lookUp(colon === -1 ? '' : type.slice(0, colon));
  if (uri === undefined && colon !== -1) throw malformedAt(element, 'the prefix of its type is not declared');
  return { uri: uri ?? '', local: type.slice(colon + 1) };
}

function attributeIn(element: XmlElement, uris: readonly string[], local: string): string | undefined {
  for (const uri of uris) {
    const value = element.attributes.get(`{${uri}}${local}`);
    if (value !== undefined) return value;
  }
  return undefined;
}

function isNil(element: XmlElement): boolean {
  const nil = attributeIn(element, SCHEMA_INSTANCES, 'nil') ?? attributeIn(element, SCHEMA_INSTANCES, 'null');
  return nil === 'true' || nil === '1';
}

function isArray(element: XmlElement): boolean {
  const type = typeOf(element);
  if (type && ENCODINGS.includes(type.uri) && type.local === 'Array') return true;
  if (ENCODINGS.includes(element.uri) && element.local === 'Array') return true;
  return ['arrayType', 'itemType', 'arraySize'].some(
    (name) => attributeIn(element, ENCODINGS, name) !== undefined,
  );
}

/**
 * Reads the operation's parameters, in either dialect.
 *
 * References (SOAP 1.1, section 5) are followed under a budget, so that neither a cycle nor a fan-out costs more than the
 * largest request without any.
 */
export class ValueReader {
  readonly #dialect: 'legacy' | 'modern';
  readonly #ids: Ids;
  #budget: number = LIMITS.elements;

  constructor(dialect: 'legacy' | 'modern', ids: Ids) {
    this.#dialect = dialect;
    this.#ids = ids;
  }

  /** @throws AgentError malformed_request */
  params(operation: XmlElement): Param[] {
    return childrenOf(operation).map((child) => {
      if (this.#dialect === 'modern' && child.uri !== DTC_XEN && child.uri !== '') {
        throw malformedAt(child, `${quoteName(child.local)} is not in the namespace ${DTC_XEN}`);
      }
      return { name: child.local, value: this.#value(child, 0) };
    });
  }

  #value(element: XmlElement, depth: number): ParamValue {
    if (--this.#budget < 0) throw malformedAt(element, 'its references make it too large');
    if (depth > LIMITS.depth) throw malformedAt(element, 'its references go in a circle, or too deep');
    const referred = this.#follow(element);
    if (referred) return this.#value(referred, depth + 1);
    if (isNil(element)) return null;
    if (isArray(element)) return this.#items(element).map((item) => this.#value(item, depth + 1));
    if (element.children.length === 0) return this.#text(element);
    const members = childrenOf(element).map((child) => ({
      name: child.local,
      value: this.#value(child, depth + 1),
    }));
    return { members };
  }

  #follow(element: XmlElement): XmlElement | undefined {
    if (attributeIn(element, [ENCODING['1.2']], 'ref') !== undefined) {
      throw malformedAt(element, 'SOAP 1.2 references are not understood; send the value itself');
    }
    const href = element.attributes.get('href');
    if (href === undefined) return undefined;
    const referred = href.startsWith('#') ? this.#ids.get(href.slice(1)) : undefined;
    if (this.#dialect === 'modern' || !referred) throw malformedAt(element, 'its href leads nowhere');
    if (childrenOf(element).length > 0) throw malformedAt(element, 'it has both an href and content');
    return referred;
  }

  #items(array: XmlElement): readonly XmlElement[] {
    const sparse = [array, ...array.children].find((element) =>
      ['offset', 'position'].some((name) => attributeIn(element, ENCODINGS, name) !== undefined),
    );
    if (sparse) throw malformedAt(sparse, 'sparse and partial arrays are not understood');
    return childrenOf(array);
  }

  #text(element: XmlElement): string {
    const type = typeOf(element);
    if (type && BINARY.has(type.local))
      throw malformedAt(element, 'binary values are not understood; send text');
    return element.text;
  }
}
