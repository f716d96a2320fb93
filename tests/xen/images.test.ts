// A guest on an image file that discards what it does not need (fstrim): the room stays its own, whatever its configuration says.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { inOrder } from './in-order.ts';
import { Console, consoleCount, consoleShows, dom0, jobEnd, modern } from './node.ts';
import { note } from './report.ts';

const vpsname = 'xen24';
const PASSWORD = 'a trimmed one';
const FOLDER = '/var/lib/dtc-xen/mnt';
const SIZE_MB = 900;

let guest: Console | undefined;

async function boot(): Promise<Console> {
  const logins = await consoleCount(vpsname, 'login: ');
  await modern('startVPS', { vpsname });
  await consoleShows(vpsname, 'login: ', logins + 1);
  guest = new Console(vpsname);
  await guest.login(PASSWORD);
  return guest;
}

async function powerOff(): Promise<void> {
  guest?.close();
  await modern('destroyVPS', { vpsname });
}

/** MB of the root image that the node's file system has blocks for. */
const allocated_mb = async () => Number(await dom0(`sync; stat -c %b ${FOLDER}/${vpsname}.img`)) / 2048;

describe('a guest that trims its disk', () => {
  inOrder();

  beforeAll(async () => {
    await modern('setupLVMDisks', { vpsname, hddsize: SIZE_MB, swapsize: 16, imagetype: 'vbd' });
    const nics = '10.0.2.124';
    await modern('reinstallVPSos', {
      vpsname,
      ostype: 'image-trixie',
      ramsize: 256,
      password: PASSWORD,
      nics,
    });
    expect(await jobEnd(vpsname)).toMatchObject({ state: 'succeeded' });
  });
  afterAll(async () => {
    guest?.close();
    await modern('destroyVPS', { vpsname }).catch(() => undefined);
    await modern('killVPS', { vpsname, imagetype: 'vbd' });
  });

  it("cannot, with the agent's own configuration", async () => {
    const running = await boot();
    await expect(running.run('fstrim -v /')).rejects.toThrow(/discard operation is not supported/);
    expect(await allocated_mb()).toBeGreaterThanOrEqual(SIZE_MB);
    await powerOff();
  });

  it('with an older one it can, and nobody else is given the room', async () => {
    await dom0(`sed -i s/no-discard,//g /etc/xen/${vpsname}`);
    const running = await boot();
    expect(await running.run('fstrim -v /')).toMatch(/trimmed/);
    const left_mb = await allocated_mb();
    note(`a ${SIZE_MB} MB image after fstrim in its guest`, `${Math.round(left_mb)} MB`);
    expect(left_mb).toBeLessThan(SIZE_MB - 100);
    const free_mb = Number(await dom0(`df --output=avail -B 1M ${FOLDER} | tail -n 1`));
    const hddsize = free_mb - Math.floor((SIZE_MB - left_mb) / 2);
    await expect(
      modern('setupLVMDisks', { vpsname: 'xen25', hddsize, swapsize: 16, imagetype: 'vbd' }),
    ).rejects.toMatchObject({ code: 'no_space' });
    await powerOff();
  });
});
