/**
 * What the two ends of a move say to each other. The sending one writes frames: a kind (one byte), a length (four bytes, the
 * greatest first), and where it is data or a message, that many bytes. The receiving one answers with lines of JSON.
 *
 *   header ->            <- ready
 *   root's bytes, swap's bytes, sums ->    <- verifying ..., verified
 *   commit ->            <- stored            from here on the VPS is there
 *   handover ->          <- done
 */
import * as z from 'zod';
import { AgentError } from '../core/errors.ts';

/** Raised where an older end would not understand. */
export const PROTOCOL = 1;
/** Data travels in pieces of this size at most. */
export const BLOCK_BYTES = 256 * 1024;
/** Zeros travel as their count, at most this one: something is said every so often. */
export const ZEROS_BYTES = 64 * 1024 * 1024;

const MESSAGE_LIMIT_BYTES = 1024 * 1024;
const SIZE_LIMIT_BYTES = 2 ** 46;
const KINDS = ['message', 'data', 'zeros'] as const;
const LIMITS = [MESSAGE_LIMIT_BYTES, BLOCK_BYTES, ZEROS_BYTES] as const;
const HEAD_BYTES = 5;

/** The two disks, in the order in which they travel. */
export const ROLES = ['root', 'swap'] as const;
/** One of a VPS's two disks. */
export type Role = (typeof ROLES)[number];

const size = z.number().int().min(1).max(SIZE_LIMIT_BYTES);
const sum = z.string().regex(/^[0-9a-f]{64}$/);

/** What is to come, with the guest's configuration; every byte of its text is one character (latin1). */
export const headerSchema = z.strictObject({
  protocol: z.literal(PROTOCOL),
  node: z.string().max(255),
  vps: z.string().regex(/^xen[0-9]{1,5}$/),
  type: z.enum(['lvm', 'vbd']),
  size_bytes: z.strictObject({ root: size, swap: size }),
  /** What the configuration calls its own disks. */
  paths: z.strictObject({ root: z.array(z.string()).max(16), swap: z.array(z.string()).max(16) }),
  config: z.strictObject({
    text: z
      .string()
      .max(256 * 1024)
      .regex(/^[\0-\xff]*$/),
    mode: z.number().int().min(0).max(0o777),
  }),
});
/** See {@link headerSchema}. */
export type Header = z.output<typeof headerSchema>;

/** SHA-256 of the header's frame and of each disk, after the last byte of the last one. */
export const sumsSchema = z.strictObject({ sha256: z.strictObject({ header: sum, root: sum, swap: sum }) });
/** The sender has seen that the VPS still is what was sent: put it in its place. */
export const commitSchema = z.strictObject({ commit: z.literal(true) });
/** The sender has let go of the VPS; whether it started with the node. */
export const handoverSchema = z.strictObject({ autostart: z.boolean() });

/** Text of another node, for a person's terminal. */
const told = z.string().transform((text) => text.slice(0, 1000).replaceAll(/[^\x20-\x7e]/g, '?'));

/** An answer of the receiving end. */
export const replySchema = z.discriminatedUnion('reply', [
  z.strictObject({ reply: z.literal('ready'), warnings: z.array(told).max(100) }),
  z.strictObject({ reply: z.literal('verifying'), disk: z.enum(ROLES), bytes: z.number() }),
  z.strictObject({ reply: z.literal('verified') }),
  z.strictObject({ reply: z.literal('stored') }),
  z.strictObject({ reply: z.literal('done') }),
  z.strictObject({ reply: z.literal('refused'), message: told }),
]);
/** See {@link replySchema}. */
export type Reply = z.output<typeof replySchema>;

/** A piece of what the sending end says. */
export type Frame =
  | { readonly kind: 'message' | 'data'; readonly bytes: Buffer }
  | { readonly kind: 'zeros'; readonly count: number };

/** A frame's head; what it is the head of follows, unless that is zeros. */
export function frameHead(kind: Frame['kind'], length: number): Buffer {
  const head = Buffer.alloc(HEAD_BYTES);
  head.writeUInt8(KINDS.indexOf(kind));
  head.writeUInt32BE(length, 1);
  return head;
}

const broken = (what: string) =>
  new AgentError('program_output', `What came over the connection cannot be understood: ${what}.`);

/** Reads frames as they come. */
export interface FrameReader {
  next(): Promise<Frame>;
  /** The next frame, which must be a message of this shape, and its bytes. */
  message<T>(schema: z.ZodType<T>, what: string): Promise<{ message: T; bytes: Buffer }>;
}

/**
 * Makes a {@link FrameReader}. Errors: `program_output` where a frame is none, `program_failed` where the input ends, or stays
 * silent for `silence_ms`.
 */
export function createFrameReader(input: AsyncIterable<Buffer>, silence_ms: number): FrameReader {
  const chunks = input[Symbol.asyncIterator]();
  let held: Buffer = Buffer.alloc(0);

  async function more(): Promise<Buffer> {
    let timer: NodeJS.Timeout | undefined;
    const silence = new Promise<never>((_resolve, reject) => {
      const told = `Nothing came over the connection for ${silence_ms / 1000} s.`;
      timer = setTimeout(() => reject(new AgentError('program_failed', told)), silence_ms);
    });
    try {
      const { value, done } = await Promise.race([chunks.next(), silence]);
      if (!done) return value;
    } finally {
      clearTimeout(timer);
    }
    throw new AgentError('program_failed', 'The connection ended before everything was here.');
  }

  async function take(count: number): Promise<Buffer> {
    const parts: Buffer[] = [];
    for (let missing = count; missing > 0; ) {
      if (held.length === 0) held = await more();
      const part = held.subarray(0, missing);
      parts.push(part);
      held = held.subarray(part.length);
      missing -= part.length;
    }
    return parts.length === 1 && parts[0] ? parts[0] : Buffer.concat(parts, count);
  }

  async function next(): Promise<Frame> {
    const head = await take(HEAD_BYTES);
    const length = head.readUInt32BE(1);
    const code = head.readUInt8();
    const kind = KINDS[code];
    if (!kind || length > (LIMITS[code] ?? 0)) throw broken('no frame begins where one should');
    return kind === 'zeros' ? { kind, count: length } : { kind, bytes: await take(length) };
  }

  return {
    next,
    async message(schema, what) {
      const frame = await next();
      if (frame.kind !== 'message') throw broken(`${frame.kind} instead of ${what}`);
      const parsed = schema.safeParse(parseJson(frame.bytes.toString('utf8')));
      if (!parsed.success)
        throw broken(`${what} is not as it should be; is the other end of another version?`);
      return { message: parsed.data, bytes: frame.bytes };
    },
  };
}

/** What a text says in JSON; undefined where it is none. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}
