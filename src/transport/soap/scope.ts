import { quoteName } from '../../core/bind.ts';
import { XML_NAMESPACE, XMLNS_NAMESPACE } from './namespaces.ts';

/** An attribute as it stands in the document. */
export interface RawAttribute {
  readonly name: string;
  readonly value: string;
}

/** Ends the reading with what is wrong. */
export type Fail = (what: string) => never;

/** A name's prefix ('' where it has none) and local part (Namespaces in XML 1.0, section 4). */
export function splitName(name: string, fail: Fail): [prefix: string, local: string] {
  const colon = name.indexOf(':');
  if (colon === -1) return ['', name];
  const [prefix, local] = [name.slice(0, colon), name.slice(colon + 1)];
  if (!prefix || !local || local.includes(':')) fail('a name has its colon in a wrong place');
  return [prefix, local];
}

/**
 * The namespace prefixes in force at an element.
 *
 * Laxer than Namespaces in XML in one point: PHP's SoapClient with an empty uri declares `xmlns:ns1=""`, and means no
 * namespace.
 */
export class Scope {
  /** What is in force before the document declares anything. */
  static readonly ROOT = new Scope(
    undefined,
    new Map([
      ['xml', XML_NAMESPACE],
      ['xmlns', XMLNS_NAMESPACE],
    ]),
  );
  readonly #outer: Scope | undefined;
  readonly #declared: ReadonlyMap<string, string>;

  private constructor(outer: Scope | undefined, declared: ReadonlyMap<string, string>) {
    this.#outer = outer;
    this.#declared = declared;
  }

  /** The scope of an element with these attributes, and how many declarations are among them. */
  within(attributes: readonly RawAttribute[], fail: Fail): { scope: Scope; declarations: number } {
    const declared = new Map<string, string>();
    for (const { name, value } of attributes) {
      if (!isDeclaration(name)) continue;
      const prefix = name === 'xmlns' ? '' : splitName(name, fail)[1];
      if (prefix === 'xmlns' || (prefix === 'xml') !== (value === XML_NAMESPACE)) {
        fail('a reserved prefix or namespace is declared');
      }
      declared.set(prefix, value);
    }
    return { scope: declared.size > 0 ? new Scope(this, declared) : this, declarations: declared.size };
  }

  /** The namespace that a prefix stands for; undefined where it was not declared. */
  lookUp(prefix: string): string | undefined {
    return this.#declared.get(prefix) ?? this.#outer?.lookUp(prefix);
  }

  /** The namespace of an element's prefix, '' where it has none. */
  resolve(prefix: string, fail: Fail): string {
    const uri = this.lookUp(prefix);
    if (uri !== undefined) return uri;
    return prefix === '' ? '' : fail(`the prefix ${quoteName(prefix)} is not declared`);
  }

  /** The attributes that are no declarations, by `{namespace}local`, or `local` where they have no namespace. */
  nameAttributes(attributes: readonly RawAttribute[], fail: Fail): ReadonlyMap<string, string> {
    const named = new Map<string, string>();
    for (const { name, value } of attributes) {
      if (isDeclaration(name)) continue;
      const [prefix, local] = splitName(name, fail);
      const uri = prefix === '' ? '' : this.resolve(prefix, fail);
      const key = uri === '' ? local : `{${uri}}${local}`;
      if (named.has(key)) fail('an attribute is there twice');
      named.set(key, value);
    }
    return named;
  }
}

const isDeclaration = (name: string) => name === 'xmlns' || name.startsWith('xmlns:');
