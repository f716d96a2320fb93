import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseConfig } from '../../src/config/load.ts';
import { selfCheck } from '../../src/drivers/self-check.ts';
import { createSmallPrograms, type SmallPrograms } from './small-programs.ts';

let programs: SmallPrograms;
let folder: string;
beforeEach(() => {
  programs = createSmallPrograms();
  folder = mkdtempSync(join(programs.root, 'node-'));
  mkdirSync(join(folder, 'state/stores'), { recursive: true });
  lvmSays();
});
afterEach(() => {
  rmSync(folder, { recursive: true });
  programs.cleanup();
});

const mdadm_conf = () => join(folder, 'mdadm.conf');
/** A kernel for guests. */
const KERNEL = import.meta.filename;
const check = (keys = '') =>
  selfCheck({
    config: parseConfig(
      `etc_dir=${folder}\nstate_dir=${folder}/state\nKERNELPATH=${KERNEL}\n${keys}`,
      'test',
    ),
    runner: programs.runner,
    mdadm_conf: mdadm_conf(),
  });
const knows = (kind: string, at: string) =>
  writeFileSync(join(folder, 'state/stores', `${kind}.json`), JSON.stringify({ id: 'a-b-c', at }));
/** What lvmconfig prints for --typeconfig full; these are Debian's values. */
function lvmSays(values: Readonly<Record<string, string>> = {}): void {
  const all = {
    global_filter: '["a|.*|"]',
    filter: '["a|.*|"]',
    scan_lvs: '0',
    use_devicesfile: '0',
    ...values,
  };
  const lines = Object.entries(all).map(([key, value]) => `${key}=${value}`);
  programs.add('lvmconfig', `cat <<'EOF'\n${lines.join('\n')}\nEOF`);
}

it('has nothing to say of a node with volumes and Debian’s lvm.conf, or without LVM', async () => {
  knows('lvm', 'vg0');
  expect(await check()).toEqual([]);
  programs.add('lvmconfig', 'exit 127');
  expect(await check()).toEqual([]);
});

describe('dom0’s own LVM', () => {
  const LOOPS = /looks for volume groups on loop devices/;
  const VOLUMES = /looks for volume groups on guests' volumes.*"r\|\^\/dev\/vg0\/\|"/;

  it.each([
    ['the delivered filter', {}, [LOOPS]],
    ['a filter of another device', { global_filter: '["r|^/dev/sdx|","a|.*|"]' }, [LOOPS]],
    ['loop devices accepted first', { global_filter: '["a|.*|","r|^/dev/loop|"]' }, [LOOPS]],
    [
      'loop devices hidden by one of their names alone',
      { global_filter: '["r|^/dev/loop|","a|.*|"]' },
      [LOOPS],
    ],
    ['loop devices hidden', { global_filter: '["r|^/dev/loop|"]' }, []],
    ['loop devices hidden by the other filter', { filter: '["r#loop#"]' }, []],
    ['all hidden but the node’s disk', { global_filter: '["a|^/dev/sda|","r|.*|"]' }, []],
    ['a devices file', { use_devicesfile: '1', scan_lvs: '1' }, []],
    ['volumes looked at', { scan_lvs: '1' }, [LOOPS, VOLUMES]],
    [
      'volumes looked at, both hidden',
      { scan_lvs: '1', global_filter: '["r|^/dev/loop|","r|^/dev/vg0/|"]' },
      [],
    ],
    ['a pattern that is none', { global_filter: '["r|(|"]' }, [LOOPS]],
  ])('%s', async (_what, values, expected) => {
    knows('lvm', 'vg0');
    knows('vbd', '/var/lib/dtc-xen/mnt');
    lvmSays(values);
    expect(await check()).toEqual(expected.map((pattern) => expect.stringMatching(pattern)));
  });
});

it('what cannot be read is told, and the rest is checked', async () => {
  mkdirSync(join(folder, 'htpasswd'));
  writeFileSync(join(folder, 'state/stores/lvm.json'), '{');
  writeFileSync(mdadm_conf(), 'HOMEHOST <system>\n');
  expect(await check()).toEqual([
    expect.stringMatching(/^Not all of the node could be checked \(are you root\?\): EISDIR/),
    expect.stringMatching(/lvm\.json is damaged/),
    expect.stringMatching(/AUTO -all/),
  ]);
});

it('mdadm that puts together what it finds is told', async () => {
  writeFileSync(mdadm_conf(), 'HOMEHOST <system>\n#AUTO -all\n');
  expect(await check()).toEqual([expect.stringMatching(/AUTO -all into .*mdadm\.conf/)]);
  for (const line of ['AUTO -all', 'auto +1.x -all']) {
    writeFileSync(mdadm_conf(), `HOMEHOST <system>\n${line}\n`);
    expect(await check()).toEqual([]);
  }
});

it('lines of the file of SOAP users that let nobody in are told, and nothing of what they hide', async () => {
  const md5 = '$1$abcdefgh$G.jvDWxVBfgbyYtMVPXS30';
  const known = `$2y$10$${'A'.repeat(53)}`;
  writeFileSync(
    join(folder, 'htpasswd'),
    [
      '# users',
      '',
      `dtc-xen:${known}`,
      `xen01:${md5}`,
      'xen02:plain text',
      `dtc-xen:${known}`,
      'nobody',
    ].join('\n'),
  );
  const told = await check();
  expect(told).toEqual([
    expect.stringMatching(/htpasswd, line 4: the hash of xen01 is of MD5.*dtc-xen-agent passwd xen01$/),
    expect.stringMatching(/line 5: the hash of xen02 is of a kind that is not known/),
    expect.stringMatching(/line 6: dtc-xen has a line before it/),
    expect.stringMatching(/line 7: there is no name and hash/),
  ]);
  for (const secret of [md5, 'plain text', known]) expect(told.join()).not.toContain(secret);
});

it('what makes an installation fail is told: a mirror of ftp, a kernel that is not there', async () => {
  const told = await check(
    'debian_repo=ftp://ftp.us.debian.org/debian\nKERNELPATH=/boot/vmlinuz-2.6.32-5-xen-amd64\n',
  );
  expect(told).toEqual([
    expect.stringMatching(
      /^There is no kernel \/boot\/vmlinuz-2\.6\.32-5-xen-amd64 for guests.*no Debian can be installed/,
    ),
    expect.stringMatching(/^debian_repo in dtc-xen\.conf is ftp:.*over http and https alone/),
  ]);
});
