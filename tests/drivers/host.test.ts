import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { hostname, release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { parseConfig } from '../../src/config/load.ts';
import { guestKernel, nodeName } from '../../src/drivers/host.ts';
import { hostFigures } from '../../src/drivers/host-figures.ts';
import { createTemplates } from '../../src/drivers/templates.ts';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'dtc-xen-host-'));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));
const make = (name: string) => writeFileSync(join(root, name), '');

it("knows the node's name", () => {
  expect(nodeName(parseConfig('node_name=node1.example.com'))).toBe('node1.example.com');
  expect(nodeName(parseConfig(''))).toBe(hostname());
});

it("finds dom0's running kernel, with its initrd where there is one", async () => {
  const config = parseConfig('');
  await expect(guestKernel(config, root)).rejects.toMatchObject({ code: 'not_found' });
  make(`vmlinuz-${release()}`);
  const kernel = `${root}/vmlinuz-${release()}`;
  const modules = `/lib/modules/${release()}`;
  expect(await guestKernel(config, root)).toEqual({ kernel, initrd: undefined, release: release(), modules });
  make(`initrd.img-${release()}`);
  expect((await guestKernel(config, root)).initrd).toBe(`${root}/initrd.img-${release()}`);
});

it('takes the configured kernel, and no initrd that belongs to another', async () => {
  for (const name of ['mykernel', 'myinitrd', `initrd.img-9.9`]) make(name);
  const keys = `KERNELPATH=${root}/mykernel\nKERNEL_RELEASE=9.9\n`;
  expect(await guestKernel(parseConfig(keys), root)).toEqual({
    kernel: `${root}/mykernel`,
    initrd: undefined,
    release: '9.9',
    modules: '/lib/modules/9.9',
  });
  const both = parseConfig(`${keys}INITRDPATH=${root}/myinitrd\nKMOD_PATH=/srv/modules`);
  expect(await guestKernel(both, root)).toMatchObject({
    initrd: `${root}/myinitrd`,
    modules: '/srv/modules',
  });
  const missing = parseConfig(`${keys}INITRDPATH=${root}/nosuch`);
  await expect(guestKernel(missing, root)).rejects.toMatchObject({ code: 'not_found' });
});

it("reads the node's figures", async () => {
  const figures = await hostFigures('/');
  expect(figures.memory_total_mib).toBeGreaterThan(figures.memory_free_mib);
  expect(figures.memory_free_mib).toBeGreaterThan(0);
  expect(figures.disk_size_mib).toBeGreaterThan(0);
});

it('lists templates: folders with plain names, sorted', async () => {
  const config = parseConfig(`os_dir=${root}\napp_dir=${root}/nosuch`);
  for (const name of ['netbsd', 'debian-12', '.hidden', 'a b', '-x', 'x\ny']) mkdirSync(join(root, name));
  make('a-file');
  symlinkSync('netbsd', join(root, 'bsd'));
  symlinkSync('nowhere', join(root, 'dangling'));
  const templates = createTemplates({ config });
  expect(await templates.operatingSystems()).toEqual(['bsd', 'debian-12', 'netbsd']);
  expect(await templates.applications()).toEqual([]);
});
