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

/**
 * Loop devices over files of a folder that stay. Any program of this machine that makes a private mount namespace meanwhile
 * holds a copy of its mounts for as long as it runs, and with it their loop devices: for those this waits.
 */
export function loopsOver(folder: string): string[] {
  const list = () =>
    spawnSync('losetup', ['--list', '--noheadings', '--output', 'BACK-FILE'], { encoding: 'utf8' })
      .stdout.split('\n')
      .filter((path) => path.startsWith(folder));
  const until = Date.now() + 20_000;
  let found = list();
  while (found.length > 0 && Date.now() < until) {
    spawnSync('sleep', ['0.2']);
    found = list();
  }
  return found;
}
