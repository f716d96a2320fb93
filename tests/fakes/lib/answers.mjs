// node answers.mjs SOCKET: answers the calls that change nothing, of all fakes of one test, for as long as its input is open. A process
// for each of them costs ten times as much. ask.pl is who asks.
import { rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { dirname } from 'node:path';
import { answer } from './call.mjs';
import { capture } from './store.mjs';

/** `EXIT BYTES\n`, so many bytes of standard output, and what went to standard error; nothing where the caller is to do it. */
async function reply(request) {
  const [root, ...words] = request
    .toString('latin1')
    .split('\0')
    .slice(0, -1)
    .map((word) => Buffer.from(word, 'latin1').toString());
  const { result, stdout, stderr } = await capture(() => answer(root, words));
  if (result === undefined) return '';
  return `${result} ${Buffer.byteLength(stdout)}\n${stdout}${stderr}`;
}

const server = createServer({ allowHalfOpen: true }, (socket) => {
  const chunks = [];
  // Who is killed while it asks, has no more use for an answer.
  socket.on('error', () => undefined);
  socket.on('data', (chunk) => chunks.push(chunk));
  socket.on('end', async () => socket.end(await reply(Buffer.concat(chunks))));
});
const [, , socket] = process.argv;
server.listen(socket);
process.stdin.on('end', () => {
  rmSync(dirname(socket), { recursive: true, force: true });
  process.exit(0);
});
process.stdin.resume();
