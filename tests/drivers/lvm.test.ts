import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseVpsId, type VpsId } from '../../src/core/vps.ts';
import { createLvm } from '../../src/drivers/lvm.ts';
import { createSmallPrograms, type SmallPrograms } from './small-programs.ts';
import { transcript } from './transcript.ts';

const xen01 = parseVpsId('01') as VpsId;
const GIB = 1024 ** 3;

let programs: SmallPrograms;
beforeEach(() => {
  programs = createSmallPrograms();
  programs.add('lvmconfig', `echo 'global_filter=["a|.*|"]'; echo scan_lvs=0`);
});
afterEach(() => programs.cleanup());

const CONFIG = {
  ...{ provisioning_volgroup: '', provisioning_thinpool: '', wipe_removed_disks: 'no' as const },
  ...{ dev_dir: '/dev', sys_dir: '/nowhere', run_dir: '/nowhere', state_dir: '/nowhere' },
  provisioning_mount_point: '/nowhere',
};
const lvm = (provisioning_volgroup = '') =>
  createLvm({
    runner: programs.runner,
    config: { ...CONFIG, state_dir: programs.root, provisioning_volgroup },
  });

const report = (kind: 'lv' | 'vg', rows: readonly object[]) =>
  JSON.stringify({ report: [{ [kind]: rows }], log: [] });
const IN_GROUP = {
  vg_uuid: 'uuid0',
  vg_missing_pv_count: '0',
  vg_free: `${2 * GIB}`,
  vg_extent_size: '4194304',
};
const groups = (...names: string[]) =>
  programs.addRecording(
    'vgs',
    `echo '${report(
      'vg',
      names.map((vg_name) => ({ vg_name, ...IN_GROUP })),
    )}'`,
  );
const volumes = (...rows: { lv_name: string; lv_device_open?: string; origin?: string }[]) =>
  programs.addRecording(
    'lvs',
    `echo '${report(
      'lv',
      rows.map((row) => ({
        ...{ vg_name: 'data', ...IN_GROUP },
        ...{ lv_size: `${GIB}`, lv_attr: '-wi-------', lv_device_open: '', origin: '' },
        ...row,
      })),
    )}'`,
  );
const changes = () =>
  programs
    .calls()
    .filter(({ program }) => !['lvs', 'vgs'].includes(program))
    .map(({ program, args: [quiet, config, settings, ...args] }) => {
      expect([quiet, config, settings]).toEqual([
        '-qq',
        '--config',
        expect.stringContaining('log/prefix=""'),
      ]);
      return [program, ...args].join(' ');
    });

describe('the volume group', () => {
  it('is the only one there is, or the configured one', async () => {
    groups('data');
    volumes({ lv_name: 'xen01', lv_device_open: 'open' });
    expect(await lvm().find(xen01)).toEqual({
      type: 'lvm',
      root: { path: '/dev/data/xen01', size_bytes: GIB, in_use: true },
      swap: undefined,
    });
    expect(await lvm().free_mib()).toBe(2048);
    expect(await lvm().roundedSize_bytes(1)).toBe(4 * 1024 * 1024);
  });

  it('is asked for where there are several, and missed where there is none', async () => {
    groups('data', 'backup');
    await expect(lvm().find(xen01)).rejects.toMatchObject({
      code: 'no_volume_group',
      message:
        'The node has several volume groups (data, backup); name one in provisioning_volgroup in dtc-xen.conf.',
    });
    groups();
    await expect(lvm().free_mib()).rejects.toMatchObject({ code: 'no_volume_group' });
  });

  it('is told as missing where LVM says so', async () => {
    // As LVM 2.03.16 and 2.03.31 say it, where no log is to be within the report.
    const missing = `cat <<'X'
{
    "report": [
        {
            "lv": [
            ]
        }
    ]
}
X
cat >&2 <<'X'
WARNING: Activation disabled. No device-mapper interaction will be attempted.
Volume group "vgnone" not found
Cannot process volume group vgnone
X
exit 5`;
    programs.add('vgs', missing.replace('"lv"', '"vg"'));
    programs.add('lvs', missing);
    const message = 'There is no volume group vgnone; see provisioning_volgroup in dtc-xen.conf, and vgs.';
    await expect(lvm('vgnone').free_mib()).rejects.toMatchObject({ code: 'no_volume_group', message });
    await expect(lvm('vgnone').find(xen01)).rejects.toMatchObject({ code: 'no_volume_group', message });
  });

  it("is read where LVM has remarks on its archive, which would stand before the report's own JSON", async () => {
    const answer = report('vg', [{ vg_name: 'data', ...IN_GROUP }]);
    const remark =
      'Consider pruning data VG archive with more than 820 MiB in 8200 files (see archiving settings in lvm.conf).';
    programs.add('vgs', `case " $* " in *' -qq '*) ;; *) echo '  ${remark}' ;; esac\necho '${answer}'`);
    expect(await lvm().free_mib()).toBe(2048);
  });

  it('of an impossible name reaches no program', async () => {
    groups('data');
    for (const name of ['-a', 'a b', '@tag', 'a/b']) {
      await expect(lvm(name).find(xen01)).rejects.toMatchObject({ code: 'no_volume_group' });
      await expect(lvm(name).free_mib()).rejects.toMatchObject({ code: 'no_volume_group' });
    }
    expect(programs.calls()).toEqual([]);
  });
});

describe('making volumes', () => {
  it('makes both, wiping what their extents held; and what is missing alone', async () => {
    groups('data');
    volumes();
    programs.addRecording('lvcreate');
    await lvm().create(xen01, { root_mb: 1000, swap_mb: 64 });
    expect(changes()).toEqual([
      'lvcreate -y -W y -L 1048576000b -n xen01 data',
      'lvcreate -y -W y -L 67108864b -n xen01swap data',
    ]);
    volumes({ lv_name: 'xen01' });
    await lvm().create(xen01, { root_mb: 1000, swap_mb: 64 });
    expect(changes().slice(2)).toEqual(['lvcreate -y -W y -L 67108864b -n xen01swap data']);
  });

  it('makes none where there is no room for both', async () => {
    groups('data');
    volumes();
    programs.addRecording('lvcreate');
    await expect(lvm().create(xen01, { root_mb: 2000, swap_mb: 64 })).rejects.toMatchObject({
      code: 'no_space',
      message: 'xen01: its disks need 2064 MB, and volume group data has 2048 MB free.',
    });
    expect(changes()).toEqual([]);
  });

  it('takes the first back where the second cannot be made, and nothing that it did not make', async () => {
    groups('data');
    const fail = `case " $* " in *' -n xen01swap '*) ;; *) exit 0 ;; esac\necho '${transcript('215').stderr.trim()}' >&2; exit 5`;
    programs.addRecording('lvcreate', `touch '${programs.root}/made'; ${fail}`);
    programs.addRecording('lvremove');
    const made = report('lv', [
      {
        vg_name: 'data',
        ...IN_GROUP,
        lv_name: 'xen01',
        lv_size: '1',
        lv_attr: '-wi-------',
        lv_device_open: '',
        origin: '',
      },
    ]);
    programs.add(
      'lvs',
      `if [ -e '${programs.root}/made' ]; then echo '${made}'; else echo '${report('lv', [])}'; fi`,
    );
    await expect(lvm().create(xen01, { root_mb: 100, swap_mb: 64 })).rejects.toMatchObject({
      code: 'no_space',
    });
    expect(changes()).toEqual([
      'lvcreate -y -W y -L 104857600b -n xen01 data',
      'lvcreate -y -W y -L 67108864b -n xen01swap data',
      'lvremove -y data/xen01',
    ]);
    await expect(lvm().create(xen01, { root_mb: 100, swap_mb: 64 })).rejects.toMatchObject({
      code: 'no_space',
    });
    expect(changes().slice(3)).toEqual(['lvcreate -y -W y -L 67108864b -n xen01swap data']);
  });
});

describe('removing volumes', () => {
  it('removes both, and is content where they are gone', async () => {
    groups('data');
    volumes({ lv_name: 'xen01' }, { lv_name: 'xen01swap' }, { lv_name: 'xen011' });
    programs.addRecording('lvremove');
    await lvm().remove(xen01);
    expect(changes()).toEqual(['lvremove -y data/xen01swap', 'lvremove -y data/xen01']);
    volumes({ lv_name: 'xen011' });
    await lvm().remove(xen01);
    expect(changes()).toHaveLength(2);
  });

  it.each([
    ['the root volume is open', { lv_name: 'xen01', lv_device_open: 'open' }, {}],
    ['the swap volume is open', { lv_name: 'xen01' }, { lv_device_open: 'open' }],
  ])('removes neither where %s', async (_, root, swap) => {
    groups('data');
    volumes(root, { lv_name: 'xen01swap', ...swap });
    programs.addRecording('lvremove');
    await expect(lvm().remove(xen01)).rejects.toMatchObject({ code: 'disks_in_use' });
    expect(changes()).toEqual([]);
  });

  it('does not let LVM delete a snapshot along with its origin', async () => {
    groups('data');
    volumes({ lv_name: 'xen01' }, { lv_name: 'backup', origin: 'xen01' });
    programs.addRecording('lvremove');
    await expect(lvm().remove(xen01)).rejects.toMatchObject({
      code: 'disks_in_use',
      message: expect.stringContaining('it has the snapshot backup'),
    });
    expect(changes()).toEqual([]);
  });
});

it('tells nonsense, failures and absence of LVM', async () => {
  programs.add('vgs', 'echo "Segmentation fault"');
  await expect(lvm().free_mib()).rejects.toMatchObject({ code: 'program_output' });
  programs.add('vgs', 'echo "  /dev/mapper/control: open failed: Permission denied" >&2; exit 5');
  await expect(lvm().free_mib()).rejects.toMatchObject({
    code: 'program_failed',
    message: 'vgs failed (exit code 5): /dev/mapper/control: open failed: Permission denied',
  });
  const bare = createSmallPrograms('');
  const none = createLvm({ runner: bare.runner, config: CONFIG });
  await expect(none.free_mib()).rejects.toMatchObject({ code: 'program_missing' });
  bare.cleanup();
});
