import { PassThrough } from 'node:stream';
import { expect, it } from 'vitest';
import { commitSchema, createFrameReader, frameHead, ZEROS_BYTES } from '../../src/migrate/wire.ts';

function reader(pieces: readonly Buffer[], { end = true, silence_ms = 5_000 } = {}) {
  const line = new PassThrough();
  for (const piece of pieces) line.write(piece);
  if (end) line.end();
  return createFrameReader(line, silence_ms);
}
const frame = (kind: 'message' | 'data', text: string) =>
  Buffer.concat([frameHead(kind, text.length), Buffer.from(text)]);

it('frames are read in whatever pieces they come', async () => {
  const all = Buffer.concat([
    frame('data', 'abc'),
    frameHead('zeros', ZEROS_BYTES),
    frame('message', '{"commit":true}'),
  ]);
  const frames = reader([...all].map((byte) => Buffer.from([byte])));
  expect(await frames.next()).toEqual({ kind: 'data', bytes: Buffer.from('abc') });
  expect(await frames.next()).toEqual({ kind: 'zeros', count: ZEROS_BYTES });
  expect((await frames.message(commitSchema, 'the commit')).message).toEqual({ commit: true });
  await expect(frames.next()).rejects.toThrow('The connection ended before everything was here.');
});

it.each([
  ['a shell that speaks', Buffer.from('Welcome'), 'no frame begins'],
  ['more data than fits', frameHead('data', 2 ** 20), 'no frame begins'],
  ['more zeros than are sent', frameHead('zeros', ZEROS_BYTES + 1), 'no frame begins'],
  ['data for a message', frame('data', 'x'), 'data instead of the commit'],
  ['a message that is no JSON', frame('message', '{'), 'the commit is not as it should be'],
  ['another message', frame('message', '{"commit":true,"more":1}'), 'the commit is not as it should be'],
])('%s is refused', async (_what, bytes, message) => {
  await expect(reader([bytes]).message(commitSchema, 'the commit')).rejects.toThrow(message);
});

it('a line that says nothing is given up', async () => {
  const frames = reader([frameHead('data', 3)], { end: false, silence_ms: 50 });
  await expect(frames.next()).rejects.toThrow('Nothing came over the connection for 0.05 s.');
});
