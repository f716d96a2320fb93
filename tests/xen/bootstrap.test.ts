// A Debian from the mirror, bootstrapped in dom0: ten minutes and more here, so it is not a part of every run.
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { inOrder } from './in-order.ts';
import { Console, consoleShows, dom0, dom0Succeeds, jobEnd, modern } from './node.ts';

const MIRROR = join(import.meta.dirname, '../../scripts/lib/apt-mirror');
const HOUR_MS = 3_600_000;
const vpsname = 'xen09';

describe('a Debian from the mirror', () => {
  inOrder();

  it('reinstallVPSos of debian: bootstrapped from the mirror that dom0 itself uses', {
    timeout: HOUR_MS,
  }, async () => {
    const mirror = execFileSync(MIRROR, { encoding: 'utf8' }).trim();
    await dom0('cat >/etc/apt/sources.list', `deb ${mirror} trixie main\n`);
    await modern('setupLVMDisks', { vpsname, hddsize: 2048, swapsize: 64, imagetype: 'lvm' });
    await modern('reinstallVPSos', {
      vpsname,
      ostype: 'debian',
      ramsize: 256,
      password: 'from the mirror',
      nics: '10.0.2.109',
    });
    expect(await jobEnd(vpsname, 3_000)).toMatchObject({ state: 'succeeded' });
    expect(await dom0Succeeds('grep -E "vg0-xen09|/var/lib/dtc-xen/mnt/" /proc/mounts')).toBe(false);
  });

  it('boots to its login prompt, answers, and takes the password', { timeout: HOUR_MS }, async () => {
    await modern('startVPS', { vpsname });
    await consoleShows(vpsname, 'xen09 login:', 1, 900);
    expect(await dom0Succeeds('ping -c 3 -W 10 10.0.2.109')).toBe(true);
    const guest = new Console(vpsname);
    await guest.login('from the mirror');
    expect(await guest.run('dpkg --audit; hostname')).toBe(vpsname);
    guest.close();
    await modern('destroyVPS', { vpsname });
  });
});
