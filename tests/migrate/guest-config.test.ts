import { describe, expect, it } from 'vitest';
import { describeGuest, renameGuest } from '../../src/migrate/guest-config.ts';

const renamed = (text: string) =>
  renameGuest(
    text,
    'xen07',
    new Map([
      ['/dev/vg0/xen01', '/dev/vg1/xen07'],
      ['/dev/vg0/xen01swap', '/dev/vg1/xen07swap'],
    ]),
  );

describe('a configuration', () => {
  it.each([
    ["disk = ['phy:/dev/vg0/xen01,xvda,w']", ['/dev/vg0/xen01']],
    [
      'disk = [ "/dev/vg0/xen01,raw,xvda,rw", "/srv/a b.iso,,hdc,ro,cdrom" ]',
      ['/dev/vg0/xen01', '/srv/a b.iso'],
    ],
    ['disk = [\n # first\n "tap2:aio:/a.img,xvda,w" ,\n\n]', ['/a.img']],
    ['disk = [ "format=raw, vdev=xvda, access=w, target=/srv/a,b.img " ]', ['/srv/a,b.img']],
    ['disk = [ "vdev=hdc,devtype=cdrom,format=empty", ",hdd:cdrom,r" ]', []],
    ['disk = [ "phy:/a,xvda,w" ]; disk += [ "phy:/b,xvdb,w" ]', ['/a', '/b']],
    ['disk = []', []],
  ])('%j names its disks', (text, targets) => {
    expect(describeGuest(text).targets).toEqual(targets);
  });

  it('names guest, kernel and RAM disk; a later setting goes before an earlier one', () => {
    const text =
      'name="a"\r\nkernel = \'/boot/k\'\nramdisk="/boot/r"; name = "xen01"\nmemory = 512\nvcpus=0x2';
    expect(describeGuest(text)).toEqual({ name: 'xen01', boot_files: ['/boot/k', '/boot/r'], targets: [] });
  });

  it.each([
    ['quotes in a string', 'extra = "a=\\"b c\\" d"\nname = \'it\\\'s\'\nname = "xen01"'],
    ['a list in a list', 'vnuma = [ [ "pnode=0", "size=512" ],\n [ "pnode=1" ] ]\nname = "xen01"'],
    ['an empty one', 'a = [ [] , [ ] ]; name="xen01"'],
  ])('is read with %s, as xl reads it', (_, text) => {
    expect(describeGuest(text).name).toBe('xen01');
    expect(renameGuest(text, 'xen07', new Map())).toContain('xen07');
  });

  it('is not read where lists are in lists without an end, and ends nothing', () => {
    expect(() => describeGuest(`a = ${'['.repeat(100_000)}`)).toThrow(/cannot be read in line 1/);
  });

  it('gets another name and other disks; nothing else of it is another', () => {
    const rest = '# name = "xen01" /dev/vg0/xen01\nextra = "name=xen01 root=/dev/vg0/xen01"\n';
    expect(
      renamed(
        `${rest}name = 'xen01'\ndisk=["phy:/dev/vg0/xen01,xvda,w",'phy:/dev/vg0/xen01swap,xvdb,w', "phy:/dev/vg0/xen011,xvdc,w"]`,
      ),
    ).toBe(
      `${rest}name = 'xen07'\ndisk=["phy:/dev/vg1/xen07,xvda,w",'phy:/dev/vg1/xen07swap,xvdb,w', "phy:/dev/vg0/xen011,xvdc,w"]`,
    );
    expect(renamed('disk = [ "vdev=xvda,target=/dev/vg0/xen01" ]')).toBe(
      'disk = [ "vdev=xvda,target=/dev/vg1/xen07" ]',
    );
  });

  it.each([
    ['name = "xen01', 1],
    ['name = "xen01"\nimport os', 2],
    ['memory = 512\n\nname = "xen" + "01"', 3],
    ['disk = [ "a"', 1],
    ['disk = [ "a" "b" ]', 1],
    ['name', 1],
    ['= 3', 1],
  ])('%j cannot be read', (text, line) => {
    expect(() => describeGuest(text)).toThrow(`cannot be read in line ${line}`);
  });
});
