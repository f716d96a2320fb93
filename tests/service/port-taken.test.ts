// A daemon whose port another program has.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { agentProgram, makeDaemonFolder, writeConfig } from '../daemon.ts';
import { createFakeNode } from '../fakes/fake-node.ts';

const cleanup: (() => void)[] = [];
afterEach(() => {
  for (const undo of cleanup.splice(0)) undo();
});

/** How a daemon ends that wants this port: its exit code and the messages that it logs. */
async function serveOn(listen_port: number, config = {}) {
  const folder = makeDaemonFolder();
  cleanup.push(folder.remove);
  const node = await createFakeNode({ root: `${folder.path}/node` });
  const config_file = writeConfig(folder.path, node, { listen_port: String(listen_port), ...config });
  const child = spawn(process.execPath, [...agentProgram(), 'serve', '--config', config_file]);
  const lines: string[] = [];
  child.stdout.on('data', (text) => lines.push(String(text)));
  const [code] = await once(child, 'close');
  return { code, log: lines.join('') };
}

const START = `import socket, sys
s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen(); print(s.getsockname()[1], flush=True); sys.stdin.read()
`;

test("DTC-Xen's old server, which still has the port, is named with its pid and with what to do", async () => {
  const folder = mkdtempSync(join(tmpdir(), 'dtc-xen-port-'));
  cleanup.push(() => rmSync(folder, { recursive: true }));
  writeFileSync(join(folder, 'dtc-soap-server'), START);
  expect(spawnSync('python3', ['--version']).status).toBe(0);
  const old = spawn('python3', [join(folder, 'dtc-soap-server'), '-D'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  cleanup.push(() => old.kill());
  const [said] = await once(old.stdout, 'data');
  const port = Number(String(said));
  const { code, log } = await serveOn(port);
  expect(code).toBe(1);
  expect(log).toContain(
    `port ${port} is in use by dtc-soap-server (pid ${old.pid}). It is the old server of DTC-Xen`,
  );
}, 120_000);

test('another program that has the port is named, whichever address it has it on', async () => {
  for (const host of ['127.0.0.1', '::']) {
    const server: Server = createServer().listen(0, host);
    cleanup.push(() => server.close());
    await once(server, 'listening');
    const { port } = server.address() as { port: number };
    const { code, log } = await serveOn(port);
    expect(code).toBe(1);
    expect(log).toMatch(
      new RegExp(`port ${port} is in use by \\S+ \\(pid ${process.pid}\\)\\. Stop it, or set listen_port`),
    );
  }
}, 120_000);

test('an address that the node does not have is named', async () => {
  const { code, log } = await serveOn(0, { listen_address: '192.0.2.99' });
  expect(code).toBe(1);
  expect(log).toContain('the agent cannot start: the node has no address 192.0.2.99');
}, 120_000);
