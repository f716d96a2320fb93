import { readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { Writable } from 'node:stream';
import type { Secret } from './program.ts';

/** Where a program reads and writes. */
export interface Terminal {
  readonly input: NodeJS.ReadStream;
  readonly output: NodeJS.WriteStream;
  /** For messages and prompts. */
  readonly messages: NodeJS.WriteStream;
}

/** The first line of standard input; at a terminal it is asked for, and not shown. */
async function firstLine(prompt: string, { input, messages }: Terminal): Promise<string> {
  if (input.isTTY) messages.write(`${prompt}: `);
  const unseen = new Writable({ write: (_chunk, _encoding, done) => done() });
  const lines = createInterface({ input, output: unseen, terminal: input.isTTY });
  try {
    for await (const line of lines) return line;
    return '';
  } finally {
    lines.close();
    if (input.isTTY) messages.write('\n');
  }
}

/** Reads a password. Errors: those of the file system, where it is to come from a file. */
export async function readSecret(
  { given, file, prompt, param }: Secret,
  terminal: Terminal,
): Promise<Record<string, string>> {
  if (given !== undefined) {
    terminal.messages.write(
      'A password in the command line can be seen by everybody on the node: give it by standard input.\n',
    );
    return { [param]: given };
  }
  if (file !== undefined) return { [param]: (await readFile(file, 'utf8')).split('\n')[0] ?? '' };
  return { [param]: await firstLine(prompt, terminal) };
}
