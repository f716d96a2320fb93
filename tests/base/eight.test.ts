// Eight VPSes of one node, reinstalled at once by their panel, share one base that is made once.
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Site, startSite } from '../site.ts';
import { copyScripts, timesMade } from './house.ts';

const VPSES = ['xen01', 'xen02', 'xen03', 'xen04', 'xen05', 'xen06', 'xen07', 'xen08'];

let home: string;
let site: Site;
beforeAll(async () => {
  home = mkdtempSync(join(tmpdir(), 'dtc-xen-eight-'));
  copyScripts(join(home, 'scripts'), home);
  writeFileSync(join(home, 'with-sshd'), '');
  site = await startSite({
    config: { scripts_dir: join(home, 'scripts'), debian_repo: 'http://mirror.test/debian' },
  });
});
afterAll(async () => {
  await site.stop();
  rmSync(home, { recursive: true });
});

function hostKey(vpsname: string): string {
  const look = join(home, vpsname);
  mkdirSync(look);
  execFileSync('mount', ['-o', 'loop,ro', join(site.folder.path, 'mnt', `${vpsname}.img`), look]);
  try {
    expect(readFileSync(join(look, 'etc/debian_version'), 'utf8')).toBe('trixie\n');
    expect(readFileSync(join(look, 'etc/hostname'), 'utf8')).toBe(`${vpsname}\n`);
    return readFileSync(join(look, 'etc/ssh/ssh_host_ed25519_key.pub'), 'utf8');
  } finally {
    execFileSync('umount', [look]);
  }
}

it('eight reinstalls at once make one base, and every VPS has its own host keys', async () => {
  const ended = await Promise.all(
    VPSES.map(async (vpsname) => {
      await site.modern('setupLVMDisks', { vpsname, hddsize: 32, swapsize: 8, imagetype: 'vbd' });
      await site.modern('reinstallVPSos', {
        ...{ vpsname, ostype: 'debian', ramsize: 128, password: 'a password' },
        ...{ nics: '192.0.2.10,255.255.255.0,192.0.2.255', gateway: '192.0.2.1', dns: '192.0.2.2' },
      });
      return site.jobEnd(vpsname, 120_000);
    }),
  );
  for (const [i, { message }] of ended.entries()) {
    expect(message).toContain(`Debian trixie is installed on ${VPSES[i]}; startVPS boots it.`);
  }
  expect(timesMade(home)).toBe(1);
  const logs = await Promise.all(
    VPSES.map((vpsname) => site.modern('getVPSInstallLog', { vpsname, numlines: 0 })),
  );
  expect(logs.filter(({ log }) => String(log).includes('being made'))).toHaveLength(1);
  expect(new Set(VPSES.map(hostKey)).size).toBe(8);
  expect(site.mounts()).toEqual([]);
}, 150_000);
