// A start that cannot be: the agent says why, and ends.
import { createServer } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type DaemonFolder, makeDaemonFolder, startDaemon } from '../daemon.ts';
import { createFakeNode, type FakeNode } from '../fakes/fake-node.ts';

let node: FakeNode;
let folder: DaemonFolder;
beforeAll(async () => {
  folder = makeDaemonFolder();
  node = await createFakeNode({ root: `${folder.path}/node` });
});
afterAll(() => folder.remove());

describe('a port that another program has', () => {
  it('ends the agent with 1, and leaves the sample spool alone', async () => {
    const other = createServer();
    const port = await new Promise<number>((resolve) =>
      other.listen(0, '127.0.0.1', () => resolve((other.address() as { port: number }).port)),
    );
    const failure = await startDaemon({ fakeNode: node, folder, config: { listen_port: `${port}` } }).then(
      () => new Error('it started'),
      (error: Error) => error,
    );
    other.close();
    expect(failure.message).toMatch(/^the daemon ended with 1\n/);
    expect(failure.message).toContain('EADDRINUSE');
    expect(failure.message).not.toContain('sample');
  }, 300_000);
});
