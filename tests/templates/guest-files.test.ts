// The configurations of guests that install themselves are, byte for byte, those that a real xl took: `xl create -n` of
// Xen 4.20 on Debian 13, recorded in fixtures/xl-dry-run; the fully virtualized ones of its xl away from Xen, which reads the others
// exactly as on it.
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { GUEST_FILES } from './guest-files.ts';

const fixture = (file: string) =>
  readFileSync(new URL(`fixtures/xl-dry-run/${file}`, import.meta.url), 'utf8');

it.each(Object.entries(GUEST_FILES))('%s is a configuration that xl takes', (name, render) => {
  expect(render()).toBe(fixture(`${name}.cfg`));
  const told = JSON.parse(fixture(`${name}.json`));
  expect([told.exit, told.stderr]).toEqual([0, `Parsing config from ${name}.cfg\n`]);
});

it('xl understands the boot order and the screen as they are meant', () => {
  const parsed = (name: string) => JSON.parse(JSON.parse(fixture(`${name}.json`)).stdout);
  const iso = parsed('hvm-from-iso-with-screen');
  expect(iso.b_info['type.hvm'].boot).toBe('dc');
  expect(iso.b_info['type.hvm'].vnc).toMatchObject({
    enable: 'True',
    listen: '192.0.2.1',
    passwd: "'` $(i)",
  });
  expect(iso.disks.slice(-2)).toMatchObject([
    { vdev: 'hdc', removable: 1, is_cdrom: 1 },
    { vdev: 'hdd', removable: 1, is_cdrom: 1 },
  ]);
  const bare = parsed('hvm-without-des').b_info['type.hvm'].vnc;
  expect(bare).toEqual({ enable: 'True', listen: '127.0.0.1', display: 7, findunused: 'False' });
  const disk = parsed('hvm-from-disk');
  expect(disk.b_info['type.hvm'].boot).toBe('c');
  expect(disk.b_info['type.hvm'].vnc).toMatchObject({ enable: 'False' });
  expect(parsed('hvm-on-images').b_info['type.hvm'].vnc).toMatchObject({
    listen: '127.0.0.1',
    display: 7,
    findunused: 'False',
    passwd: 's3cret',
  });
  expect(parsed('hvm-on-images').disks).toMatchObject([
    { discard_enable: 'False' },
    { discard_enable: 'False' },
  ]);
  expect(parsed('bsd').b_info.kernel).toBe('/boot/netbsd-INSTALL_XEN3_DOMU');
});
