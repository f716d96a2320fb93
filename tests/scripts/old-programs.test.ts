// The programs that old templates and admins' scripts call by DTC-Xen's names, as they are installed.
import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { makeMountedRoot } from '../templates/small-root.ts';

const PROJECT = resolve(import.meta.dirname, '../..');
let node: string;
let place: ReturnType<typeof makeMountedRoot>;

beforeAll(() => {
  node = mkdtempSync(join(tmpdir(), 'old-programs-'));
  execFileSync('make', ['-s', 'install', `DESTDIR=${node}`], { cwd: PROJECT });
});
afterAll(() => rmSync(node, { recursive: true }));
beforeEach(() => {
  place = makeMountedRoot();
});
afterEach(() => place.remove());

const inRoot = (path: string) => join(place.root, path);
const file = (path: string) => readFileSync(inRoot(path), 'utf8');

/** Makes an empty file of the guest's, and its folder. */
function touch(path: string): void {
  mkdirSync(dirname(inRoot(path)), { recursive: true });
  writeFileSync(inRoot(path), '');
}

function run(name: string, args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const path = `${node}/usr/sbin:/usr/sbin:/usr/bin:/sbin:/bin`;
  const { status, stdout, stderr } = spawnSync(join(node, 'usr/sbin', name), [...args], {
    encoding: 'utf8',
    timeout: 60_000,
    env: { PATH: path, ...env },
  });
  return { status, stdout, stderr };
}

/** What DTC-Xen's dtc_reinstall_os called them with. */
const given = (
  nics: readonly string[] = ['192.0.2.10,255.255.255.0,192.0.2.255', '192.0.2.11,255.255.255.0,192.0.2.255'],
) => [
  ...[
    '--disk-type',
    'lvm',
    '--xen-domu-hdd-dev-type',
    'xvd',
    '-os',
    'wheezy',
    '-ram',
    '512',
    '-path',
    place.root,
  ],
  ...['-vpsid', '07', '--vps-fqdn', 'mx.xen07.node1.example.com', '--vps-domain', 'xen07.node1.example.com'],
  ...[
    '--node-fqdn',
    'node1.example.com',
    ...nics.flatMap((nic) => ['-nic', nic]),
    '-dns',
    '192.0.2.53,192.0.2.54',
  ],
  ...[
    '-gw',
    '192.0.2.1',
    '--virt-type',
    'xen',
    '--kernel',
    '/boot/k',
    '--kernel-release',
    '6.1',
    '--kmod-path',
    '/none',
  ],
  ...['--initrd', '/boot/i', '--mac', '00:16:3e:00:00:07'],
];

describe('dtc-xen_domUconf_standard', () => {
  it('makes a mounted system a guest of this node', () => {
    expect(run('dtc-xen_domUconf_standard', given())).toMatchObject({ status: 0, stderr: '' });
    expect(file('etc/hostname')).toBe('xen07\n');
    expect(file('etc/hosts')).toContain(
      '192.0.2.10\tmx.xen07.node1.example.com xen07.node1.example.com xen07\n',
    );
    expect(file('etc/fstab')).toMatch(/^\/dev\/xvda\t.*\n\/dev\/xvdb\t/m);
  });

  it("calls disks sda and sdb where the old configuration's word for them is sda", () => {
    const args = given().map((word) => (word === 'xvd' ? 'sda' : word));
    expect(run('dtc-xen_domUconf_standard', args).status).toBe(0);
    expect(file('etc/fstab')).toMatch(/^\/dev\/sda\t/m);
  });

  it('names the guest after the node where no name was given', () => {
    expect(
      run('dtc-xen_domUconf_standard', [
        '-path',
        place.root,
        '-vpsid',
        '07',
        '-nic',
        '192.0.2.10,,',
        '--node-fqdn',
        'node1.example.com',
      ]),
    ).toMatchObject({ status: 0 });
    expect(file('etc/hosts')).toContain('mx.xen07.node1.example.com');
  });
});

describe('dtc-xen_domUconf_network_debian', () => {
  it.each([[''], ['usr/sbin/ifup']])('writes interfaces and name servers of a guest with %j', (there) => {
    if (there) touch(there);
    expect(run('dtc-xen_domUconf_network_debian', given())).toMatchObject({ status: 0, stderr: '' });
    expect(file('etc/network/interfaces')).toMatch(
      /iface eth0 inet static\n\taddress 192\.0\.2\.10\n[\s\S]*\tgateway 192\.0\.2\.1\n\nauto eth0:1\n/,
    );
    expect(file('etc/resolv.conf')).toBe('nameserver 192.0.2.53\nnameserver 192.0.2.54\n');
  });
});

describe('dtc-xen_domUconf_network_redhat', () => {
  const FOLDER = 'etc/sysconfig/network-scripts';

  it.each([[[]], [['usr/sbin/ifup', `${FOLDER}/ifup-eth`]]])(
    'writes the files of initscripts for a guest with %j',
    (there) => {
      for (const path of there) touch(path);
      expect(run('dtc-xen_domUconf_network_redhat', given())).toMatchObject({ status: 0, stderr: '' });
      expect(file(`${FOLDER}/ifcfg-eth0`).split('\n').slice(1)).toEqual([
        ...['DEVICE=eth0', 'ONBOOT=yes', 'BOOTPROTO=none', 'IPADDR=192.0.2.10', 'NETMASK=255.255.255.0'],
        ...['BROADCAST=192.0.2.255', 'GATEWAY=192.0.2.1', ''],
      ]);
      expect(file(`${FOLDER}/ifcfg-eth0:1`)).toContain('DEVICE=eth0:1\n');
      expect(file(`${FOLDER}/ifcfg-eth0:1`)).not.toContain('GATEWAY');
      expect(file('etc/sysconfig/network')).toBe('NETWORKING=yes\nHOSTNAME=mx.xen07.node1.example.com\n');
      expect(file('etc/resolv.conf')).toContain('nameserver 192.0.2.53\n');
      expect(existsSync(inRoot('etc/network/interfaces'))).toBe(false);
    },
  );

  it('leads to a gateway outside of the network', () => {
    expect(
      run('dtc-xen_domUconf_network_redhat', given(['203.0.113.9,255.255.255.255,0.0.0.0'])).status,
    ).toBe(0);
    expect(file(`${FOLDER}/ifcfg-eth0`)).not.toMatch(/GATEWAY|BROADCAST/);
    expect(file(`${FOLDER}/route-eth0`)).toBe('192.0.2.1 dev eth0\ndefault via 192.0.2.1 dev eth0\n');
  });

  it("writes NetworkManager's file where the guest has that", () => {
    touch('usr/sbin/NetworkManager');
    touch(`${FOLDER}/ifup-eth`);
    expect(run('dtc-xen_domUconf_network_redhat', given()).status).toBe(0);
    expect(file('etc/NetworkManager/system-connections/eth0.nmconnection')).toContain(
      'address1=192.0.2.10/24\n',
    );
  });
});

const CONF = [
  'dtc-xen_domUconf_standard',
  'dtc-xen_domUconf_network_debian',
  'dtc-xen_domUconf_network_redhat',
];

describe.each(CONF)('%s', (name) => {
  it("writes nothing through a guest's link that leads out of it", () => {
    const outside = join(place.folder, 'outside');
    mkdirSync(outside);
    mkdirSync(inRoot('etc'));
    for (const link of ['etc/network', 'etc/sysconfig', 'root']) symlinkSync(outside, inRoot(link));
    for (const link of ['etc/hosts', 'etc/fstab', 'etc/resolv.conf'])
      symlinkSync(join(outside, 'file'), inRoot(link));
    expect(run(name, given()).status).not.toBeNull();
    expect(execFileSync('ls', ['-A', outside], { encoding: 'utf8' })).toBe('');
  });

  it('never writes into dom0: what is not mounted is refused', () => {
    const bare = join(place.folder, 'bare');
    mkdirSync(bare);
    for (const path of [bare, '/']) {
      const args = given().map((word) => (word === place.root ? path : word));
      expect(run(name, args)).toMatchObject({
        status: 1,
        stderr: expect.stringContaining('nothing is mounted at'),
      });
    }
    expect(existsSync(join(bare, 'etc'))).toBe(false);
  });

  it.each([['-path'], ['-nic']])('says what is missing: %s', (option) => {
    const args = given();
    for (let at = args.indexOf(option); at >= 0; at = args.indexOf(option)) args.splice(at, 2);
    expect(run(name, args)).toMatchObject({
      status: 2,
      stderr: expect.stringContaining(`${option} is missing`),
    });
  });

  it.each(['$(touch made)', "';touch made;'", '192.0.2.10,255.255.255.0,192.0.2.255\nup touch made'])(
    'takes no command for an address: %j',
    (nic) => {
      const { status } = run(name, given([nic]));
      expect(status).not.toBeNull();
      expect(spawnSync('grep', ['-r', 'touch made', place.root]).status).toBe(1);
      expect(existsSync(join(PROJECT, 'made'))).toBe(false);
    },
  );
});

describe('dtc_install_centos', () => {
  /** A template in the place of rocky's, which writes down how it was called. */
  function template(): string {
    const folder = join(place.folder, 'os/rocky');
    mkdirSync(folder, { recursive: true });
    const lines = ['#!/bin/sh', 'printf "%s\\n" "$rocky_repo $rocky_release" "$@" >"$2/said"'];
    writeFileSync(join(folder, 'install_os'), `${lines.join('\n')}\n`);
    chmodSync(join(folder, 'install_os'), 0o755);
    const config = join(place.folder, 'dtc-xen.conf');
    writeFileSync(
      config,
      `os_dir=${dirname(folder)}\nrocky_repo=https://mirror.test/rocky\nrocky_release=10\n`,
    );
    const agent = join(place.folder, 'dtc-xen-agent');
    writeFileSync(agent, `#!/bin/sh\nexec '${node}/usr/sbin/dtc-xen-agent' "$@" --config '${config}'\n`);
    chmodSync(agent, 0o755);
    return `${place.folder}:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`;
  }

  it("installs the configuration's Rocky Linux into the mounted root, yum's folder first as DTC-Xen had it", () => {
    const PATH = template();
    const yum = join(place.folder, 'yum');
    expect(run('dtc_install_centos', [yum, place.root], { PATH })).toMatchObject({ status: 0, stderr: '' });
    expect(file('said')).toBe(`https://mirror.test/rocky 10\n-path\n${place.root}\n-os\nrocky\n`);
  });

  it('is refused where nothing is mounted, and where it was called wrongly', () => {
    const PATH = template();
    expect(run('dtc_install_centos', ['/yum', place.folder], { PATH })).toMatchObject({ status: 1 });
    expect(run('dtc_install_centos', [place.root], { PATH })).toMatchObject({ status: 2 });
  });
});

it("an old template that does all by DTC-Xen's programs gives a whole guest", () => {
  const custom_os = join(place.folder, 'custom_os');
  const lines = [
    '#!/bin/sh',
    'set -e # DIE on errors',
    '. /usr/share/dtc-xen/dtc-xen-parse-param',
    'dtc-xen_domUconf_standard $FW_PARAMS',
    'dtc-xen_domUconf_network_debian $@',
  ];
  writeFileSync(custom_os, `${lines.join('\n')}\n`);
  chmodSync(custom_os, 0o755);
  const inside = [
    'set -e; node=$1; shift',
    'mount -t tmpfs test /usr/share',
    'cp -a "$node/usr/share/dtc-xen" /usr/share/',
    'exec /usr/share/dtc-xen/scripts/reinstall-hook "$@"',
  ];
  const { status, stderr } = spawnSync(
    'unshare',
    ['--mount', '--propagation', 'slave', 'sh', '-c', inside.join('\n'), 'sh', node, custom_os, ...given()],
    {
      encoding: 'utf8',
      env: { PATH: `${node}/usr/sbin:/usr/sbin:/usr/bin:/sbin:/bin` },
    },
  );
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  expect(file('etc/fstab')).toContain('/dev/xvda');
  expect(file('etc/network/interfaces')).toContain('address 192.0.2.11');
});

it.each([
  ...CONF,
  'dtc_install_centos',
  'dtc-xen_domU_gen_xen_conf',
  'vgdisplay_free_size',
  'xm_info_free_memory',
])('%s is installed, and --help says what it does', (name) => {
  const PATH = `${dirname(process.execPath)}:/usr/sbin:/usr/bin:/sbin:/bin`;
  expect(run(name, ['--help'], { PATH })).toMatchObject({
    status: 0,
    stdout: expect.stringContaining(`Usage: ${name}`),
  });
});
