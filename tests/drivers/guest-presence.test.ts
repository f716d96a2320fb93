import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Domain, VpsId } from '../../src/core/vps.ts';
import { parseVpsId } from '../../src/core/vps.ts';
import { createGuestPresence, makesGuest } from '../../src/drivers/guest-presence.ts';
import { createSavedGuests, saveFolder } from '../../src/drivers/saved-guests.ts';

const xen01 = parseVpsId('01') as VpsId;
const running: Domain = {
  name: 'xen01',
  domid: 4,
  memory_mib: 64,
  vcpus: 1,
  state: '-b----',
  cpu_seconds: 1,
};

let base: string;
let systemctl = '';
let domain: Domain | undefined;
beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), 'presence-'));
  systemctl = 'ActiveState=active\n';
  domain = undefined;
  for (const folder of ['xen/auto', 'save', 'proc/1', 'log'])
    mkdirSync(join(base, folder), { recursive: true });
  writeFileSync(join(base, 'proc/1/comm'), 'systemd\n');
});
afterEach(() => rmSync(base, { recursive: true }));

/** A process of the node. */
function process(pid: number, comm: string, args: readonly string[], ...open: string[]): void {
  const folder = join(base, 'proc', String(pid));
  mkdirSync(join(folder, 'fd'), { recursive: true });
  writeFileSync(join(folder, 'comm'), `${comm}\n`);
  writeFileSync(join(folder, 'cmdline'), `${args.join('\0')}\0`);
  for (const [fd, path] of open.entries()) symlinkSync(path, join(folder, 'fd', String(fd)));
}

/** @param meanwhile what happens while systemctl is asked */
function presence(holdsXendomains = () => false, meanwhile = () => {}) {
  const config = {
    ...{ xen_dir: join(base, 'xen'), xen_log_dir: '/var/log/xen', proc_dir: join(base, 'proc') },
    xen_save_dir: join(base, 'save'),
  };
  const look = createGuestPresence({
    runner: {
      async run() {
        meanwhile();
        return { exit_code: 0, stdout: systemctl, stderr: '', truncated: false, ms: 1 };
      },
    },
    config,
    saved: createSavedGuests(config),
    find: async () => domain,
    holdsXendomains,
  });
  return look.of(xen01);
}

describe('a guest', () => {
  it('that Xen lists is a domain, whatever else there is', async () => {
    domain = running;
    writeFileSync(join(base, 'save/xen01'), '');
    expect(await presence()).toEqual({ kind: 'domain', domain: running });
  });

  it('whose memory lies where xendomains looks for it is saved, while it is being restored, too', async () => {
    expect(await presence()).toEqual({ kind: 'stopped' });
    for (const name of ['xen01', '.xen01.restoring']) {
      writeFileSync(join(base, 'save', name), '');
      expect(await presence()).toEqual({ kind: 'saved', path: join(base, 'save', name) });
      rmSync(join(base, 'save', name));
    }
    for (const name of ['xen011', '.xen01.resuming', '.xen01.left-behind', 'xen01.bak']) {
      writeFileSync(join(base, 'save', name), '');
      expect(await presence()).toEqual({ kind: 'stopped' });
    }
  });

  it.each([
    ['xl', ['xl', 'create', '/etc/xen/xen01']],
    ['xl', ['/usr/lib/xen-4.20/bin/xl', 'create', '--quiet', '--defconfig', '/etc/xen/auto/xen01']],
    ['xl', ['xl', '-v', 'create', '-q', 'xen01.cfg']],
    ['xl', ['xl', 'restore', '/var/lib/xen/save/xen01']],
    ['xl', ['xl', 'restore', '-p', '/var/lib/xen/save/.xen01.restoring']],
  ])('whose process %s %j lives is starting', async (comm, args) => {
    process(812, comm, args);
    expect(await presence()).toEqual({ kind: 'starting', pid: 812 });
  });

  it('whose log is open in a process of xl is starting: it came by a migration, or its file has another name', async () => {
    process(813, 'xl', ['xl', '-v', 'migrate-receive'], '/dev/null', '/var/log/xen/xl-xen01--incoming.log');
    expect(await presence()).toEqual({ kind: 'starting', pid: 813 });
    rmSync(join(base, 'proc/813'), { recursive: true });
    process(814, 'xl', ['xl', 'create', 'web.cfg'], '/var/log/xen/xl-xen01.log.1 (deleted)');
    expect(await presence()).toEqual({ kind: 'starting', pid: 814 });
  });

  it("that others' processes are about is none of theirs", async () => {
    process(815, 'xl', ['xl', 'create', '/etc/xen/xen011'], '/var/log/xen/xl-xen011.log');
    process(816, 'vi', ['vi', '/etc/xen/xen01'], '/var/log/xen/xl-xen01.log');
    process(817, 'xl', ['xl', 'console', 'xen01']);
    process(818, 'xl', ['xl', 'list', 'xen01']);
    expect(await presence()).toEqual({ kind: 'stopped' });
    expect(makesGuest(['xl', 'destroy', 'xen01'], xen01)).toBe(false);
  });

  it('with an autostart link is awaited while xendomains is at work or about to be', async () => {
    const awaited = [
      'ActiveState=activating\n',
      'ActiveState=deactivating\n',
      'ActiveState=inactive\nJob=7\n',
    ];
    for (systemctl of awaited) expect(await presence()).toEqual({ kind: 'stopped' });
    symlinkSync('../xen01', join(base, 'xen/auto/xen01'));
    for (systemctl of awaited) expect(await presence()).toEqual({ kind: 'awaited' });
    for (systemctl of ['ActiveState=active\n', 'ActiveState=failed\n', 'ActiveState=inactive\nJob=0\n', ''])
      expect(await presence()).toEqual({ kind: 'stopped' });
  });

  it('that is started while systemctl is asked is starting', async () => {
    writeFileSync(join(base, 'xen/auto/xen01'), '');
    const start = () => process(812, 'xl', ['xl', 'create', '/etc/xen/xen01']);
    expect(await presence(undefined, start)).toEqual({ kind: 'starting', pid: 812 });
  });

  it('is not awaited as long as systemd holds xendomains back for us', async () => {
    symlinkSync('../xen01', join(base, 'xen/auto/xen01'));
    systemctl = 'ActiveState=inactive\nJob=7\n';
    expect(await presence(() => true)).toEqual({ kind: 'stopped' });
    systemctl = 'ActiveState=activating\nJob=7\n';
    expect(await presence(() => true)).toEqual({ kind: 'awaited' });
  });
});

it('the folder is the one of the settings of xendomains, else the one of Debian', () => {
  expect(saveFolder('')).toBe('/var/lib/xen/save');
  expect(saveFolder('XENDOMAINS_SAVE=/srv/save\n')).toBe('/srv/save');
  expect(saveFolder('# XENDOMAINS_SAVE=/a\nXENDOMAINS_SAVE="/b/c" # here\n')).toBe('/b/c');
  expect(saveFolder('XENDOMAINS_SAVE=/a\nXENDOMAINS_SAVE=\n')).toBe('/var/lib/xen/save');
});
