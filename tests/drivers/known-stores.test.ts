import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { STORE_MARK as MARK } from '../../src/core/store-mark.ts';
import { createKnownStores } from '../../src/drivers/known-stores.ts';

let base: string;
let folder: string;
beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), 'stores-'));
  folder = join(base, 'images');
});
afterEach(() => rmSync(base, { recursive: true }));

const stores = () => createKnownStores({ state_dir: join(base, 'state') });
const away = (why: RegExp) => ({ code: 'store_away', message: expect.stringMatching(why) });

it('a folder that was never used passes; it is marked when it is', async () => {
  await stores().requireFolder('vbd', folder);
  const id = await stores().claimFolder('vbd', folder);
  expect(readFileSync(join(folder, MARK), 'utf8')).toBe(`${id}\n`);
  expect(await stores().claimFolder('vbd', folder)).toBe(id);
  await stores().requireFolder('vbd', folder);
});

it('a folder without its mark, or with another one, is away; copied with its mark it is the same', async () => {
  const id = await stores().claimFolder('vbd', folder);
  renameSync(folder, `${folder}.away`);
  await expect(stores().requireFolder('vbd', folder)).rejects.toMatchObject(away(/its mark \S+ is missing/));
  mkdirSync(folder);
  for (const ask of ['requireFolder', 'claimFolder'] as const)
    await expect(stores()[ask]('vbd', folder)).rejects.toMatchObject(away(/is its file system mounted\?/));
  writeFileSync(join(folder, MARK), 'another\n');
  await expect(stores().requireFolder('vbd', folder)).rejects.toMatchObject(away(/is another one/));
  writeFileSync(join(folder, MARK), readFileSync(join(`${folder}.away`, MARK)));
  expect(await stores().claimFolder('vbd', folder)).toBe(id);
});

it('the way out that the error names works', async () => {
  const id = await stores().claimFolder('homes', folder);
  rmSync(folder, { recursive: true });
  mkdirSync(folder);
  const { message } = (await stores()
    .requireFolder('homes', folder)
    .catch((error: Error) => error as Error)) as Error;
  const [, written, path] = /echo (\S+) >(\S+)$/.exec(message) ?? [];
  writeFileSync(path ?? '', `${written}\n`);
  expect(await stores().claimFolder('homes', folder)).toBe(id);
});

it('another folder by the configuration begins anew, and a folder of one kind is none of another', async () => {
  const id = await stores().claimFolder('vbd', folder);
  const next = join(base, 'next');
  expect(await stores().claimFolder('vbd', next)).not.toBe(id);
  await expect(stores().requireFolder('vbd', folder)).rejects.toMatchObject(away(/is another one/));
  await stores().requireFolder('samples', join(base, 'samples'));
});

it('what cannot be understood is told, and nothing is taken for new', async () => {
  await stores().claimFolder('vbd', folder);
  writeFileSync(join(base, 'state/stores/vbd.json'), '{"id":');
  await expect(stores().requireFolder('vbd', folder)).rejects.toMatchObject({
    code: 'record_damaged',
    message: expect.stringMatching(/vbd\.json is damaged/),
  });
});

it('processes that claim a folder at the same moment have the same mark of it', async () => {
  const all = await Promise.all(Array.from({ length: 8 }, () => stores().claimFolder('vbd', folder)));
  expect(new Set(all).size).toBe(1);
  expect(readdirSync(folder)).toEqual([MARK]);
  expect(readdirSync(join(base, 'state/stores'))).toEqual(['vbd.json']);
});
