// Who holds a disk open: a fake guest, or the machine's own loop devices and mounts.
import { existsSync, readdirSync, readFileSync, realpathSync } from 'node:fs';

const real = (path) => (existsSync(path) ? realpathSync(path) : path);

/** The file behind a loop device; undefined where it has none, or loses it in this moment. */
function backingFile(name) {
  try {
    return readFileSync(`/sys/block/${name}/loop/backing_file`, 'utf8').trimEnd();
  } catch (error) {
    if (['ENOENT', 'ENODEV', 'ENXIO', 'EIO'].includes(error.code)) return undefined;
    throw error;
  }
}

const loopDevices = (path) =>
  readdirSync('/sys/block')
    .filter((name) => name.startsWith('loop'))
    .filter((name) => backingFile(name) === path);

const isMounted = (loop) =>
  readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .some((line) => line.includes(` - `) && line.split(' - ')[1].split(' ')[1] === `/dev/${loop}`);

/** A disk with a script of its own is opened for its guest when the script has named the device. */
const isAdded = ({ script, store }) => !script?.startsWith('/') || store?.['physical-device'] !== undefined;

/** `{ guest, loop, mounted }`: each true where the file is open in that way; `but`: by another guest than this domain. */
export function openBy(state, path, but) {
  const target = real(path);
  const guest = state.domains.some(
    ({ id, disks }) => id !== but && disks.some((disk) => isAdded(disk) && real(disk.path) === target),
  );
  const loops = loopDevices(target);
  return { guest, loop: loops.length > 0, mounted: loops.some(isMounted) };
}

export const isOpen = (state, path) => {
  const { guest, loop } = openBy(state, path);
  return guest || loop;
};
