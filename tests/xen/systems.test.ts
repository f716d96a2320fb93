// The old system and the new one of a VPS that is reinstalled.
import { expect, it } from 'vitest';
import { inOrder } from './in-order.ts';
import {
  consoleCount,
  consoleShows,
  dom0,
  dom0Succeeds,
  install,
  jobEnd,
  modern,
  reconfigure,
  sshToItself,
  until,
} from './node.ts';

const vpsname = 'xen05';
const ROOT = `/dev/vg0/${vpsname}`;
const UP = 'bare guest is up';

/** Which of the installations the root is, and which one the configuration belongs to: its memory, in MiB. */
async function generation(): Promise<{ root: string; memory: string }> {
  const told = await dom0(
    `debugfs -R 'cat /etc/generation' ${ROOT} 2>/dev/null; sed -n 's/^memory = //p' /etc/xen/${vpsname}`,
  );
  const [root = '', memory = ''] = told.split('\n');
  return { root, memory };
}

/** Boots of a system, as it has counted them itself. */
const bootsCounted = async (volume: string) =>
  Number(await dom0(`debugfs -R 'cat /etc/boots' ${volume} 2>/dev/null | wc -l`));

async function boot(): Promise<void> {
  const boots = await consoleCount(vpsname, UP);
  await modern('startVPS', { vpsname });
  await consoleShows(vpsname, UP, boots + 1);
}

inOrder();

it('rollbackVPSos: the system before boots again, with its data and its configuration; rolled back again, the newer one', async () => {
  expect(await install(vpsname, 'bare')).toMatchObject({ state: 'succeeded' });
  await boot();
  await modern('destroyVPS', { vpsname });
  const before = { ...(await generation()), boots: await bootsCounted(ROOT) };
  expect(before.boots).toBeGreaterThan(0);
  await modern('reinstallVPSos', {
    vpsname,
    ostype: 'bare',
    ramsize: 200,
    password: 'x',
    nics: '10.0.2.105',
  });
  expect(await jobEnd(vpsname)).toMatchObject({ state: 'succeeded' });
  expect(await generation()).toEqual({ root: '200', memory: '200' });

  // LVM does not flush the disk that its metadata is on: the agent does, or the old names were back after a power cut.
  const flushes = async () => Number(await dom0("awk '{ print $16 }' /sys/class/block/vdb/stat"));
  const flushed = await flushes();
  await modern('rollbackVPSos', { vpsname });
  expect(await flushes()).toBeGreaterThan(flushed);
  await boot();
  await expect(modern('rollbackVPSos', { vpsname })).rejects.toMatchObject({ code: 'vps_running' });
  await modern('destroyVPS', { vpsname });
  expect({ ...(await generation()), boots: await bootsCounted(ROOT) }).toEqual({
    ...before,
    boots: before.boots + 1,
  });

  await modern('rollbackVPSos', { vpsname });
  expect(await generation()).toEqual({ root: '200', memory: '200' });
  await boot();
  await modern('destroyVPS', { vpsname });
  expect(await bootsCounted(ROOT)).toBe(1);
});

it('dtc-xen_migrate: over ssh to this node itself, under another name: the same byte for byte; boots there', async () => {
  const moved = 'xen15';
  await sshToItself();
  const sums = await dom0(`sha256sum <${ROOT}; sha256sum <${ROOT}swap`);
  expect(await dom0('dtc-xen_migrate 05 localhost 15 2>&1')).toContain(
    'localhost has xen05 as xen15: 80 MB, ',
  );
  expect(await dom0(`sha256sum </dev/vg0/${moved}; sha256sum </dev/vg0/${moved}swap`)).toBe(sums);
  expect(await dom0(`sha256sum <${ROOT}; sha256sum <${ROOT}swap`)).toBe(sums);
  expect(await dom0(`cd /etc/xen; ls -d auto/${vpsname} auto/${moved} 2>/dev/null || true`)).toBe(
    `auto/${moved}`,
  );
  await expect(dom0('dtc-xen_migrate 05 localhost 15 2>&1')).rejects.toThrow();
  const boots = await consoleCount(moved, UP);
  await modern('startVPS', { vpsname: moved });
  await consoleShows(moved, UP, boots + 1);
  await modern('destroyVPS', { vpsname: moved });
  expect(await modern('killVPS', { vpsname: moved, imagetype: 'lvm' })).toBeDefined();
  expect(await dom0(`sha256sum <${ROOT}; sha256sum <${ROOT}swap`)).toBe(sums);
});

it('wipe_removed_disks: what killVPS leaves is overwritten by the daemon in its sandbox; without, the next volume has it', async () => {
  const next = { vpsname: 'xen16', imagetype: 'lvm' };
  const secret = 'what the last customer wrote';
  const at = 'bs=1 seek=32768 skip=32768 count=28 status=none';
  // More than the GiB that is given back at a time.
  const make = () => modern('setupLVMDisks', { ...next, hddsize: 1100, swapsize: 16 });
  const write = () =>
    dom0(`printf '${secret}' | dd of=/dev/vg0/xen16 ${at.replace('skip=32768', '')} conv=fsync`);
  const isThere = () =>
    dom0Succeeds(`dd if=/dev/vg0/xen16 ${at.replace('seek=32768', '')} | grep -q -F '${secret}'`);

  await make();
  await write();
  await modern('killVPS', next);
  await make();
  expect(await isThere()).toBe(true);

  await reconfigure('echo wipe_removed_disks=yes | dtc-xen-agent config set');
  await modern('killVPS', next);
  await until('the end of the wiping', 300, async () =>
    (await dom0Succeeds('ls /dev/vg0/dtc-xen-removed.*')) ? undefined : true,
  );
  await make();
  expect(await isThere()).toBe(false);
  await reconfigure('echo wipe_removed_disks=no | dtc-xen-agent config set');
  await modern('killVPS', next);
});
