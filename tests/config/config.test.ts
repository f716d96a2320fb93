import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { ConfigError, loadConfig, parseConfig } from '../../src/config/load.ts';
import { parseShellAssignments } from '../../src/config/parse.ts';
import { sampleConfig } from '../../src/docs/sample-config.ts';

const folder = mkdtempSync(join(tmpdir(), 'dtc-xen-config-'));
afterAll(() => rmSync(folder, { recursive: true }));

describe('parseShellAssignments', () => {
  const TEXT = [
    '# comment',
    '',
    'A=plain',
    'B=\'single $quoted `x` "y"\'',
    'C="double \\"quoted\\" \\$5 \\q"',
    'D=a\\ b',
    'E=mixed\' \'and" "joined # comment',
    'F=',
    'export G=exported',
    'H=no#comment',
    'I=""',
  ].join('\n');

  it('reads what a shell that sources the file reads', () => {
    const file = join(folder, 'sourced.conf');
    writeFileSync(file, TEXT);
    for (const { key, value } of parseShellAssignments(TEXT)) {
      const script = `. "$1"; eval "printf %s \\"\\$${key}\\""`;
      expect(`${key}=${execFileSync('sh', ['-c', script, 'sh', file])}`).toBe(`${key}=${value}`);
    }
    expect(parseShellAssignments(TEXT)).toHaveLength(9);
  });

  it.each([
    'A=$HOME',
    'A=`id`',
    'A="$(id)"',
    'A=b c',
    'A=b;reboot',
    'A = b',
    'reboot',
    'A="open',
    "A='open",
    'A=b&',
  ])('refuses %j, naming the line', (line) => {
    expect(() => parseShellAssignments(`# first\n${line}`)).toThrow(/line 2: /);
  });
});

describe('parseConfig', () => {
  it('has a default for every key, and is frozen', () => {
    const config = parseConfig('');
    expect(config).toMatchObject({
      listen_port: 8089,
      admin_user: 'dtc-xen',
      perf_retention: 7,
      perf_direction: 'dom0',
    });
    expect(Object.isFrozen(config)).toBe(true);
  });

  it.each([
    ['listen_prot=1', /there is no key listen_prot/],
    ['listen_port=99999', /listen_port: /],
    ['listen_port=80a', /listen_port: must be a whole number/],
    ['state_dir=relative', /state_dir: must be an absolute path/],
    ['GATEWAY=router', /GATEWAY: must be an IPv4 address/],
    ['perf_direction=up', /perf_direction: /],
    ['vps_mac_prefix=zz:00:11', /vps_mac_prefix: must be/],
    ['debian_release=../x', /debian_release: must be a release name/],
    ['debian_added_debs="vim; reboot"', /debian_added_debs: must be package names/],
    ["admin_user=''", /admin_user: must not be empty/],
    ['oops', /line 1: not of the form KEY=value/],
  ])('refuses %j', (text, message) => {
    expect(() => parseConfig(text)).toThrow(message);
    expect(() => parseConfig(text)).toThrow(ConfigError);
  });

  it("takes DTC-Xen's XEN_DOMU_HDD_DEV_TYPE=sda as sd", () => {
    expect(parseConfig('XEN_DOMU_HDD_DEV_TYPE=sda\n').XEN_DOMU_HDD_DEV_TYPE).toBe('sd');
    expect(parseConfig('XEN_DOMU_HDD_DEV_TYPE=xvd\n').XEN_DOMU_HDD_DEV_TYPE).toBe('xvd');
    expect(() => parseConfig('XEN_DOMU_HDD_DEV_TYPE=vd\n')).toThrow(ConfigError);
  });

  it('takes the defaults where there is no file, and complains of one that cannot be read', () => {
    expect(loadConfig(join(folder, 'missing.conf')).listen_port).toBe(8089);
    expect(() => loadConfig(folder)).toThrow(/cannot be read/);
  });

  it('makes a sample that, uncommented, is the defaults again', () => {
    const uncommented = sampleConfig().replaceAll(/^#(?=\w+=)/gm, '');
    expect(parseConfig(uncommented)).toEqual(parseConfig(''));
    expect(readFileSync(new URL('../../debian/dtc-xen.conf', import.meta.url), 'utf8')).toBe(sampleConfig());
  });
});
