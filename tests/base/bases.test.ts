import { execFileSync } from 'node:child_process';
import {
  closeSync,
  lstatSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createBaseFolder } from '../../src/base/folder.ts';
import type { BaseManifest } from '../../src/base/manifest.ts';
import { type House, makeHouse, TRIXIE } from './house.ts';

let house: House;
beforeEach(() => {
  house = makeHouse();
});
afterEach(() => house.clean());

const at = (name: string) => join(house.home, 'state/base', name);
const install = (root: string) => house.keeper().install(TRIXIE, root, house.context());
const onlyBase = async () => {
  const [base, ...more] = await house.keeper().list();
  if (!base || more.length > 0) throw new Error(`there is not one base: ${house.files().join(' ')}`);
  return base;
};
const archives = () => house.files().filter((name) => name.endsWith('.tar.zst'));
const folder = () =>
  createBaseFolder({
    state_dir: join(house.home, 'state'),
    run_dir: join(house.home, 'run'),
    locks: house.locks,
  });

async function heldBase(): Promise<{ base: BaseManifest; release: () => Promise<void> }> {
  const base = await onlyBase();
  const lock = await folder().hold(base);
  if (!lock) throw new Error('the base cannot be held');
  return { base, release: lock.release };
}

function damage(base: BaseManifest): void {
  const file = openSync(at(base.archive), 'r+');
  writeSync(file, 'damage', 1000);
  closeSync(file);
}

describe('an installation from a base', () => {
  it('has everything of the base, but what is one machine alone', async () => {
    writeFileSync(join(house.home, 'with-sshd'), '');
    const first = house.target();
    const second = house.target();
    await install(first.root);
    await install(second.root);
    expect(house.made()).toBe(1);
    for (const { root, text } of [first, second]) {
      expect(text('etc/debian_version')).toBe('trixie\n');
      expect(text('etc/machine-id')).toBe('');
      expect(readdirSync(join(root, 'var/lib/apt/lists'))).toEqual([]);
      expect(readdirSync(join(root, 'var/log'))).toEqual([]);
      expect(readdirSync(join(root, 'tmp'))).toEqual([]);
      expect(readdirSync(join(root, 'etc'))).not.toContain('hostname');
      expect(text('etc/ssh/ssh_host_rsa_key')).toContain('PRIVATE KEY');
      const { mode, nlink } = statSync(join(root, 'usr/sbin/setuid'));
      expect([mode & 0o7777, nlink]).toEqual([0o4755, 2]);
      expect(statSync(join(root, 'root'))).toMatchObject({ uid: 12345, gid: 23456 });
      expect(lstatSync(join(root, 'etc/soft')).isSymbolicLink()).toBe(true);
      expect(
        execFileSync('getfattr', [
          '--absolute-names',
          '-n',
          'user.test',
          '--only-values',
          join(root, 'etc/passwd'),
        ]).toString(),
      ).toBe('kept');
      expect(execFileSync('getfacl', ['-cnp', join(root, 'etc/passwd')]).toString()).toContain(
        'user:34567:r--',
      );
    }
    expect(first.text('etc/ssh/ssh_host_rsa_key')).not.toBe(second.text('etc/ssh/ssh_host_rsa_key'));
    expect(first.text('usr/random')).toBe(second.text('usr/random'));
    const { key, archive } = await onlyBase();
    expect(house.files()).toEqual([archive, `${key}.json`, `${key}.used`].sort());
  });

  it('is one of eight at once, and the base is made once', async () => {
    writeFileSync(join(house.home, 'with-sshd'), '');
    const targets = Array.from({ length: 8 }, () => house.target());
    await Promise.all(targets.map(({ root }) => install(root)));
    expect(house.made()).toBe(1);
    expect(house.log().match(/being made/g)).toHaveLength(1);
    expect(house.log().match(/somebody else works on it; waiting/g)?.length).toBeGreaterThan(0);
    const keys = targets.map(({ text }) => text('etc/ssh/ssh_host_ed25519_key'));
    expect(new Set(keys).size).toBe(8);
    expect(archives()).toHaveLength(1);
  });

  it('sets a damaged base aside, says so, and makes it anew', async () => {
    await install(house.target().root);
    const old = await onlyBase();
    damage(old);
    const target = house.target();
    await install(target.root);
    expect(target.text('etc/debian_version')).toBe('trixie\n');
    expect(house.log()).toContain(
      `base ${old.key}: its archive is damaged; it is set aside as ${old.key}.damaged and made anew`,
    );
    expect(house.made()).toBe(2);
    expect(house.files()).toContain(`${old.key}.damaged`);
    expect(archives()).toHaveLength(1);
  });

  it('takes no base whose manifest is cut off or damaged', async () => {
    await install(house.target().root);
    const { key } = await onlyBase();
    const texts = ['', '{"key":', '{"key":"trixie-0123456789abcdef"}'];
    for (const [times, text] of texts.entries()) {
      writeFileSync(at(`${key}.json`), text);
      await install(house.target().root);
      expect(house.made()).toBe(times + 2);
      expect(archives()).toHaveLength(1);
    }
  });

  it('is refused where the disk is too small, before anything is written', async () => {
    await install(house.target().root);
    const small = house.target('1M');
    await expect(install(small.root)).rejects.toThrow(/not enough free space/);
    expect(readdirSync(small.root)).toEqual(['lost+found']);
  });

  it('fails where the mirror is down, leaves nothing, and the next one makes the base', async () => {
    writeFileSync(join(house.home, 'no-mirror'), '');
    const target = house.target();
    await expect(install(target.root)).rejects.toThrow('the mirror is down');
    expect(await house.keeper().list()).toEqual([]);
    rmSync(join(house.home, 'no-mirror'));
    await install(target.root);
    expect(house.files().filter((name) => name.startsWith('.making'))).toEqual([]);
  });

  it('is bootstrapped on the disk where it does not fit into memory', async () => {
    const script = join(house.home, 'scripts/base-make');
    const small = readFileSync(script, 'utf8')
      .replace(/PLENTY_MIB=\d+/, 'PLENTY_MIB=1')
      .replace(/size=[^"]+"/, 'size=2m"');
    writeFileSync(script, small);
    const target = house.target();
    await install(target.root);
    expect(target.text('etc/debian_version')).toBe('trixie\n');
    expect(house.log()).toContain('it does not fit into memory; again, on the disk');
    expect(house.made()).toBe(2);
  });

  it('goes straight onto the disk where there is no room for a base', async () => {
    const state = join(house.home, 'state');
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=8m', 'test', state]);
    try {
      const target = house.target();
      await install(target.root);
      expect(target.text('etc/debian_version')).toBe('trixie\n');
      expect(house.log()).toContain('there is no room to make a base');
      expect(house.files()).toEqual([]);
    } finally {
      execFileSync('umount', [state]);
    }
  });

  it('stops waiting when it is cancelled', async () => {
    writeFileSync(join(house.home, 'wait'), '');
    const first = install(house.target().root);
    while (house.made() === 0) await sleep(20);
    const cancel = new AbortController();
    const second = house.keeper().install(TRIXIE, house.target().root, house.context(cancel.signal));
    await sleep(100);
    cancel.abort();
    await expect(second).rejects.toThrow('was cancelled');
    rmSync(join(house.home, 'wait'));
    await first;
    expect(house.made()).toBe(1);
  });
});

describe('a refresh', () => {
  const refresh = (which: 'all' | { older_than_days: number } = 'all', system = TRIXIE) =>
    house.keeper().refresh(system, which, house.context());

  it('makes nothing at night where nothing was ever installed', async () => {
    await refresh({ older_than_days: 7 });
    expect(house.made()).toBe(0);
    await refresh();
    expect(house.made()).toBe(1);
  });

  it('makes anew what is old, and leaves what is not', async () => {
    await refresh();
    await refresh({ older_than_days: 7 });
    expect(house.made()).toBe(1);
    const old = await onlyBase();
    await refresh({ older_than_days: 0 });
    expect(house.made()).toBe(2);
    const fresh = await onlyBase();
    expect([fresh.key, archives()]).toEqual([old.key, [fresh.archive]]);
    expect(fresh.archive).not.toBe(old.archive);
  });

  it('goes on using the old one until the new one is ready, and removes it when nobody uses it', async () => {
    await refresh();
    const { base, release } = await heldBase();
    writeFileSync(join(house.home, 'wait'), '');
    const refreshed = refresh();
    while (house.made() < 2) await sleep(20);
    await install(house.target().root);
    expect((await onlyBase()).archive).toBe(base.archive);
    rmSync(join(house.home, 'wait'));
    await refreshed;
    expect((await onlyBase()).archive).not.toBe(base.archive);
    expect(archives()).toContain(base.archive);
    await release();
    await refresh({ older_than_days: 7 });
    expect(archives()).toEqual([(await onlyBase()).archive]);
  });

  it('removes what nothing asks for any more, and keeps other releases that were used lately', async () => {
    const bookworm = { ...TRIXIE, release: 'bookworm' };
    await refresh('all', { ...TRIXIE, packages: [] });
    await house.keeper().install(bookworm, house.target().root, house.context());
    await refresh({ older_than_days: 7 });
    const releases = async () => (await house.keeper().list()).map(({ inputs }) => inputs.release);
    expect(await releases()).toEqual(['bookworm', 'trixie']);
    expect((await house.keeper().list())[1]?.inputs.packages).toEqual(['less', 'vim']);
    const used = house.files().find((name) => name.startsWith('bookworm') && name.endsWith('.used')) ?? '';
    const long_ago = new Date(Date.now() - 40 * 24 * 3_600_000);
    utimesSync(at(used), long_ago, long_ago);
    await refresh({ older_than_days: 7 });
    expect(await releases()).toEqual(['trixie']);
  });
});

describe('dropping a base', () => {
  it('waits until nobody uses it', async () => {
    await install(house.target().root);
    const { base, release } = await heldBase();
    const dropped = house.keeper().drop(base.key, house.context());
    while (!house.log().includes('still used')) await sleep(20);
    expect(archives()).toEqual([base.archive]);
    await release();
    await dropped;
    expect(house.files()).toEqual([]);
  });

  it('says where there is none', async () => {
    await expect(house.keeper().drop('trixie-0123456789abcdef', house.context())).rejects.toThrow(
      'There is no base trixie-0123456789abcdef',
    );
  });
});
