// The process that answers for this one's fakes what changes nothing.
import { spawn } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

const ANSWERS = resolve(import.meta.dirname, 'lib/answers.mjs');
let socket: string | undefined;

/** Starts it, once; it ends with this process. Returns the socket that it is asked at, as soon as it is there. */
export function answersSocket(): string {
  if (socket !== undefined) return socket;
  const folder = mkdtempSync(join(tmpdir(), 'fake-xen-answers-'));
  socket = join(folder, 'socket');
  const answers = spawn(process.execPath, [ANSWERS, socket], { stdio: ['pipe', 'ignore', 'inherit'] });
  answers.unref();
  (answers.stdin as unknown as { unref(): void }).unref();
  return socket;
}
