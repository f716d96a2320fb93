// Whether dom0's qemu can check the password of a screen: asked of programs that end as Debian's do (10.0.13 and 7.2.22 for Xen have
// no DES; 7.2.22 with GNU's nettle has).
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { parseConfig } from '../../src/config/load.ts';
import { createScreens } from '../../src/drivers/device-model.ts';
import { createRunner } from '../../src/drivers/run.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'dtc-xen-qemu-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const checks = (device_model: string) =>
  createScreens({
    runner: createRunner({ path: '/usr/bin:/bin' }),
    config: parseConfig(`device_model=${device_model}`),
  }).checksPasswords();

/** A qemu that takes the question alone, and does nothing of its own: what it answers stands in `lines`. */
function qemu(...lines: string[]): string {
  const path = join(folder, `qemu-${lines.join('').length}`);
  const asked =
    '-M none -accel qtest -accel tcg -nodefaults -no-user-config -S -display none -vnc none,password=on -qmp stdio';
  const quit = '{"execute":"qmp_capabilities"}\n{"execute":"quit"}';
  const script = ['#!/bin/sh', `[ "$*" = '${asked}' ] || exit 9`, `[ "$(cat)" = '${quit}' ] || exit 9`];
  writeFileSync(path, [...script, ...lines, ''].join('\n'));
  chmodSync(path, 0o755);
  return path;
}

it('no, where its cryptography has no DES', async () => {
  const said = 'xen-qemu-system-i386: -vnc none,password=on: Cipher backend does not support DES algorithm';
  expect(await checks(qemu(`echo "${said}" >&2`, 'exit 1'))).toBe(false);
});

it('yes, where it would have opened the screen', async () => {
  const said =
    'qemu-system-i386: -accel qtest: invalid accelerator qtest\nqemu-system-i386: falling back to tcg';
  expect(await checks(qemu(`echo '${said}' >&2`, `echo '{"return": {}}'`))).toBe(true);
});

it('it is not known where there is none, or where it says something else: the password stays', async () => {
  expect(await checks(join(folder, 'none'))).toBe(true);
  expect(await checks(qemu('echo "cannot open shared object" >&2', 'exit 127'))).toBe(true);
});
