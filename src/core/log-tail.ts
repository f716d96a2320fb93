import { constants, open } from 'node:fs/promises';

/** What steers a terminal: ECMA-48's control sequences, control strings and two-character escapes. */
const STEERING = /\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])/g;

const printable = (text: string) =>
  text
    .replace(STEERING, '')
    .replace(/\r+\n?/g, (run) => (run.endsWith('\n') ? '\n' : '\n'.repeat(run.length)))
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
