// What an ostype stands for, those of DTC's menu among them.
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseConfig } from '../../src/config/load.ts';
import { createTemplates } from '../../src/drivers/templates.ts';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'dtc-xen-templates-'));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const find = (ostype: string) => {
  const folders = `os_dir=${root}/os\napp_dir=${root}/app\nimage_dir=${root}/images`;
  const config = parseConfig(`${folders}\nbsd_install_kernel_path=${root}/netbsd`);
  return createTemplates({ config }).find(ostype);
};
function template(name: string, files: Readonly<Record<string, string>> = {}): void {
  const folder = join(root, 'os', name);
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'install_os'), '#!/bin/sh\n');
  chmodSync(join(folder, 'install_os'), 0o755);
  for (const [file, text] of Object.entries(files)) writeFileSync(join(folder, file), text);
}
function appliance(name: string, depends: string): void {
  const folder = join(root, 'app', name);
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'depends'), `${depends}\n`);
  writeFileSync(join(folder, 'setup-script'), '#!/bin/sh\n');
}

describe("what DTC's panel always offers", () => {
  it('centos is the Rocky Linux of the node, and said so', async () => {
    template('rocky', { variants: '9\n' });
    expect(await find('centos')).toMatchObject({
      os: 'rocky',
      told_as: expect.stringContaining('rocky'),
      system: { kind: 'template', programs: { install_os: join(root, 'os/rocky/install_os') } },
    });
  });

  it("centos is the admin's own template where there is one", async () => {
    template('rocky');
    template('centos');
    expect(await find('centos')).toMatchObject({ os: 'centos' });
    expect(await find('centos')).not.toHaveProperty('told_as');
  });

  it('debian-dtc is Debian with the appliance dtc', async () => {
    appliance('dtc', 'debian');
    expect(await find('debian-dtc')).toMatchObject({
      os: 'debian',
      system: { kind: 'debian' },
      appliance: join(root, 'app/dtc'),
    });
  });

  it.each([
    ['centos', /^centos is installed as rocky .*, and this node has no rocky; see getInstallableOS\.$/],
    ['debian-dtc', /^debian-dtc is installed as Debian with the appliance dtc, and this node has no dtc;/],
  ])('%s is refused before anything is touched where the node has nothing for it', async (ostype, told) => {
    await expect(find(ostype)).rejects.toMatchObject({
      code: 'unknown_os',
      message: expect.stringMatching(told),
    });
  });

  it('netbsd is refused before anything is touched where its install kernel is not on the node', async () => {
    await expect(find('netbsd')).rejects.toMatchObject({
      code: 'unknown_os',
      message: `netbsd cannot be installed on this node: there is no kernel ${root}/netbsd; put it there, or see bsd_install_kernel_path in dtc-xen.conf.`,
    });
    writeFileSync(join(root, 'netbsd'), '');
    expect(await find('netbsd')).toMatchObject({ system: { kind: 'self-installed', guest: 'netbsd' } });
  });

  it('manual is a guest whose disks are left to the admin', async () => {
    expect(await find('manual')).toMatchObject({ system: { kind: 'self-installed', guest: 'manual' } });
  });
});

describe('what a template needs', () => {
  it('is looked for before anything is touched, its variants too', async () => {
    template('mine', { needs: '# one of\nno-such-program | sh\n', variants: 'old\n' });
    expect(await find('mine')).toMatchObject({ os: 'mine' });
    template('mine', { needs: 'sh\nno-such-program|neither-this # both are missing\n' });
    for (const ostype of ['mine', 'mine-old']) {
      await expect(find(ostype)).rejects.toMatchObject({
        code: 'unknown_os',
        message: `${ostype} cannot be installed on this node: it needs no-such-program or neither-this; install it; see getInstallableOS.`,
      });
    }
  });
});

describe('an ostype that is none', () => {
  it.each([
    [
      'debain',
      'There is no operating system template or appliance debain that can be installed; the nearest is debian; see getInstallableOS.',
    ],
    [
      'rockey-9',
      'There is no operating system template or appliance rockey-9 that can be installed; the nearest is rocky-9; see getInstallableOS.',
    ],
    [
      'windows-server',
      'There is no operating system template or appliance windows-server that can be installed; see getInstallableOS.',
    ],
  ])('%s is named, and the nearest that is one', async (ostype, message) => {
    mkdirSync(join(root, 'os/debian'), { recursive: true });
    template('rocky', { variants: '9\n' });
    await expect(find(ostype)).rejects.toMatchObject({ code: 'unknown_os', message });
  });

  it.each([
    ['Debian', /appliance Debian that can be installed; the nearest is debian;/],
    ['debian trixie', /appliance debian\?trixie that can be installed; the nearest is debian-trixie;/],
    ['', /There is no operating system template or appliance of an empty name;/],
    ['../debian', /appliance \.\.\/debian that can be installed; the nearest is debian;/],
    ['debian\n\u001b[2J', /appliance debian\?\?\[2J that can be installed/],
    ['constructor', /appliance constructor that can be installed; see/],
    ['toString', /appliance toString that can be installed; see/],
  ])(
    '%j, as somebody writes it who does not look or means no good, is named and nothing else',
    async (ostype, told) => {
      template('debian', { variants: 'trixie\n' });
      await expect(find(ostype)).rejects.toMatchObject({
        code: 'unknown_os',
        message: expect.stringMatching(told),
      });
    },
  );
});
