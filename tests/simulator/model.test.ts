// The model itself: what a power cut may leave, and what it may not.
import { describe, expect, it } from 'vitest';
import { Chance } from './chance.ts';
import { Disk } from './disk.ts';
import { FileSystem, type Inode } from './file-system.ts';
import { VolumeGroup } from './volumes.ts';

const fileSystem = () => new FileSystem('test', 100, { now: () => 1, onGone: () => undefined });

function put(fs: FileSystem, name: string, text: string): Inode {
  const inode = fs.make('file', 0o600);
  fs.change({ folder: fs.root, name, to: inode });
  fs.write(inode, text);
  return inode;
}

/** What a hundred power cuts leave of what was done, each in words. */
function afterCuts(act: (fs: FileSystem) => void): Set<string> {
  const seen = new Set<string>();
  for (let seed = 1; seed <= 100; seed += 1) {
    const fs = fileSystem();
    act(fs);
    fs.crash(new Chance(seed));
    const files = [...fs.root.entries].map(([name, { text }]) => `${name}=${text}`);
    seen.add(files.sort().join(' '));
  }
  return seen;
}

describe('a power cut', () => {
  it('keeps what was synced, content and name', () => {
    const left = afterCuts((fs) => {
      const file = put(fs, 'a', 'whole');
      fs.sync(file);
      fs.sync(fs.root);
    });
    expect(left).toEqual(new Set(['a=whole']));
  });

  it('may lose a name whose folder was not synced, and tears content that was not', () => {
    const nameless = afterCuts((fs) => fs.sync(put(fs, 'a', 'whole')));
    expect(nameless).toEqual(new Set(['', 'a=whole']));
    const torn = afterCuts((fs) => {
      put(fs, 'a', 'whole');
      fs.sync(fs.root);
    });
    expect(torn.has('a=whole')).toBe(true);
    expect(torn.has('a=')).toBe(true);
    expect([...torn].some((text) => /^a=w.{0,3}$/.test(text))).toBe(true);
  });

  it('undoes a rename as a whole or not at all, and one that builds on another only before it', () => {
    const act = (fs: FileSystem) => {
      const [one, two] = [put(fs, 'one', '1'), put(fs, 'two', '2')];
      for (const inode of [one, two, fs.root]) fs.sync(inode);
      const rename = (from: string, to: string) =>
        fs.change(
          { folder: fs.root, name: to, to: fs.root.entries.get(from) },
          { folder: fs.root, name: from, to: undefined },
        );
      rename('one', 'old');
      rename('two', 'one');
    };
    expect(afterCuts(act)).toEqual(new Set(['one=1 two=2', 'old=1 two=2', 'old=1 one=2']));
  });

  it('gives the number of a file that is gone to the next one', () => {
    const fs = fileSystem();
    const { ino } = put(fs, 'a', '');
    fs.change({ folder: fs.root, name: 'a', to: undefined });
    expect(put(fs, 'b', '').ino).toBe(ino);
  });

  it('takes the last changes of a volume group back, until its disk is flushed', () => {
    const left = new Set<string>();
    for (let seed = 1; seed <= 50; seed += 1) {
      const group = new VolumeGroup('uuid', 100);
      const volume = group.make(new Disk('root', 'xen01', 4096, 0));
      group.commit((names) => names.set('a', volume));
      group.flush();
      for (const [from, to] of [
        ['a', 'b'],
        ['b', 'c'],
      ] as const) {
        group.commit((names) => {
          names.delete(from);
          names.set(to, volume);
        });
      }
      group.crash(new Chance(seed));
      left.add([...group.names.keys()].join());
    }
    expect(left).toEqual(new Set(['a', 'b', 'c']));
  });
});
