// A node that DTC-Xen ran on: the files that its versions 0.3 to 0.5 wrote.
import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { loadConfig } from '../../src/config/load.ts';
import { sampleConfig } from '../../src/docs/sample-config.ts';
import { createRunner } from '../../src/drivers/run.ts';
import { carryOver } from '../../src/setup/dtc-xen.ts';
import { takeDtcXenOver } from '../../src/setup/take-over.ts';
import { createProbes, type Probes } from '../../src/setup/try-values.ts';
import { readTls } from '../../src/transport/tls.ts';

const SOAP = `# This is the configuration file for the DTC soap server dtc-xen
soap_server_host=node7.example.com
soap_server_port=8090
soap_server_pass_phrase=0123456789abcdef
soap_server_dtcxen_user=panel
soap_server_lvmname=lvm1
soap_server_mount_point=/srv/mnt
`;
const SCRIPTS = `#!/bin/sh
NODE_NUM=7
DEBIAN_REPOS="http://mirror.example.com/debian"
NETMASK=255.255.255.0
NETWORK=192.0.2.0
BROADCAST=192.0.2.255
GATEWAY=192.0.2.1
LVMNAME=other
DEBIAN_RELEASE=etch
KERNELNAME=vmlinuz-2.6.26-2-xen-amd64
`;

let folder: string;
const at = (name: string) => join(folder, name);
const put = (name: string, text: string) => writeFileSync(at(name), text, { mode: 0o600 });
const read = (name: string) => readFileSync(at(name), 'utf8');
const openssl = (args: string[], input = '') =>
  execFileSync('openssl', args, { cwd: folder, input, stdio: ['pipe', 'pipe', 'ignore'] });
/** A node whose mirror answers, and whose apt has every package. */
const WORKS: Probes = { mirror: async () => undefined, unknownPackages: async () => [] };
const takeOver = (probes = WORKS) =>
  takeDtcXenOver({ config_file: at('dtc-xen.conf'), sample: sampleConfig(), readTls, probes });

/** The three files of DTC-Xen's postinst: the key with a passphrase, the same without, the certificate. */
function certificate(passphrase: string, bits = 2048): void {
  put('passphrase', passphrase);
  openssl(['genrsa', '-out', 'dtc-xen.cert.key', String(bits)]);
  openssl([
    'rsa',
    '-aes128',
    '-passout',
    'file:passphrase',
    '-in',
    'dtc-xen.cert.key',
    '-out',
    'privkey.pem',
  ]);
  openssl([
    'req',
    '-new',
    '-x509',
    '-key',
    'dtc-xen.cert.key',
    '-subj',
    '/CN=node7',
    '-out',
    'dtc-xen.cert.cert',
  ]);
}

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'dtc-xen-etc-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

describe('the files of DTC-Xen before 0.5', () => {
  it("become the agent's configuration; its certificate goes on with its passphrase", async () => {
    put('soap.conf', SOAP);
    put('dtc_create_vps.conf.sh', SCRIPTS);
    certificate('0123456789abcdef');
    const users = 'panel:Xk1aDq0pYyKqs\nxen01:$apr1$x$y\n';
    put('htpasswd', users);
    const cert = read('dtc-xen.cert.cert');

    const notes = await takeOver();

    expect(loadConfig(at('dtc-xen.conf'))).toMatchObject({
      node_name: 'node7.example.com',
      listen_port: 8090,
      cert_passphrase: '0123456789abcdef',
      admin_user: 'panel',
      provisioning_volgroup: 'lvm1',
      provisioning_mount_point: '/srv/mnt',
      debian_repo: 'http://mirror.example.com/debian',
      debian_release: 'trixie',
      NETMASK: '255.255.255.0',
      BROADCAST: '192.0.2.255',
      GATEWAY: '192.0.2.1',
      KERNELPATH: '',
    });
    expect(notes).toContain('soap.conf: soap_server_lvmname is now provisioning_volgroup in dtc-xen.conf');
    expect(notes).toContain('dtc_create_vps.conf.sh: KERNELNAME is not taken over: there is no such file');
    expect(notes.join()).not.toContain('0123456789abcdef');
    expect((await readTls(folder, '0123456789abcdef')).cert).toBe(cert);
    expect(read('htpasswd')).toBe(users);
    expect(readdirSync(folder)).toEqual(
      expect.arrayContaining(['soap.conf.dtc-xen', 'dtc_create_vps.conf.sh.dtc-xen']),
    );
    expect(existsSync(at('soap.conf'))).toBe(false);
    expect(statSync(at('dtc-xen.conf')).mode & 0o777).toBe(0o600);

    const once = read('dtc-xen.conf');
    expect(await takeOver()).toEqual([]);
    expect(read('dtc-xen.conf')).toBe(once);
  });
});

describe('dtc-xen.conf of DTC-Xen 0.5', () => {
  const OLD = `# properties for soap_server.py
listen_address=0.0.0.0
listen_port=8089
provisioning_volgroup=vg1
# KERNELPATH=/boot/vmlinuz-2.6.26-2-xen-amd64
KERNELPATH=/boot/vmlinuz-$(uname -r)
INITRDPATH=/boot/initrd-that-is-gone
BSDKERNELPATH=/boot/netbsd-INSTALL_XENU
DEBIAN_RELEASE=lenny
DEBIAN_REPOS="http://mirror.example.com:9999/debian/"
made_up=1
`;

  it('keeps its lines; old names become new ones, and what cannot be understood a comment', async () => {
    put('dtc-xen.conf', OLD);
    const notes = await takeOver();
    expect(read('dtc-xen.conf')).toBe(`# properties for soap_server.py
listen_address=0.0.0.0
listen_port=8089
provisioning_volgroup=vg1
# KERNELPATH=/boot/vmlinuz-2.6.26-2-xen-amd64
#KERNELPATH=/boot/vmlinuz-$(uname -r)
#INITRDPATH=/boot/initrd-that-is-gone
#BSDKERNELPATH=/boot/netbsd-INSTALL_XENU
#DEBIAN_RELEASE=lenny
#DEBIAN_REPOS="http://mirror.example.com:9999/debian/"
#made_up=1
bsd_kernel_path=/boot/netbsd-INSTALL_XENU
debian_repo=http://mirror.example.com:9999/debian/
`);
    expect(notes).toHaveLength(4);
    expect(read('dtc-xen.conf.dtc-xen')).toBe(OLD);
    loadConfig(at('dtc-xen.conf'));
  });

  it('goes before an older soap.conf that was left lying there', () => {
    const { text } = carryOver({ config: 'provisioning_volgroup=vg1\n', soap: SOAP }, '', () => true);
    expect(text).toContain('provisioning_volgroup=vg1\n');
    expect(text).not.toContain('lvm1');
    expect(text).toContain('admin_user=panel\n');
  });
});

describe('what DTC-Xen 0.5 always wrote', () => {
  const POSTINST = `listen_address=0.0.0.0
provisioning_volgroup=vg1
debian_repo=ftp://ftp.us.debian.org/debian
debian_release=squeeze
KERNEL_RELEASE=2.6.32-5-xen-amd64
KMOD_PATH=/lib/modules/2.6.32-5-xen-amd64
KERNELPATH=/boot/vmlinuz-2.6.32-5-xen-amd64
debian_added_debs=module-init-tools,locales,udev,joe,screen
XEN_DOMU_HDD_DEV_TYPE=sda
`;
  const GONE = ['module-init-tools'];
  const probes: Probes = {
    mirror: async (address, release) =>
      address === 'http://mirror.example.com/debian' && release === 'trixie'
        ? undefined
        : 'it does not answer',
    unknownPackages: async (names) => names.filter((name) => GONE.includes(name)),
  };

  it('is tried: a kernel, a mirror and a package that are no more are replaced, with a sentence for each', async () => {
    put('dtc-xen.conf', POSTINST);
    const notes = await takeOver(probes);
    expect(loadConfig(at('dtc-xen.conf'))).toMatchObject({
      KERNEL_RELEASE: '',
      KMOD_PATH: '',
      KERNELPATH: '',
      debian_repo: '',
      debian_release: 'trixie',
      debian_added_debs: 'locales,udev,joe,screen',
      XEN_DOMU_HDD_DEV_TYPE: 'sd',
    });
    const all = notes.join('\n');
    for (const sentence of [
      'KERNEL_RELEASE is not taken over: this node has no kernel 2.6.32-5-xen-amd64; guests boot the one that dom0 runs',
      'debian_repo ftp://ftp.us.debian.org/debian cannot serve (Debian is fetched over http and https alone)',
      'Debian has no module-init-tools (kmod does its work now); it is left out',
    ]) {
      expect(all).toContain(sentence);
    }
    expect(await takeOver(probes)).toEqual([]);
  });

  it('stays where it serves; a mirror that does not answer, or lacks the release, does not', async () => {
    put('dtc-xen.conf', 'debian_repo=http://mirror.example.com/debian\ndebian_added_debs="joe, screen"\n');
    expect(await takeOver(probes)).toEqual([]);
    expect(read('dtc-xen.conf')).toContain('debian_added_debs="joe, screen"');
    put('dtc-xen.conf', 'debian_repo=http://me:secret@old.example.com/debian\n');
    expect(await takeOver(probes)).toEqual([
      "dtc-xen.conf: debian_repo http://old.example.com/debian cannot serve (it does not answer): the mirror in dom0's own apt sources is used",
    ]);
    expect(loadConfig(at('dtc-xen.conf')).debian_repo).toBe('');
  });

  it('is asked of apt: of a mirror on this machine, and of packages', async () => {
    const here = createProbes(createRunner({ path: '/usr/sbin:/usr/bin:/sbin:/bin' }));
    const server = createServer((request, response) => {
      response.statusCode = request.url === '/debian/dists/trixie/Release' ? 200 : 404;
      response.end('Origin: Debian\n');
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const address = `http://127.0.0.1:${port}/debian/`;
    expect(await here.mirror(address, 'trixie')).toBeUndefined();
    expect(await here.mirror(address, 'squeeze')).toMatch(
      /^it has no release squeeze, or does not answer: .*404/,
    );
    await new Promise((resolve) => server.close(resolve));
    expect(await here.mirror(address, 'trixie')).toMatch(/does not answer/);
    expect(await here.unknownPackages(['bash', 'module-init-tools-of-2008'])).toEqual([
      'module-init-tools-of-2008',
    ]);
  }, 300_000);
});

describe('what DTC-Xen left readable by everybody', () => {
  const mode = (name: string) => (statSync(at(name)).mode & 0o777).toString(8);

  it("is root's alone from then on: keys and passwords, said once", async () => {
    certificate('x');
    put('dtc-xen.conf', 'cert_passphrase=x\n');
    put('htpasswd', 'dtc-xen:$apr1$x$y\n');
    for (const name of readdirSync(folder)) chmodSync(at(name), 0o644);
    expect(await takeOver()).toEqual([
      "dtc-xen.conf, htpasswd, privkey.pem, dtc-xen.cert.key could be read by everybody: they are root's alone now. Who had a shell on this node may have the passwords and the key.",
    ]);
    for (const name of ['dtc-xen.conf', 'htpasswd', 'privkey.pem', 'dtc-xen.cert.key'])
      expect(mode(name), name).toBe('600');
    expect(mode('dtc-xen.cert.cert')).toBe('644');
    expect(await takeOver()).toEqual([]);
  });
});

describe('the certificate', () => {
  it('whose key has a passphrase that nobody knows: the open key is used', async () => {
    certificate('forgotten');
    expect(await takeOver()).toEqual(['privkey.pem could not be opened: dtc-xen.cert.key is used']);
    await readTls(folder, '');
    expect(read('privkey.pem.dtc-xen')).toContain('ENCRYPTED');
  });

  it('that is too weak for OpenSSL of today is set aside', async () => {
    certificate('x', 512);
    put('dtc-xen.conf', 'cert_passphrase=x\n');
    const [note = ''] = await takeOver();
    expect(note).toMatch(/key too small.*the first start makes a new self-signed certificate/);
    expect(existsSync(at('dtc-xen.cert.cert'))).toBe(false);
    expect(existsSync(at('privkey.pem'))).toBe(false);
    expect(existsSync(at('dtc-xen.cert.cert.dtc-xen'))).toBe(true);
  });
});

describe('the commands', () => {
  const agent = (args: string[], input = '') => {
    const program = join(import.meta.dirname, '../../src/main.ts');
    const words = ['--import', import.meta.resolve('tsx'), program, ...args, '--config', at('dtc-xen.conf')];
    const { status, stdout, stderr } = spawnSync(process.execPath, words, { input, encoding: 'utf8' });
    return { status, stdout, stderr };
  };

  it('config set, config get, passwd', () => {
    const settings = `etc_dir=${folder}\nrun_dir=${folder}/run\nstate_dir=${folder}/state\nadmin_user=panel\nprovisioning_mount_point=${folder}/mnt\n`;
    const scripts = `scripts_dir=${join(import.meta.dirname, '../../scripts')}\n`;
    expect(agent(['config', 'set'], settings + scripts)).toMatchObject({ status: 0 });
    expect(agent(['config', 'get', 'admin_user'])).toMatchObject({ status: 0, stdout: 'panel\n' });
    expect(agent(['config', 'get', 'no_such'])).toMatchObject({ status: 2 });
    expect(agent(['passwd'], 'a secret\n').stdout).toBe('The SOAP password of panel is set.\n');
    expect(read('htpasswd')).toMatch(/^panel:\$2y\$10\$/);
    expect(agent(['passwd'], '')).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('1 to 72 bytes'),
    });
  }, 300_000);

  it('config set refuses what the agent could not start with, and changes nothing', () => {
    put('dtc-xen.conf', 'listen_port=8089\n');
    expect(agent(['config', 'set'], 'listen_port=99999\n')).toMatchObject({ status: 2 });
    expect(agent(['config', 'set'], 'what is this\n')).toMatchObject({ status: 2 });
    expect(read('dtc-xen.conf')).toBe('listen_port=8089\n');
  }, 300_000);
});
