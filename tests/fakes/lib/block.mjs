// Xen's own script of disks, /etc/xen/scripts/block, for a script that calls it: `add` makes sure that nobody else has the disk, and
// names its device; of a path that is not there it says nothing, and fails.
import { existsSync, realpathSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { openBy } from './open-files.mjs';
import { NotKnown, withState } from './store.mjs';
import { writeKey } from './xenstore.mjs';

function deviceOf(root, state, path) {
  const lv = Object.values(state.vgs)
    .flatMap((vg) => vg.lvs)
    .find((each) => join(root, 'dev', `dm-${each.minor}`) === path);
  if (lv) return { 'physical-device': `fd:${lv.minor.toString(16)}`, 'physical-device-path': path };
  if (!statSync(path).isFile()) throw new NotKnown(`block with ${path} is not part of the fake`);
  return { node: '/dev/loop0', 'physical-device': '7:0', 'physical-device-path': '/dev/loop0' };
}

function refuse(disk, device, { guest }) {
  const why = guest
    ? 'in a guest domain,\nand so cannot be mounted now.'
    : 'in the privileged domain,\nand so cannot be mounted by a guest.';
  writeKey(disk, 'hotplug-error', `Device ${device} is mounted ${why}`);
  writeKey(disk, 'hotplug-status', 'busy');
  return 1;
}

export async function main(root, _program, [command, ...more]) {
  const [, id, vdev] = /^backend\/vbd\/(\d+)\/(\d+)$/.exec(process.env.XENBUS_PATH ?? '') ?? [];
  if (!id || process.env.XENBUS_TYPE !== 'vbd' || more.length > 0 || !['add', 'remove'].includes(command))
    throw new NotKnown('block is called as libxl calls it: XENBUS_TYPE, XENBUS_PATH, `add` or `remove`');
  return withState(root, (state) => {
    const domain = state.domains.find((each) => each.id === Number(id));
    const disk = domain?.disks.find((each) => each.vdev_number === Number(vdev));
    if (!disk)
      throw new NotKnown(`block of ${process.env.XENBUS_PATH}, which is gone, is not part of the fake`);
    if (command === 'remove' || disk.store?.['physical-device']) return 0;
    if (!existsSync(disk.path)) {
      writeKey(disk, 'hotplug-status', 'connected');
      return 1;
    }
    const device = realpathSync(disk.path);
    const open = openBy(state, device, domain.id);
    if (open.guest || open.loop) return refuse(disk, device, open);
    for (const [key, value] of Object.entries(deviceOf(root, state, device))) writeKey(disk, key, value);
    writeKey(disk, 'hotplug-status', 'connected');
    return 0;
  });
}
