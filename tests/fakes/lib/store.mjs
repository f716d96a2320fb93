// Where the fakes keep their world: one JSON file, one lock, whole-file replacement.
import { AsyncLocalStorage } from 'node:async_hooks';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync, writeSync } from 'node:fs';
import { createServer } from 'node:net';
import { join, resolve } from 'node:path';
import { syncKernelFiles } from './kernel-files.mjs';
import { settle } from './world.mjs';
import { dropDead, showProcesses } from './xl-process.mjs';

const LOCK_POLL_MS = 4;

/** Thrown where a fake is asked for something that it does not know: exit 2, never a guess. */
export class NotKnown extends Error {}

export const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

export const fakeRoot = () => {
  const root = process.env.FAKE_XEN_DIR;
  if (!root) throw new NotKnown('FAKE_XEN_DIR is not set');
  return resolve(root);
};

function bind(name) {
  return new Promise((done, failed) => {
    const server = createServer();
    server.once('error', (error) => (error.code === 'EADDRINUSE' ? done(undefined) : failed(error)));
    server.listen(name, () => done(server));
  });
}

/** Runs `work` alone. The lock is an abstract socket: the kernel lets go of it when its holder dies. */
export async function withLock(root, work) {
  let server = await bind(`\0fake-xen:${root}`);
  while (!server) {
    await sleep(LOCK_POLL_MS);
    server = await bind(`\0fake-xen:${root}`);
  }
  try {
    return await work();
  } finally {
    await new Promise((done) => server.close(done));
  }
}

export const statePath = (root, name) => join(root, 'state', name);

export function readJson(path, fallback) {
  return existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : fallback;
}

/** Replaces a file whole: a reader sees the old text or the new one. */
export function replaceFile(path, text) {
  mkdirSync(join(path, '..'), { recursive: true });
  const temporary = `${path}.${process.pid}.new`;
  writeFileSync(temporary, text);
  renameSync(temporary, path);
}

/**
 * Reads the world, lets the time since then pass, runs `change(state, now_ms)` and writes the world back, alone. A throw leaves the world as it was.
 */
export function withState(root, change) {
  return withLock(root, async () => {
    const path = statePath(root, 'world.json');
    const text = readFileSync(path, 'utf8');
    const state = JSON.parse(text);
    const now = Date.now();
    dropDead(root, state);
    settle(state, now);
    const result = await change(state, now);
    const after = JSON.stringify(state, null, 1);
    if (after !== text) replaceFile(path, after);
    syncKernelFiles(root, state);
    showProcesses(root, state);
    return result;
  });
}

/** Nobody may read any more: a program's buffer is written at its end alone, when its work is done. */
function writeAll(fd, text) {
  let rest = Buffer.from(text);
  while (rest.length > 0) {
    try {
      rest = rest.subarray(writeSync(fd, rest));
    } catch (error) {
      if (error.code === 'EPIPE') return;
      if (error.code !== 'EAGAIN') throw error;
    }
  }
}

const captured = new AsyncLocalStorage();

export const out = (text) => {
  const into = captured.getStore();
  if (into) into.stdout += text;
  else writeAll(1, text);
};
export const err = (text) => {
  const into = captured.getStore();
  if (into) into.stderr += text;
  else writeAll(2, text);
};

/** Runs `work`, and keeps what it says. */
export async function capture(work) {
  const into = { stdout: '', stderr: '' };
  const result = await captured.run(into, work);
  return { result, ...into };
}
