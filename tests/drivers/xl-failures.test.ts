import { describe, expect, it } from 'vitest';
import { explainXlFailure } from '../../src/drivers/xl-failures.ts';
import { transcript } from './transcript.ts';

describe('what a failed xl had to say', () => {
  it.each([
    ['002', 'Xen knew no such domain'],
    ['004', 'its configuration /etc/xen/nosuch cannot be read: No such file or directory'],
    ['036', 'xl cannot reach Xen'],
    ['050', 'its configuration has a syntax error in line 4'],
    ['051', 'its disk xvda is missing: there is no /dev/vg0/nosuch'],
    ['052', 'Xen has not enough free memory'],
    ['053', 'its kernel or initrd is missing: there is no /boot/vmlinuz-nosuch'],
    ['054', 'there is no bridge nosuchbr on the node'],
    ['055', 'its configuration has no name'],
    ['056', 'its configuration names no kernel'],
    ['057', 'the memory in its configuration is too small for its kernel'],
    ['069', 'the guest did not answer within 60 s'],
    ['074', 'Xen has a domain of that name already'],
    ['170', 'another guest holds one of its disks open'],
    ['191', 'Xen has a domain of that name already'],
    ['206', 'another guest holds one of its disks open'],
  ])('record %s: %s', (number, clause) => {
    expect(explainXlFailure(transcript(number))).toMatch(clause);
  });

  it('says where to look, and what mends a screen, when a fully virtualized guest has no qemu', () => {
    const stderr = `Parsing config from /etc/xen/xen01
libxl: error: libxl_dm.c:3101:device_model_spawn_outcome: Domain 7:domain 7 device model: spawn failed (rc=-3)
libxl: error: libxl_create.c:1921:domcreate_devmodel_started: Domain 7:device model did not start: -3\n`;
    expect(explainXlFailure({ stdout: '', stderr })).toMatch(
      /^its qemu did not start: .*qemu-dm-NAME\.log says why; where that is DES, .* writeXenHVMconf writes/,
    );
  });

  it('tells the first error of what it does not know, without its place in the source', () => {
    const stderr = `Parsing config from /etc/xen/xen01
libxl: error: libxl_foo.c:12:do_foo: Domain 7:the moon is full
libxl: error: libxl_domain.c:1060:domain_destroy_cb: Domain 7:Destruction of domain failed\n`;
    expect(explainXlFailure({ stdout: '', stderr })).toBe('xl says: Domain 7:the moon is full');
    expect(explainXlFailure({ stdout: '', stderr: '' })).toBe('xl says: it said nothing');
    expect(explainXlFailure({ stdout: '', stderr: `\x1b[2J${'error '.repeat(99)}` }).length).toBeLessThan(
      220,
    );
  });
});
