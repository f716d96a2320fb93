import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { createLvmProgram } from '../../src/drivers/lvm-program.ts';
import { createSmallPrograms, type SmallPrograms } from './small-programs.ts';

let programs: SmallPrograms;
beforeEach(() => {
  programs = createSmallPrograms();
  for (const folder of ['mnt', 'udev', 'sys/block', 'sys/dev/block', 'sys/bus/xen-backend/devices'])
    mkdirSync(join(programs.root, folder), { recursive: true });
  programs.addRecording('lvs');
  lvmConf();
});
afterEach(() => programs.cleanup());

function lvmConf(filter = '["a|.*|"]', scan_lvs = 0): void {
  programs.add('lvmconfig', `printf '%s\\n' 'global_filter=${filter}' scan_lvs=${scan_lvs}`);
}
const file = (path: string, text: string) => {
  mkdirSync(join(programs.root, path, '..'), { recursive: true });
  writeFileSync(join(programs.root, path), `${text}\n`);
};
/** A loop device over a file in the folder of images, with the links that udev made of what a guest wrote there. */
function loop(name: string, ...links: readonly string[]): void {
  file(`sys/block/${name}/loop/backing_file`, `${programs.root}/mnt/xen01.img`);
  file(`sys/block/${name}/dev`, `7:${name.slice(4)}`);
  file(`udev/b7:${name.slice(4)}`, ['I:1', ...links.map((link) => `S:${link}`)].join('\n'));
}
async function hidden(): Promise<string | undefined> {
  const { root, runner } = programs;
  const config = {
    provisioning_mount_point: `${root}/mnt`,
    state_dir: `${root}/state`,
    sys_dir: `${root}/sys`,
  };
  const lvm = createLvmProgram({ runner, config, udev_data: `${root}/udev` });
  await lvm('lvs', ['vg0'], 10_000);
  const [quiet, flag, settings, ...more] = programs.calls().at(-1)?.args ?? [];
  expect([quiet, flag, more]).toEqual(['-qq', '--config', ['vg0']]);
  return /(?:^| )(devices\/global_filter=.*)$/.exec(settings ?? '')?.[1];
}

it('says nothing where there is nothing to hide', async () => {
  file('sys/block/loop3/loop/backing_file', '/srv/of-the-admin.img');
  lvmConf('["r|^/dev/sdx|","a|.*|"]');
  expect(await hidden()).toBeUndefined();
});

it('leaves out the pattern that takes every name: one name of a device that it took would be enough for LVM', async () => {
  loop('loop7', 'disk/by-id/lvm-pv-uuid-a');
  expect(await hidden()).toBe(
    'devices/global_filter=["r|^/dev/disk/by-id/lvm-pv-uuid-a$|","r|^/dev/loop7$|"]',
  );
});

it("tells every name of a device before the node's own patterns, whatever a guest has had udev call it", async () => {
  loop('loop7', 'disk/by-label/a|b".*', 'disk/by-uuid/x');
  lvmConf('["a|^/dev/disk/|","r|.*|"]');
  expect(await hidden()).toBe(
    'devices/global_filter=["r|^/dev/disk/by-label/a.b...$|","r|^/dev/disk/by-uuid/x$|","r|^/dev/loop7$|","a|^/dev/disk/|","r|.*|"]',
  );
});

it('hides what blkback gives to guests, and volumes where LVM would look at them', async () => {
  file('sys/bus/xen-backend/devices/vbd-1-51712/physical_device', '8:11');
  file('sys/bus/xen-backend/devices/vbd-2-51712/physical_device', 'fd:3');
  file('sys/block/sdb/sdb1/dev', '8:17');
  for (const [number, name, group] of [
    [3, 'vg0-xen01', 'aaaa'],
    [4, 'vg0-xen02', 'aaaa'],
    [5, 'vg0-crypt', ''],
  ] as const) {
    file(`sys/block/dm-${number}/dev`, `253:${number}`);
    file(`sys/block/dm-${number}/dm/uuid`, group === '' ? 'CRYPT-LUKS2-x' : `LVM-${group}b${number}`);
    file(`sys/block/dm-${number}/dm/name`, name);
  }
  symlinkSync('../../block/sdb/sdb1', join(programs.root, 'sys/dev/block/8:17'));
  symlinkSync('../../block/dm-3', join(programs.root, 'sys/dev/block/253:3'));
  file('state/stores/lvm.json', JSON.stringify({ id: 'aa-aa', at: 'vg0' }));
  expect(await hidden()).toBe('devices/global_filter=["r|^/dev/sdb1$|"]');
  lvmConf('["a|.*|"]', 1);
  const names = ['dm-3', 'dm-4', 'mapper/vg0-xen01', 'mapper/vg0-xen02', 'sdb1'];
  expect(await hidden()).toBe(
    `devices/global_filter=[${names.map((name) => `"r|^/dev/${name}$|"`).join(',')}]`,
  );
});
