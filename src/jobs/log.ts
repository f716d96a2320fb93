import { closeSync, fstatSync, openSync, writeSync } from 'node:fs';
import { constants, open } from 'node:fs/promises';

/** A job's log, written as it comes; beyond its cap it says so once, and drops the rest. */
export interface JobLog {
  line(text: string): void;
  write(chunk: Buffer): void;
  close(): void;
}

/**
 * Opens a job's log for appending. A log that cannot be written (the node's disk is full) does not end the job: what does
 * not fit is dropped.
 */
export function openJobLog(path: string, cap_bytes = 8 * 1024 * 1024): JobLog {
  const fd = openSync(path, 'a', 0o600);
  let room = cap_bytes - fstatSync(fd).size;
  let full = false;
  const append = (content: Buffer) => {
    try {
      writeSync(fd, content);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
      full = true;
    }
  };
  const write = (chunk: Buffer) => {
    if (full) return;
    append(chunk.subarray(0, Math.max(0, room)));
    room -= chunk.length;
    if (room >= 0 || full) return;
    full = true;
    append(Buffer.from(`\n[the log is cut off here, at ${cap_bytes} bytes]\n`));
  };
  return {
    write,
    line: (text) => write(Buffer.from(`${text.replace(/\s+$/, '')}\n`)),
    close: () => closeSync(fd),
  };
}

const printable = (text: string) =>
  text
    .replace(/\r+\n/g, '\n')
    .replace(/\r/g, '\n')
    .replace(/\t/g, ' ')
    .replace(/[^\n\x20-\x7e]/g, '');

/**
 * The last lines of a log (0: all), read from its tail alone, as printable ASCII and line ends; a first line that the cap
 * cuts is left out. Undefined where there is no such file, or it is a link.
 */
export async function readLogTail(
  path: string,
  lines: number,
  cap_bytes = 512 * 1024,
): Promise<string | undefined> {
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW).catch(
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT' || error.code === 'ELOOP') return undefined;
      throw error;
    },
  );
  if (!file) return undefined;
  try {
    const { size } = await file.stat();
    const from = Math.max(0, size - cap_bytes);
    const tail = Buffer.alloc(Math.min(size, cap_bytes));
    const { bytesRead } = await file.read(tail, 0, tail.length, from);
    let text = printable(tail.subarray(0, bytesRead).toString('latin1'));
    if (from > 0) text = text.slice(text.indexOf('\n') + 1);
    if (lines <= 0) return text;
    const ends = text.endsWith('\n');
    const all = (ends ? text.slice(0, -1) : text).split('\n');
    return all.slice(-lines).join('\n') + (ends ? '\n' : '');
  } finally {
    await file.close();
  }
}
