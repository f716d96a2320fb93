/** What a parameter may hold once the XML is read: text, nil, a list, or named members. */
export type ParamValue = string | null | readonly ParamValue[] | ParamStruct;

/** A compound parameter (SOAP-ENC:Struct, or nested elements); kept in document order, names may repeat. */
export interface ParamStruct {
  readonly members: readonly Param[];
}

/** A parameter as the request named it: `vpsname`, or positional `v1`, `param0`, `__numeric_0`. */
export interface Param {
  readonly name: string;
  readonly value: ParamValue;
}

/** A SOAP request, whatever dialect it came in. */
export interface SoapCall {
  /** legacy: rpc/encoded, no WSDL; modern: document/literal wrapped in `urn:dtc-xen` (facts: which dialect). */
  readonly dialect: 'legacy' | 'modern';
  readonly soap: '1.1' | '1.2';
  readonly operation: string;
  /** Namespace of the operation element, '' where it had none. */
  readonly namespace: string;
  readonly params: readonly Param[];
}

/** Who calls: the name that Basic authentication proved, and from where. */
export interface Caller {
  readonly user: string;
  readonly address: string;
  /**
   * Whether the password that was proved is the user's still: asked again before anything is done, since a request's body may come
   * long after its header, and the name be another customer's by then.
   */
  readonly stillKnown: () => Promise<boolean>;
}

/** Who calls, for a log. */
export const toldOf = ({ user, address }: Caller) => ({ user, address });
