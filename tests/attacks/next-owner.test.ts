// The next owner of a name that was deleted: has a VPS called as another's was, its console user and its calls. Each test is named
// after what the attacker has where it passes.
import { execFileSync } from 'node:child_process';
import { chownSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Site, startSite } from '../site.ts';

let site: Site;
beforeAll(async () => {
  site = await startSite();
});
afterAll(() => site.stop());

/** What the programs that stand for the machine's own keep: its locked users, and which programs were called. */
const PROGRAMS_OWN = ['chpasswd', 'users', 'node/state/calls.log'];
const ORDER = { ostype: 'tiny', ramsize: 128, password: 'secret', nics: '192.0.2.21' };
const KEY = execFileSync('sh', [
  '-c',
  'd=$(mktemp -d); ssh-keygen -q -t ed25519 -N "" -C a -f $d/k; cat $d/k.pub; rm -r $d',
]).toString();

/** Everything below a folder whose name or content has this word. */
function traces(folder: string, word: string): string[] {
  const found: string[] = [];
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    const name = relative(folder, path);
    const is_named = new RegExp(`(?<![a-z0-9])${word}(?![0-9])`).test(name);
    const says =
      entry.isFile() &&
      statSync(path).size < 1 << 20 &&
      new RegExp(`(?<![a-z0-9])${word}(?![0-9])`).test(readFileSync(path, 'latin1'));
    if (is_named || says) found.push(name);
  }
  return found.sort();
}

it('anything that the owner before had on the node', async () => {
  const vpsname = 'xen21';
  const { folder } = site;
  await site.modern('setupLVMDisks', { vpsname, hddsize: 64, swapsize: 16, imagetype: 'lvm' });
  await site.modern('changeVPSsoapPassword', { vpsname, password: 'soap-secret' });
  await site.modern('changeVPSxmPassword', { vpsname, password: 'console-secret' });
  await site.modern('changeVPSsshKey', { vpsname, keystring: KEY });
  const home = join(folder.path, 'state/ttyssh_home', vpsname);
  for (const file of ['secret-dump.iso', '.bash_history']) {
    writeFileSync(join(home, file), 'secret');
    chownSync(join(home, file), 23456, 23456);
  }
  for (let times = 0; times < 2; times += 1) {
    await site.modern('reinstallVPSos', { vpsname, ...ORDER });
    expect(await site.jobEnd(vpsname)).toMatchObject({ state: 'succeeded' });
  }
  await site.modern('writeXenHVMconf', {
    ...{
      vpsname,
      ramsize: 64,
      allipaddrs: '192.0.2.21',
      vncpassword: 'vnc-pass',
      howtoboot: 'secret-dump.iso',
    },
  });
  await site.modern('rollbackVPSos', { vpsname });
  await site.modern('fsckVPSpartition', { vpsname });
  await site.jobEnd(vpsname);
  await site.modern('startVPS', { vpsname });
  await site.modern('destroyVPS', { vpsname });
  const logs = site.node.xen_log_dir;
  for (const name of [`qemu-dm-${vpsname}.log.2`, `xl-${vpsname}.log.1`, `xl-${vpsname}1.log`])
    writeFileSync(join(logs, name), 'logged');
  expect(traces(folder.path, vpsname).length).toBeGreaterThan(20);
  await site.modern('killVPS', { vpsname, imagetype: 'lvm' });
  const kept = [...PROGRAMS_OWN, ...[`run/lock/${vpsname}.disks`, `run/lock/${vpsname}.lock`]];
  expect(traces(folder.path, vpsname).filter((name) => !kept.includes(name))).toEqual([]);
  expect(readdirSync(logs)).toContain(`xl-${vpsname}1.log`);
});
