// How the scripts write into a guest's root (lib/checks).
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const CHECKS = join(import.meta.dirname, '../../scripts/lib/checks');
let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'dtc-xen-put-'));
  mkdirSync(join(root, 'etc'));
});
afterAll(() => rmSync(root, { recursive: true }));

const put = (file: string, mode: string, input: string) =>
  spawnSync('bash', ['-c', `set -euo pipefail; . ${CHECKS}; umask 0077; put "$@"`, 'put', root, file, mode], {
    input,
    encoding: 'utf8',
  });

describe('a file that is put into a guest', () => {
  it.each([
    ['0600', 'no line end'],
    ['0644', 'lines\n\n\n'],
    ['0444', ''],
    ['0755', `#!/bin/sh\necho '\\n %s $x'\n`],
  ])('of mode %s is there as it came, whatever was there before', (mode, text) => {
    writeFileSync(join(root, 'etc/file'), 'before', { mode: 0o640 });
    expect(put('/etc/file', mode, text)).toMatchObject({ status: 0, stderr: '' });
    expect(readFileSync(join(root, 'etc/file'), 'utf8')).toBe(text);
    expect((statSync(join(root, 'etc/file')).mode & 0o7777).toString(8).padStart(4, '0')).toBe(mode);
    expect(readdirSync(join(root, 'etc'))).toEqual(['file']);
  });

  it('with a byte of 0 is refused, and what was there stays', () => {
    writeFileSync(join(root, 'etc/file'), 'before');
    const { status, stderr } = put('/etc/file', '0644', 'a\0b');
    expect([status, stderr]).toEqual([1, expect.stringContaining('a byte of 0 in what is to be /etc/file')]);
    expect(readFileSync(join(root, 'etc/file'), 'utf8')).toBe('before');
    expect(readdirSync(join(root, 'etc'))).toEqual(['file']);
  });
});
