// A node with sshd, sudo and console users, in name spaces of its own: this machine's /etc and users stay as they are.
import { execFile, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { expect } from 'vitest';
import { createFakeNode } from '../fakes/fake-node.ts';
import type { Answer, Node } from './attempts.ts';

const ROOT = join(import.meta.dirname, '../..');

/** A running {@link Node}. */
export interface ConsoleNode extends Node {
  /** The guests that run. */
  setRunning(names: readonly string[]): void;
  stop(): void;
}

const answer = (error: { code?: unknown } | null, stdout: string, stderr: string): Answer => ({
  code: error === null ? 0 : typeof error.code === 'number' ? error.code : 255,
  said: `${stdout}${stderr}`,
});

/** Starts the node of tests/console/house. */
export async function startConsoleNode(): Promise<ConsoleNode> {
  const work = mkdtempSync(join(tmpdir(), 'dtc-xen-console-'));
  const fake = await createFakeNode({ root: join(work, 'node') });
  for (const name of ['root', 'xen01', 'xen02'])
    execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', name, '-f', join(work, name)]);
  const setRunning = (names: readonly string[]) =>
    writeFileSync(join(work, 'running'), `${names.join('\n')}\n`);
  setRunning(['xen01', 'xen02']);
  const spaces = [
    ...['--mount', '--propagation', 'slave', '--net', '--uts', '--ipc'],
    ...['--pid', '--fork', '--kill-child', '--mount-proc'],
  ];
  const house = spawn(
    'unshare',
    [...spaces, '--', join(import.meta.dirname, 'house'), ROOT, work, fake.bin],
    {
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
  const said: string[] = [];
  createInterface({ input: house.stderr }).on('line', (line) => said.push(line));
  await new Promise<void>((resolve, reject) => {
    house.once('exit', (code) => reject(new Error(`the node ended with ${code}\n${said.join('\n')}`)));
    createInterface({ input: house.stdout }).on('line', (line) => {
      if (line === 'ready') resolve();
      else said.push(line);
    });
  });
  const [inside = ''] = readFileSync(`/proc/${house.pid}/task/${house.pid}/children`, 'utf8')
    .trim()
    .split(' ');

  return {
    keys: work,
    setRunning,
    run: (command, input = '') =>
      new Promise((resolve) => {
        const args = ['--target', inside, '--mount', '--net', '--uts', '--ipc', '--pid', '--'];
        const call = execFile(
          'nsenter',
          [...args, 'bash', '-c', command],
          { timeout: 20_000, cwd: '/' },
          (error, stdout, stderr) => resolve(answer(error, stdout, stderr)),
        );
        // A command may end without having read.
        call.stdin?.on('error', (error: NodeJS.ErrnoException) => expect(error.code).toBe('EPIPE'));
        call.stdin?.end(input);
      }),
    stop() {
      house.kill('SIGKILL');
      rmSync(work, { recursive: true, force: true });
    },
  };
}
