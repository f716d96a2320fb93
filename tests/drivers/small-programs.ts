import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createRunner, type Runner } from '../../src/drivers/run.ts';

/** A call of a small program that records itself: its name, arguments and standard input. */
export interface RecordedCall {
  readonly program: string;
  readonly args: readonly string[];
  readonly input: string;
}

/** A temporary folder with small real programs in it, and a runner that finds them first. */
export interface SmallPrograms {
  readonly root: string;
  readonly runner: Runner;
  /** Writes a program: `script` is the body of a bash script. */
  add(name: string, script: string): void;
  /** Writes a program that records how it was called, and then goes on with `script`. */
  addRecording(name: string, script?: string): void;
  calls(): readonly RecordedCall[];
  cleanup(): void;
}

/** Makes {@link SmallPrograms}; `path` is where other programs are looked for, nowhere if empty. */
export function createSmallPrograms(path = '/usr/sbin:/usr/bin:/sbin:/bin'): SmallPrograms {
  const root = mkdtempSync(join(tmpdir(), 'dtc-xen-programs-'));
  const bin = join(root, 'bin');
  const record = join(root, 'calls');
  mkdirSync(bin);
  const add = (name: string, script: string) => {
    writeFileSync(join(bin, name), `#!/bin/bash\n${script}\n`);
    chmodSync(join(bin, name), 0o755);
  };
  return {
    root,
    runner: createRunner({ path: path === '' ? bin : `${bin}:${path}`, output_cap_bytes: 64 * 1024 }),
    add,
    addRecording(name, script = '') {
      const entry = `{ printf '%s\\0' ${name} "$#" "$@"; cat; printf '\\0'; } >> '${record}'`;
      add(name, `${entry}\n${script}`);
    },
    calls() {
      if (!existsSync(record)) return [];
      const fields = readFileSync(record, 'utf8').split('\0');
      const calls: RecordedCall[] = [];
      for (let at = 0; at + 1 < fields.length; ) {
        const count = Number(fields[at + 1]);
        const args = fields.slice(at + 2, at + 2 + count);
        calls.push({ program: fields[at] ?? '', args, input: fields[at + 2 + count] ?? '' });
        at += 3 + count;
      }
      return calls;
    },
    cleanup: () => rmSync(root, { recursive: true, force: true }),
  };
}
