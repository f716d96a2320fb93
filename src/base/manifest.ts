import * as z from 'zod';

/** What `KEY.json` says of a base; it is written last, and what it names is whole. */
const manifestSchema = z.strictObject({
  key: z.string().regex(/^[a-z][a-z0-9-]{0,31}-[0-9a-f]{16}$/),
  /** Its file, in the same folder. */
  archive: z.string().regex(/^[a-z][a-z0-9-]*\.[0-9]+\.tar\.zst$/),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
  archive_bytes: z.number().int().positive(),
  /** What the files take on a disk. */
  unpacked_kib: z.number().int().positive(),
  /** ISO 8601. */
  made: z.iso.datetime(),
  inputs: z.strictObject({
    arch: z.string(),
    release: z.string(),
    mirror: z.string(),
    security_mirror: z.string(),
    packages: z.array(z.string()),
    tool: z.enum(['mmdebstrap', 'debootstrap']),
    tool_version: z.string(),
    recipe: z.string(),
  }),
});

/** See {@link manifestSchema}. */
export type BaseManifest = z.output<typeof manifestSchema>;

/** Reads a manifest's text; undefined where it is none. */
export function parseManifest(text: string): BaseManifest | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
  return manifestSchema.safeParse(value).data;
}
