// The screen of a fully virtualized guest, and the isos in its drives: what a DTC panel orders, and what its owner then finds.
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Site, startSite } from '../site.ts';
import { good } from './bad-calls.ts';

let folder: string;
let site: Site;
let open: Site;

/** What stands for dom0's qemu: it ends as Debian's did when it was asked for a screen with a password. */
function qemu(name: string, ...end: string[]): string {
  const path = join(folder, name);
  writeFileSync(path, ['#!/bin/sh', `echo "$*" > ${path}.asked`, 'cat >/dev/null', ...end, ''].join('\n'));
  chmodSync(path, 0o755);
  return path;
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'dtc-xen-qemu-'));
  const WITHOUT =
    'echo "xen-qemu-system-i386: -vnc none,password=on: Cipher backend does not support DES algorithm" >&2';
  const able = qemu('able', 'exit 0');
  const unable = qemu('unable', WITHOUT, 'exit 1');
  [site, open] = await Promise.all([
    startSite({ config: { device_model: able } }),
    startSite({ config: { device_model: unable, vnc_listen: '0.0.0.0' } }),
  ]);
}, 120_000);
afterAll(async () => {
  await Promise.all([site?.stop(), open?.stop()]);
  rmSync(folder, { recursive: true, force: true });
});

const guest = (vpsname: string, at = site) => readFileSync(join(at.folder.path, 'xen', vpsname), 'utf8');
const setup = (vpsname: string, at = site) => at.modern('setupLVMDisks', good('setupLVMDisks', vpsname));
const order = (vpsname: string, values: Record<string, string>) => ({
  ...good('writeXenHVMconf', vpsname),
  ...values,
});
function upload(vpsname: string, ...names: string[]): void {
  const home = join(site.folder.path, 'state/ttyssh_home', vpsname);
  mkdirSync(home, { recursive: true });
  for (const name of names) writeFileSync(join(home, name), name);
}

describe('the screen', () => {
  it("is at port 5900 and the VPS's number, as DTC-Xen's was, and the answer tells address and port", async () => {
    await setup('xen12');
    const told = await site.modern('writeXenHVMconf', order('xen12', { vncpassword: 's3cret' }));
    expect(guest('xen12')).toContain(
      '\nvnc = 1\nvnclisten = "127.0.0.1"\nvncdisplay = 12\nvncunused = 0\nvncpasswd = "s3cret"\n',
    );
    expect(told).toEqual({
      result:
        'Wrote the configuration of xen12. Its screen is at port 5912 of 127.0.0.1 on the node: an admin reaches it by ' +
        'ssh -L 5912:127.0.0.1:5912 root@NODE, with a VNC viewer at localhost:5912',
      vnc_address: '127.0.0.1',
      vnc_port: 5912,
    });
    expect(await site.legacy('writeXenHVMconf', order('12', { vncpassword: 's3cret' }))).toBe('OK');
  });

  it.each([9, 255])(
    "takes a panel's password of %i characters, of which VNC looks at 8, and says so",
    async (length) => {
      await setup('xen13');
      const vncpassword = `password${'"\\ '.repeat(90)}`.slice(0, length);
      const told = await site.modern('writeXenHVMconf', order('xen13', { vncpassword }));
      expect(told.result).toMatch(/; VNC looks at the first 8 characters of the password$/);
      expect(guest('xen13')).toContain('\nvncpasswd = "password"');
      expect(await site.legacy('writeXenHVMconf', order('13', { vncpassword }))).toBe('OK');
    },
  );

  it("has no password where dom0's qemu cannot check one: the guest starts, and only the node itself reaches it", async () => {
    await setup('xen14', open);
    const told = await open.modern('writeXenHVMconf', order('xen14', { vncpassword: 's3cret' }));
    expect(guest('xen14', open)).toContain(
      '\nvnc = 1\nvnclisten = "127.0.0.1"\nvncdisplay = 14\nvncunused = 0\n',
    );
    expect(guest('xen14', open)).not.toMatch(/vncpasswd|s3cret|0\.0\.0\.0/);
    expect(told).toMatchObject({ vnc_address: '127.0.0.1', vnc_port: 5914 });
    expect(told.result).toMatch(/ssh -L 5914:127\.0\.0\.1:5914 root@NODE.*; it has no password: .* no DES/);
    expect(readFileSync(join(folder, 'unable.asked'), 'utf8')).toContain('-vnc none,password=on');
  });

  it('is refused at a port that there is none of: the guest can do without', async () => {
    await setup('xen59636');
    expect(await site.legacy('writeXenHVMconf', order('xen59636', { vncpassword: 's3cret' }))).toBe(
      'NOTOK - xen59636 cannot have a screen: there is no port 65536, 5900 and its number. Order it with no_vnc.',
    );
    expect(await site.legacy('writeXenHVMconf', order('xen59636', { vncpassword: 'no_vnc' }))).toBe('OK');
    expect(guest('xen59636')).toContain('\nvnc = 0\n');
  });
});

describe('the drives', () => {
  it("hold the owner's isos when the guest boots from its hdd, as DTC-Xen left them there", async () => {
    await setup('xen15');
    upload('xen15', 'a.iso', 'b.iso');
    const told = await site.modern('writeXenHVMconf', order('xen15', { howtoboot: 'hdd' }));
    expect(guest('xen15')).toMatch(
      /"format=raw,vdev=hdc,access=ro,devtype=cdrom,target=\S+\/\.iso\/xen15\/a\.iso", "format=raw,vdev=hdd,.*\/b\.iso" \]\n/,
    );
    expect(guest('xen15')).toContain('\nboot = "c"\n');
    expect(told).toEqual({ result: 'Wrote the configuration of xen15. In its drives: a.iso, b.iso' });
  });

  it('hold the iso to boot from first, and say what there was no drive for', async () => {
    await setup('xen16');
    upload('xen16', 'a.iso', 'b.iso', 'c.iso');
    const told = await site.modern('writeXenHVMconf', order('xen16', { howtoboot: 'c.iso' }));
    expect(guest('xen16')).toMatch(/vdev=hdc,\S+\/c\.iso", "\S+vdev=hdd,\S+\/a\.iso" \]\nboot = "dc"\n/);
    expect(told.result).toMatch(
      /\. In its drives: c\.iso, a\.iso\. Left out: b\.iso \(there is no drive for it\)$/,
    );
  });

  it('do not keep a guest from its configuration: an iso that may not be used is left out', async () => {
    await setup('xen17');
    const long = `${'n'.repeat(240)}.iso`;
    upload('xen17', 'a.iso', long);
    rmSync(join(site.folder.path, 'state/ttyssh_home/xen17/a.iso'));
    const told = await site.modern('writeXenHVMconf', order('xen17', { howtoboot: 'hdd' }));
    expect(guest('xen17')).not.toContain('cdrom');
    expect(told.result).toMatch(
      /^Wrote the configuration of xen17\. Left out: nnn.*its name is longer than 128 characters\)$/,
    );
  });
});
