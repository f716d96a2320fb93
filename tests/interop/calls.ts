/** A parameter as a call gives it; a list is a repeated element. */
export type Parameter = readonly [name: string, value: string | number | readonly string[]];

/** A call, as the client programs read it (one of a JSON list, or a line of {@link tabbed}). */
export interface Call {
  readonly operation: string;
  readonly params: readonly Parameter[];
}

/** A client program's line about a call: what it read, or why not. */
export interface Line {
  readonly operation: string;
  readonly result?: unknown;
  readonly fault?: { readonly code: string; readonly message: string; readonly detail_code: string | null };
  /** An error that is no SOAP fault, in the client's words. */
  readonly error?: string;
}

/** The call as a line of operation and values, separated by tabs; `named` writes NAME=VALUE. */
export function tabbed({ operation, params }: Call, named: boolean): string {
  const fields = params.flatMap(([name, value]) =>
    [value].flat().map((item) => (named ? `${name}=${item}` : `${item}`)),
  );
  return [operation, ...fields].join('\t');
}
