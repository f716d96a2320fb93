import { execFile, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { SCRIPTS } from '../jobs/plan-harness.ts';

/** How a script ended. */
export interface Called {
  readonly exit_code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Calls one of the project's scripts as an admin would. */
export function call(script: string, args: readonly string[], input = ''): Called {
  const { status, stdout, stderr } = spawnSync(join(SCRIPTS, script), [...args], {
    input,
    encoding: 'utf8',
    timeout: 60_000,
  });
  return { exit_code: status, stdout, stderr };
}

/** The same, beside other work. */
export function callBeside(script: string, args: readonly string[]): Promise<Called> {
  return new Promise((done) => {
    execFile(join(SCRIPTS, script), [...args], { timeout: 120_000 }, (error, stdout, stderr) => {
      const code = error ? (typeof error.code === 'number' ? error.code : null) : 0;
      done({ exit_code: code, stdout, stderr });
    });
  });
}

/** Mount points at a folder or below it, as this process sees them. */
export function mountsBelow(folder: string): string[] {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '')
    .filter((path) => path.startsWith(folder));
}

/** Loop devices over files of a folder. */
export function loopsOver(folder: string): string[] {
  const { stdout } = spawnSync('losetup', ['--list', '--noheadings', '--output', 'BACK-FILE'], {
    encoding: 'utf8',
  });
  return stdout.split('\n').filter((path) => path.startsWith(folder));
}
