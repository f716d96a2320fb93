import { closeSync, fstatSync, openSync, writeSync } from 'node:fs';

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
    line: (text) => write(Buffer.from(`${text.trimEnd()}\n`)),
    close: () => closeSync(fd),
  };
}
