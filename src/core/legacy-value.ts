/** A float on the legacy wire: always `xsd:double`, 0.0 too (a bare number is an integer). */
export class Double {
  readonly value: number;
  constructor(value: number) {
    this.value = value;
  }
}

/** A dictionary on the legacy wire (`SOAP-ENC:Struct`): keys become element names, in this order. */
export class Struct {
  readonly entries: readonly (readonly [string, LegacyValue])[];
  constructor(entries: readonly (readonly [string, LegacyValue])[]) {
    this.entries = entries;
  }
}

/** A value as SOAPpy answered it and NuSOAP decodes it; a number here is an integer. */
export type LegacyValue = string | number | null | Double | Struct | readonly LegacyValue[];
