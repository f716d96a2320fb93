import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { call, mountsBelow } from './call.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'hook-'));
  mkdirSync(join(folder, 'proc'));
});
afterEach(() => rmSync(folder, { recursive: true }));

function program(body: string): string {
  const path = join(folder, 'install_os');
  writeFileSync(path, `#!/bin/sh\n${body}\n`);
  chmodSync(path, 0o755);
  return path;
}

it('passes the arguments on as they are, and the exit code back', () => {
  const path = program(`printf '%s|' "$@" >'${folder}/said'; exit 7`);
  const args = ['-path', '/mnt/01', '-os', `a 'b' "c" $(d)`, '', '-h'];
  expect(call('reinstall-hook', [path, ...args]).exit_code).toBe(7);
  expect(readFileSync(join(folder, 'said'), 'utf8')).toBe(`${args.join('|')}|`);
});

it('takes what a template leaves running or mounted with it', () => {
  const path = program(
    `mount -t proc proc '${folder}/proc'; sleep 1000 & setsid sleep 1001 & echo started >'${folder}/said'`,
  );
  const begun = Date.now();
  expect(call('reinstall-hook', [path])).toMatchObject({ exit_code: 0, stderr: '' });
  expect(Date.now() - begun).toBeLessThan(10_000);
  expect(readFileSync(join(folder, 'said'), 'utf8')).toBe('started\n');
  expect(mountsBelow(folder)).toEqual([]);
});

it.each(['missing', 'plain'])('says so where the program cannot be run: %s', (name) => {
  writeFileSync(join(folder, 'plain'), 'no program');
  const { exit_code, stderr } = call('reinstall-hook', [join(folder, name)]);
  expect(exit_code).toBe(1);
  expect(stderr).toContain('is not there, or not to be executed');
});
