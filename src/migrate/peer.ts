import { createInterface } from 'node:readline';
import { AgentError } from '../core/errors.ts';
import type { Runner } from '../core/runner.ts';
import type { VpsId } from '../core/vps.ts';
import { type Frame, frameHead, parseJson, type Reply, replySchema } from './wire.ts';

/** By its place: ssh finds a command by the path of a shell that has read nobody's profile. */
const RECEIVER = ['/usr/sbin/dtc-xen_migrate', '--receive'];
const SSH_OPTIONS = [
  '-T',
  ...['BatchMode=yes', 'ConnectTimeout=20', 'ServerAliveInterval=15', 'ServerAliveCountMax=4'],
  ...['ClearAllForwardings=yes', 'ControlPath=none'],
].flatMap((option) => (option.startsWith('-') ? [option] : ['-o', option]));
const CLOSE_GRACE_MS = 10_000;

/** What the other node says when it does not take the VPS: it keeps nothing of it that it did not have `stored`. */
export class Refusal extends AgentError {}

/** The receiving end on another node, over ssh. Every error names the node. */
export interface Peer {
  message(message: unknown): Promise<Buffer>;
  data(bytes: Buffer): Promise<void>;
  zeros(count: number): Promise<void>;
  /** Its next answer. Errors: {@link Refusal}; `program_failed` where the connection has ended, `program_output`. */
  hear(): Promise<Exclude<Reply, { reply: 'refused' }>>;
  /** The next answer, which must be this one; answers of the kind `passing` may come before, and `onPassing` is told. */
  expect<K extends Reply['reply']>(
    reply: K,
    onPassing?: (reply: Reply) => void,
  ): Promise<Reply & { reply: K }>;
  close(): Promise<void>;
}

/** Starts the receiving end of `dest` on a host; `env` is for ssh. */
export function connect(
  runner: Runner,
  { host, dest, env }: { host: string; dest: VpsId; env: Readonly<Record<string, string>> },
): Peer {
  const args = [...SSH_OPTIONS, '--', host, ...RECEIVER, dest.name];
  const dialogue = runner.converse({ label: 'ssh', program: 'ssh', args, env });
  const lines = createInterface({ input: dialogue.output })[Symbol.asyncIterator]();

  async function hear() {
    const { value, done } = await lines.next();
    if (done) {
      const { exit, last_words } = await dialogue.close(CLOSE_GRACE_MS);
      if (exit === 'not started') {
        throw new AgentError(
          'program_missing',
          'ssh cannot be run: it is part of openssh-client; install it.',
        );
      }
      const message = `${host}: the connection has ended (ssh: ${exit}): ${last_words}`;
      throw new AgentError('program_failed', message);
    }
    const parsed = replySchema.safeParse(parseJson(value));
    if (!parsed.success) {
      const said = value.slice(0, 200).replaceAll(/[^\x20-\x7e]/g, '?');
      const message = `${host}: dtc-xen_migrate answered what cannot be understood: ${said}; is it of another version, or does a login there print something?`;
      throw new AgentError('program_output', message);
    }
    if (parsed.data.reply !== 'refused') return parsed.data;
    throw new Refusal('program_failed', `${host}: ${parsed.data.message}`);
  }

  /** Waits until the last part is on its way. What cannot be written nobody reads any more: the other end has said why. */
  async function write(...parts: readonly Buffer[]): Promise<void> {
    const written = parts.map(
      (part) => new Promise<boolean>((resolve) => dialogue.input.write(part, (error) => resolve(!error))),
    );
    if ((await Promise.all(written)).every((done) => done)) return;
    for (;;) await hear();
  }
  const frame = (kind: Frame['kind'], bytes: Buffer) => write(frameHead(kind, bytes.length), bytes);

  return {
    hear,
    async message(message) {
      const bytes = Buffer.from(JSON.stringify(message));
      await frame('message', bytes);
      return bytes;
    },
    data: (bytes) => frame('data', bytes),
    zeros: (count) => write(frameHead('zeros', count)),
    async expect(reply, onPassing) {
      for (;;) {
        const heard = await hear();
        if (heard.reply === reply) return heard as Reply & { reply: typeof reply };
        if (!onPassing)
          throw new AgentError('program_output', `${host}: ${heard.reply} instead of ${reply}.`);
        onPassing(heard);
      }
    },
    async close() {
      await dialogue.close(CLOSE_GRACE_MS);
    },
  };
}
