// The fake blkdiscard: of a volume, `--zeroout` alone.
import { closeSync, existsSync, openSync, realpathSync, statSync, writeSync } from 'node:fs';
import { signature } from './lvm-volumes.mjs';
import { err, NotKnown } from './store.mjs';

const CHUNK = Buffer.alloc(1024 * 1024);
const number = (text) => (/^[0-9]+$/.test(text) ? Number(text) : undefined);

export async function main(_root, _program, args) {
  const [zeroout, offset_option, offset_text, length_option, length_text, dashes, path, ...more] = args;
  const [offset, length] = [number(offset_text ?? ''), number(length_text ?? '')];
  const words = [zeroout, offset_option, length_option, dashes];
  const known = ['--zeroout', '--offset', '--length', '--'].every((word, at) => words[at] === word);
  if (!known || offset === undefined || length === undefined || !path || more.length > 0) {
    throw new NotKnown(
      'blkdiscard, but for --zeroout --offset N --length N -- PATH, is not part of the fake',
    );
  }
  if (!existsSync(path)) {
    err(`blkdiscard: cannot open ${path}: No such file or directory\n`);
    return 1;
  }
  const device = realpathSync(path);
  const end = Math.min(offset + length, statSync(device).size);
  if (offset % 512 !== 0 || length % 512 !== 0 || offset >= end) {
    throw new NotKnown('what blkdiscard says of a place that is not on the disk is not part of the fake');
  }
  const found = signature(device);
  if (found) err(`blkdiscard: ${path} contains existing file system (${found.type}).\n`);
  const disk = openSync(device, 'r+');
  for (let at = offset; at < end; at += CHUNK.length)
    writeSync(disk, CHUNK, 0, Math.min(CHUNK.length, end - at), at);
  closeSync(disk);
  return 0;
}
