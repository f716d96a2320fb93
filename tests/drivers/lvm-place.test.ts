import { describe, expect, it } from 'vitest';
import type { Volume, VolumeGroup } from '../../src/drivers/lvm-group.ts';
import { findPlace, requireFit, requireRoom } from '../../src/drivers/lvm-place.ts';

const GIB = 1024 ** 3;
const group: VolumeGroup = {
  name: 'vg0',
  uuid: 'uuid0',
  missing_disks: 0,
  free_bytes: 5 * GIB,
  extent_bytes: 4 << 20,
};
const volume = (name: string, more: Partial<Volume> = {}): Volume => ({
  ...{ name, uuid: name, size_bytes: GIB, open: false, origin: '', pool: '', attr: '-wi-a-----' },
  ...{ metadata_percent: undefined, health: '' },
  ...more,
});
const pool = (more: Partial<Volume> = {}) =>
  volume('pool', { size_bytes: 10 * GIB, attr: 'twi-aotz--', metadata_percent: 11.04, ...more });
const thin = (name: string, more: Partial<Volume> = {}) =>
  volume(name, { pool: 'pool', attr: 'Vwi-a-tz--', ...more });
const there = (...volumes: Volume[]) => new Map(volumes.map((each) => [each.name, each]));

describe('the place of new volumes', () => {
  it('is the volume group without a pool', () => {
    const place = findPlace(group, there(pool(), thin('xen01')), '');
    expect(place).toEqual({
      ...{ told: 'volume group vg0', pool: undefined },
      ...{ free_bytes: 5 * GIB, waiting_bytes: 0 },
    });
    requireFit(place, 'vg0');
  });

  it('is a pool, where every thin volume counts as a whole, and thick ones do not', async () => {
    const base = thin('dtc-xen-base.k', { attr: 'Vri---tz-k' });
    const all = there(pool(), thin('xen01', { size_bytes: 3 * GIB }), base, volume('xen02'));
    const place = findPlace(group, all, 'pool');
    expect(place).toMatchObject({ told: 'thin pool vg0/pool', free_bytes: 6 * GIB });
    requireFit(place, 'vg0');
    const hurry = () => Promise.reject(new Error('nothing waits'));
    await requireRoom(place, 6 * GIB, 'xen03: its disks need', hurry);
    await expect(requireRoom(place, 6 * GIB + 1, 'xen03: its disks need', hurry)).rejects.toThrow(
      'xen03: its disks need 6145 MB, and thin pool vg0/pool has 6144 MB free.',
    );
  });

  it('has the room of removed disks when they are overwritten, which is hurried where that is enough', async () => {
    const asked: number[] = [];
    const hurry = async (bytes: number) => {
      asked.push(bytes);
      return 'in about 7 s';
    };
    const place = findPlace(group, there(volume('dtc-xen-removed.xen01.u', { size_bytes: 2 * GIB })), '');
    expect(place).toMatchObject({ free_bytes: 5 * GIB, waiting_bytes: 2 * GIB });
    await expect(requireRoom(place, 8 * GIB, 'xen03: its disks need', hurry)).rejects.toThrow(
      'xen03: its disks need 8192 MB, and volume group vg0 has 5120 MB free, and 2048 MB more when removed disks are overwritten.',
    );
    expect(asked).toEqual([]);
    await expect(requireRoom(place, 6 * GIB, 'xen03: its disks need', hurry)).rejects.toMatchObject({
      code: 'no_space',
      message:
        'xen03: its disks need 6144 MB, and volume group vg0 has 5120 MB free; the room is there in about 7 s: 2048 MB of removed disks are overwritten at full speed now. Call again then.',
    });
    expect(asked).toEqual([GIB]);
  });

  it('has no room less than none where an admin promised more than there is', () => {
    expect(findPlace(group, there(pool(), thin('big', { size_bytes: 99 * GIB })), 'pool').free_bytes).toBe(0);
  });

  it('is looked up, and what is there is named', () => {
    expect(() => findPlace(group, there(), 'pool')).toThrow(
      'Volume group vg0 has no thin pool pool. It has none; see provisioning_thinpool in dtc-xen.conf, and lvs.',
    );
    expect(() => findPlace(group, there(pool(), volume('xen01')), 'xen01')).toThrow(
      'vg0/xen01 is no thin pool. It has pool; see provisioning_thinpool',
    );
    for (const name of ['-a', 'a b', '../pool']) {
      expect(() => findPlace(group, there(pool()), name)).toThrow(/has no thin pool/);
    }
  });

  it.each([
    [{ health: 'out_of_data' }, /health as "out_of_data"\. See lvs -a vg0/],
    [{ attr: 'twi-aot---' }, /a guest could read what another one wrote.*lvchange -Z y vg0\/pool/],
    [{ metadata_percent: 90 }, /90 % of its metadata is used.*--poolmetadatasize \+128M vg0\/pool/],
  ])('is refused where it is not fit: %j', (wrong, told) => {
    expect(() => requireFit(findPlace(group, there(pool(wrong)), 'pool'), 'vg0')).toThrow(told);
  });
});
