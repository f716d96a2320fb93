import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const FOLDER = join(import.meta.dirname, 'fixtures', 'transcripts');

/** One recorded call of a real Xen host (Xen 4.20, LVM 2.03.31, Debian 13). */
export interface Transcript {
  readonly argv: readonly string[];
  readonly stdout: string;
  readonly stderr: string;
  readonly exit: number;
}

/** Reads the record of this number: `074`. */
export function transcript(number: string): Transcript {
  const file = readdirSync(FOLDER).find((name) => name.startsWith(`${number}-`));
  if (file === undefined) throw new Error(`there is no record ${number}`);
  return JSON.parse(readFileSync(join(FOLDER, file), 'utf8')) as Transcript;
}
