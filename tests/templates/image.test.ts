// The template `image`: any root file system or disk that an admin drops into a folder.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { loopsOver, mountsBelow } from '../scripts/call.ts';
import { installTemplate, makeMountedRoot } from './small-root.ts';

let place: ReturnType<typeof makeMountedRoot>;
let images: string;
let tree: string;
beforeEach(() => {
  place = makeMountedRoot();
  images = join(place.folder, 'images');
  tree = join(place.folder, 'tree');
  for (const folder of ['etc', 'usr/sbin']) mkdirSync(join(tree, folder), { recursive: true });
  mkdirSync(images);
  writeFileSync(join(tree, 'etc/hostname'), 'the image\n');
  writeFileSync(join(tree, 'usr/sbin/init'), 'an init', { mode: 0o755 });
  symlinkSync('usr/sbin', join(tree, 'sbin'));
  execFileSync('chown', ['1234:5678', join(tree, 'etc/hostname')]);
});
afterEach(() => {
  const { folder } = place;
  place.remove();
  expect([...mountsBelow(folder), ...loopsOver(folder)]).toEqual([]);
});

function run(program: string, ...args: string[]): void {
  execFileSync(program, args, { stdio: 'pipe' });
}
const image = (file: string) => join(images, file);

/** Writes NAME.sha256 as sha256sum does. */
function seal(file: string): void {
  const hash = createHash('sha256')
    .update(readFileSync(image(file)))
    .digest('hex');
  writeFileSync(image(`${file.replace(/\..*/, '')}.sha256`), `${hash}  ${file}\n`);
}

/** A raw disk: the tree in an ext4 file system, at `start` sectors behind a table of partitions where it is not 0. */
function makeDisk(path: string, start: number): void {
  const part = join(place.folder, 'part');
  run('truncate', '-s', '8M', part);
  run('mkfs.ext4', '-q', '-F', '-d', tree, part);
  run('truncate', '-s', String(start * 512 + 8 * 1024 * 1024 + 512 * 2048), path);
  run('dd', `if=${part}`, `of=${path}`, 'bs=512', `seek=${start}`, 'conv=notrunc');
  if (start === 0) run('truncate', '-s', '8M', path);
  else {
    const table = Buffer.alloc(66);
    const entry = (at: number, from: number, count: number) => {
      table[at + 4] = 0x83;
      table.writeUInt32LE(from, at + 8);
      table.writeUInt32LE(count, at + 12);
    };
    entry(0, 1, 2047);
    entry(16, start, 16384);
    table.writeUInt16LE(0xaa55, 64);
    const disk = openSync(path, 'r+');
    writeSync(disk, table, 0, 66, 446);
    closeSync(disk);
  }
  rmSync(part);
}

const install = () => installTemplate('image-small', place.root, { image_dir: images });

const MAKERS: Readonly<Record<string, (path: string) => unknown>> = {
  tar: (path) => run('tar', '-C', tree, '-cf', path, '.'),
  'tar.gz': (path) => run('tar', '-C', tree, '-czf', path, '.'),
  tgz: (path) => run('tar', '-C', tree, '-czf', path, '.'),
  'tar.xz': (path) => run('tar', '-C', tree, '-cJf', path, '.'),
  'tar.zst': (path) => run('tar', '-C', tree, '--zstd', '-cf', path, '.'),
  img: (path) => makeDisk(path, 0),
  raw: (path) => makeDisk(path, 2048),
  qcow2: (path) => {
    makeDisk(`${path}.raw`, 2048);
    run('qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2', `${path}.raw`, path);
    rmSync(`${path}.raw`);
  },
};

it.each(Object.keys(MAKERS))('installs a .%s with its owners, modes and links', (suffix) => {
  MAKERS[suffix]?.(image(`small.${suffix}`));
  seal(`small.${suffix}`);
  const { exit_code, output } = install();
  expect(exit_code, output).toBe(0);
  expect(readFileSync(join(place.root, 'etc/hostname'), 'utf8')).toBe('the image\n');
  const { uid, gid } = statSync(join(place.root, 'etc/hostname'));
  expect([uid, gid]).toEqual([1234, 5678]);
  expect(statSync(join(place.root, 'usr/sbin/init')).mode & 0o777).toBe(0o755);
  expect(readlinkSync(join(place.root, 'sbin'))).toBe('usr/sbin');
  expect(readdirSync(images).sort()).toEqual(['small.sha256', `small.${suffix}`].sort());
});

it.each([
  ['is not there', (): void => undefined, /there is no image .*small/],
  ['has no checksum', () => MAKERS['tar']?.(image('small.tar')), /there is no .*small\.sha256/],
  [
    'is another one than the checksum says',
    () => {
      MAKERS['tar']?.(image('small.tar'));
      seal('small.tar');
      writeFileSync(image('small.tar'), 'x', { flag: 'a' });
    },
    /is damaged, or another one/,
  ],
  [
    'is there twice',
    () => {
      for (const kind of ['tar', 'tar.gz']) MAKERS[kind]?.(image(`small.${kind}`));
      seal('small.tar');
    },
    /there are two images of that name/,
  ],
  [
    'has no init',
    () => {
      rmSync(join(tree, 'usr/sbin/init'));
      MAKERS['tar']?.(image('small.tar'));
      seal('small.tar');
    },
    /there is no init in it/,
  ],
  [
    'is cut off',
    () => {
      MAKERS['tar.gz']?.(image('small.tar.gz'));
      run('truncate', '-s', '100', image('small.tar.gz'));
      seal('small.tar.gz');
    },
    /cannot be unpacked/,
  ],
  [
    'is a disk of nothing',
    () => {
      run('truncate', '-s', '4M', image('small.raw'));
      seal('small.raw');
    },
    /holds no file system/,
  ],
  [
    'is a qcow2 which takes a file of the node as its base',
    () => {
      run(
        'qemu-img',
        'create',
        '-q',
        '-f',
        'qcow2',
        '-F',
        'raw',
        '-b',
        '/etc/passwd',
        image('small.qcow2'),
        '1M',
      );
      seal('small.qcow2');
    },
    /it has a backing file/,
  ],
] as const)('refuses an image that %s', (_what, make, why) => {
  make();
  const { exit_code, output } = install();
  expect(exit_code).toBe(1);
  expect(output).toMatch(why);
  expect(readdirSync(images).filter((name) => name.startsWith('.'))).toEqual([]);
});

it('an archive cannot write outside of the root', () => {
  const outside = join(place.folder, 'outside');
  mkdirSync(outside);
  writeFileSync(join(outside, 'kept'), 'kept');
  const make = `
import io, sys, tarfile
archive, outside = sys.argv[1:]
def add(name, kind=tarfile.REGTYPE, link=''):
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, link
    data = b'' if link else b'escaped'
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))
with tarfile.open(archive, 'w') as tar:
    add(outside + '/absolute')
    add('../outside/parent')
    add('link', tarfile.SYMTYPE, outside)
    add('link/through')
    add('up', tarfile.SYMTYPE, '../outside')
    add('up/through-relative')
    add('hard', tarfile.LNKTYPE, outside + '/kept')
    add('hard')
`;
  run('/usr/bin/python3', '-c', make, image('small.tar'), outside);
  seal('small.tar');
  expect(install().exit_code).toBe(1);
  expect(readdirSync(outside)).toEqual(['kept']);
  expect(readFileSync(join(outside, 'kept'), 'utf8')).toBe('kept');
  expect(existsSync(join(place.folder, 'parent'))).toBe(false);
});
