import type * as z from 'zod';

/** How a declared field looks on the modern wire. */
export interface WireField {
  /** Left out where there is no value. */
  readonly optional: boolean;
  /** Any number of elements, none too. */
  readonly repeated: boolean;
  readonly type: WireType;
  readonly doc: string | undefined;
}

/** A simple type of XML Schema, or a structure with a name of its own. */
export type WireType =
  | { readonly xsd: string }
  | { readonly typeName: string; readonly fields: ReadonlyMap<string, WireField> };

/** The parts of a zod definition that wrap another type. */
interface WrapperDef {
  readonly type: string;
  readonly innerType?: z.ZodType;
  readonly element?: z.ZodType;
}

const WRAPPERS: ReadonlySet<string> = new Set(['optional', 'default', 'prefault', 'readonly', 'nonoptional']);

/**
 * Reads what an operation declares (src/core/fields.ts) as the elements of a message, in order.
 *
 * @throws Error for a field which the declaration does not type
 */
export function wireFields(schema: z.ZodObject): ReadonlyMap<string, WireField> {
  const entries = Object.entries(schema.shape as Record<string, z.ZodType>);
  return new Map(entries.map(([name, field]) => [name, wireField(name, field)]));
}

function wireField(name: string, declared: z.ZodType): WireField {
  let field = declared;
  let doc = docOf(field);
  let repeated = false;
  let def = field.def as WrapperDef;
  while (WRAPPERS.has(def.type) || def.type === 'array') {
    const inner = def.type === 'array' ? def.element : def.innerType;
    if (!inner || (def.type === 'array' && repeated)) throw untyped(name);
    repeated ||= def.type === 'array';
    field = inner;
    def = field.def as WrapperDef;
    doc ??= docOf(field);
  }
  return { optional: declared.safeParse(undefined).success, repeated, type: wireType(name, field), doc };
}

function wireType(name: string, field: z.ZodType): WireType {
  const { xsd, typeName } = field.meta() ?? {};
  if (typeof xsd === 'string') return { xsd };
  if ((field.def as WrapperDef).type !== 'object' || typeof typeName !== 'string') throw untyped(name);
  return { typeName, fields: wireFields(field as z.ZodObject) };
}

const docOf = (field: z.ZodType): string | undefined => {
  const doc = field.meta()?.['doc'];
  return typeof doc === 'string' ? doc : undefined;
};

const untyped = (name: string) =>
  new Error(
    `the field ${name} has no type for the wire: build it from core/fields.ts, or name its structure`,
  );
