// Bases as volumes of a thin pool, on the fake node: made once of the archive, used by many, and gone when nothing names them.
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { createBases } from '../../src/base/bases.ts';
import { createLvmBases } from '../../src/drivers/lvm-bases.ts';
import { openFakeThinNode } from '../contract/drivers/fake-driver-node.ts';
import { type House, makeHouse, TRIXIE } from './house.ts';

const DISK_BYTES = 512 << 20;

let house: House;
let node: Awaited<ReturnType<typeof openFakeThinNode>>;
beforeEach(async () => {
  house = makeHouse();
  node = await openFakeThinNode();
});
afterEach(async () => {
  house.clean();
  await node.cleanup();
});

const volumes = () => createLvmBases(node);
const keeper = () =>
  createBases({
    runner: house.runner,
    locks: house.locks,
    state_dir: join(house.home, 'state'),
    run_dir: join(house.home, 'run'),
    scripts_dir: join(house.home, 'scripts'),
    volumes: volumes(),
  });
const hold = (disk_bytes = DISK_BYTES) => keeper().volume({ debian: TRIXIE }, disk_bytes, house.context());
const names = async () => (await volumes().list()).map(({ name }) => name);

it('are made once for many at once, and hold the system without what is one machine alone', async () => {
  const held = await Promise.all([hold(), hold(), hold()]);
  const [name = '', ...others] = await names();
  expect([house.made(), others]).toEqual([1, []]);
  expect(name).toMatch(/^trixie-[0-9a-f]{16}\.[0-9a-f]{16}$/);
  for (const each of held) {
    expect(each?.volume.name).toBe(name);
    await each?.release();
  }
  const { runner, config } = node;
  const lv = `vg0/dtc-xen-base.${name}`;
  await runner.check({ label: 'l', program: 'lvchange', args: ['-ay', '-K', lv], timeout_ms: 9_000 });
  const path = join(config.dev_dir, lv);
  const cat = (file: string) =>
    execFileSync('debugfs', ['-R', `cat ${file}`, path], { stdio: 'pipe' }).toString();
  expect([cat('/etc/debian_version'), cat('/etc/machine-id')]).toEqual(['trixie\n', '']);
  expect(house.log().match(/a volume of it is being made/g)).toHaveLength(1);
});

it('are not made where the disk is smaller, or the pool has no room beside it', async () => {
  expect(await hold(100 << 20)).toBeUndefined();
  expect(await hold(2000 * (1 << 20))).toBeUndefined();
  expect(house.log()).toMatch(
    /larger than the disk\n[\s\S]*no volume of it: a volume beside the new disk needs/,
  );
  expect(await names()).toEqual([]);
});

it('are refreshed with their archives; a volume that is used stays until it is not', async () => {
  const held = await hold();
  const [old = ''] = await names();
  await keeper().refresh(TRIXIE, 'all', house.context());
  expect(await names()).toHaveLength(2);
  await held?.release();
  await keeper().refresh(TRIXIE, { older_than_days: 7 }, house.context());
  const left = await names();
  expect(left).toHaveLength(1);
  expect(left).not.toContain(old);
  const [base] = await keeper().list();
  await keeper().drop(base?.key ?? '', house.context());
  expect([await names(), await keeper().list()]).toEqual([[], []]);
});

it('of templates are known by what they are made from, and those that nobody uses any more go at night', async () => {
  const template = (made_from: string) => ({
    template: {
      os: 'Image_web',
      made_from: [made_from],
      needs_kib: 1000,
      fill: (path: string) => Promise.resolve(writeFileSync(path, made_from, { flag: 'r+' })),
    },
  });
  const use = async (made_from: string) =>
    (await keeper().volume(template(made_from), DISK_BYTES, house.context()))?.release();
  await use('one');
  await use('one');
  const [one = ''] = await names();
  expect(one).toMatch(/^image-web-[0-9a-f]{16}\./);
  await use('two');
  expect(await names()).not.toContain(one);
  await keeper().refresh(TRIXIE, 'all', house.context());
  expect(await names()).toHaveLength(2);
  const [key = ''] = (await names())[0]?.split('.') ?? [];
  const long_ago = new Date(Date.now() - 40 * 24 * 3_600_000).toISOString();
  execFileSync('touch', ['-d', long_ago, join(house.home, 'state/base/volumes', key)]);
  await keeper().refresh(TRIXIE, { older_than_days: 7 }, house.context());
  expect((await names()).map((name) => name.replace(/-.*/, ''))).toEqual(['trixie']);
});

it('that nobody finished are found and taken away, but not while they are made', async () => {
  let during: string[] = ['nothing yet'];
  await volumes()
    .make('trixie-0123456789abcdef.0123456789abcdef', { size_bytes: 8 << 20, spare_bytes: 0 }, async () => {
      // As a crash leaves it: nobody has its lock.
      during = await keeper().tidy();
      throw new Error('cut off');
    })
    .catch((error: Error) => expect(error.message).toBe('cut off'));
  expect(during).toEqual(['trixie-0123456789abcdef.0123456789abcdef']);
  writeFileSync(join(house.home, 'wait'), '');
  const made = hold();
  while (house.made() === 0) await keeper().tidy();
  execFileSync('rm', [join(house.home, 'wait')]);
  const held = await made;
  expect(await keeper().tidy()).toEqual([]);
  expect(held?.volume.name).toBe((await names())[0]);
  await held?.release();
});
