// What outlives what: the daemon killed during a job, the job killed, both; the daemon stopped; an answer cut off.
import { existsSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from 'node:tls';
import { pino } from 'pino';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { GuestReading } from '../../src/core/ports.ts';
import { STORE_MARK } from '../../src/core/store-mark.ts';
import { createSamples } from '../../src/stats/samples.ts';
import { readCa } from '../daemon.ts';
import { legacyEnvelope } from '../legacy-client.ts';
import { type Site, startSite } from '../site.ts';

let site: Site;
beforeAll(async () => {
  site = await startSite();
});
afterEach(() => rmSync(join(site.folder.path, 'go'), { force: true }));
afterAll(() => site.stop());

const ORDER = { ostype: 'slow', ramsize: 128, password: 'secret', nics: '192.0.2.10', gateway: '', dns: '' };

async function startReinstall(vpsname: string, imagetype: 'lvm' | 'vbd'): Promise<void> {
  await site.modern('setupLVMDisks', { vpsname, hddsize: 64, swapsize: 16, imagetype });
  await site.modern('reinstallVPSos', { vpsname, ...ORDER });
  await site.jobStep(vpsname, 'bootstrap');
}

interface Running {
  readonly pid: number;
  readonly args: readonly string[];
}

/** Processes that belong to this site's jobs, by the folder in their command line or the mark in their environment. */
function jobProcesses(vpsname: string): Running[] {
  const folder = join(site.folder.path, 'state/states', vpsname);
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      try {
        const args = readFileSync(`/proc/${name}/cmdline`, 'utf8').split('\0').slice(0, -1);
        const environment = readFileSync(`/proc/${name}/environ`, 'utf8');
        const job = readdirSync(folder).at(-1) ?? 'none';
        const isOurs =
          args.some((arg) => arg.startsWith(folder)) || environment.includes(`DTC_XEN_JOB=${job}`);
        return isOurs ? [{ pid: Number(name), args }] : [];
      } catch (error) {
        if (['ENOENT', 'ESRCH', 'EACCES'].includes((error as NodeJS.ErrnoException).code ?? '')) return [];
        throw error;
      }
    });
}

/** The job's own process: Node, and not the flock and unshare in front of it. */
function jobMain(vpsname: string): number {
  const main = jobProcesses(vpsname).find(({ args }) => args[0] === process.execPath && args.includes('job'));
  if (!main) throw new Error(`No job of ${vpsname} runs.`);
  return main.pid;
}

async function gone(vpsname: string): Promise<void> {
  for (let i = 0; i < 100 && jobProcesses(vpsname).length > 0; i += 1) await sleep(50);
  expect(jobProcesses(vpsname)).toEqual([]);
}

const loops = () =>
  readdirSync('/sys/block')
    .filter((name) => name.startsWith('loop'))
    .flatMap((name) => {
      try {
        return [readFileSync(`/sys/block/${name}/loop/backing_file`, 'utf8')];
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
        throw error;
      }
    })
    .filter((file) => file.includes(site.folder.path));

describe.each(['lvm', 'vbd'] as const)('a reinstall on %s', (imagetype) => {
  const number = imagetype === 'lvm' ? '1' : '2';

  it('goes on to its end when the daemon is killed and started again', async () => {
    const vps = `xen${number}1`;
    await startReinstall(vps, imagetype);
    const before = jobMain(vps);
    await site.daemon().kill();
    expect(jobMain(vps)).toBe(before);
    await site.restart();
    expect(await site.legacy('getVPSState', { vpsname: vps })).toBe('mkos');
    expect(await site.legacy('startVPS', { vpsname: vps })).toMatch(
      /^NOTOK - xen.1 is busy: a reinstall runs since .*bootstrap/,
    );
    expect(await site.legacy('reinstallVPSos', { vpsname: vps, ...ORDER })).toMatch(/^NOTOK - xen.1 is busy/);
    expect(await site.legacy('fsckVPSpartition', { vpsname: vps })).toMatch(/^NOTOK - xen.1 is busy/);
    expect(await site.legacy('killVPS', { vpsname: vps, imagetype })).toMatch(/^NOTOK - xen.1 is busy/);
    site.go();
    expect(await site.jobEnd(vps)).toMatchObject({ kind: 'reinstall', state: 'succeeded' });
    await gone(vps);
    expect([...site.mounts(), ...loops()]).toEqual([]);
    expect(await site.legacy('startVPS', { vpsname: vps })).toEqual(['OK', `Started ${vps}`]);
    await site.modern('destroyVPS', { vpsname: vps });
  });

  it('is told as failed, with its step, when its process is killed; nothing of it is left', async () => {
    const vps = `xen${number}2`;
    await startReinstall(vps, imagetype);
    expect(jobProcesses(vps).length).toBeGreaterThan(2);
    process.kill(jobMain(vps), 'SIGKILL');
    const end = await site.jobEnd(vps);
    expect(end).toMatchObject({ kind: 'reinstall', state: 'failed' });
    expect(end.message).toMatch(new RegExp(`reinstall of ${vps} .*bootstrap`));
    await gone(vps);
    expect([...site.mounts(), ...loops()]).toEqual([]);
    expect(await site.legacy('getVPSState', { vpsname: vps })).toBe('Not running');
    expect(await site.legacy('startVPS', { vpsname: vps })).toMatch(/^NOTOK - /);
    site.go();
    await site.modern('reinstallVPSos', { vpsname: vps, ...ORDER });
    expect(await site.jobEnd(vps)).toMatchObject({ state: 'succeeded' });
  });

  it('is told as failed by the next daemon when both are killed', async () => {
    const vps = `xen${number}3`;
    await startReinstall(vps, imagetype);
    const main = jobMain(vps);
    await site.daemon().kill();
    process.kill(main, 'SIGKILL');
    await gone(vps);
    await site.restart();
    expect(await site.jobEnd(vps)).toMatchObject({ kind: 'reinstall', state: 'failed' });
    expect([...site.mounts(), ...loops()]).toEqual([]);
  });

  it('is cancelled by SIGTERM, cleans up, and says so', async () => {
    const vps = `xen${number}4`;
    await startReinstall(vps, imagetype);
    process.kill(jobMain(vps), 'SIGTERM');
    const end = await site.jobEnd(vps);
    expect(end.state).toBe('failed');
    expect(end.message).toMatch(/cancelled|told to end|stopped/i);
    await gone(vps);
    expect([...site.mounts(), ...loops()]).toEqual([]);
  });
});

describe('killVPS', () => {
  it('ends with the daemon while LVM works: nothing can be started on what is left, and the next call finishes it', async () => {
    const vpsname = 'xen41';
    const config = join(site.folder.path, 'xen', vpsname);
    const link = join(site.folder.path, 'xen/auto', vpsname);
    await site.modern('setupLVMDisks', { vpsname, hddsize: 64, swapsize: 16, imagetype: 'lvm' });
    await site.modern('reinstallVPSos', { vpsname, ...ORDER, ostype: 'tiny' });
    expect(await site.jobEnd(vpsname)).toMatchObject({ state: 'succeeded' });
    expect([existsSync(config), existsSync(link)]).toEqual([true, true]);

    await site.node.setFault({ match: 'lvremove', mode: 'slow', delay_ms: 12_000, times: 1 });
    const call = site.modern('killVPS', { vpsname, imagetype: 'lvm' }).catch((error: unknown) => error);
    const calls = () => site.node.calls().map((words) => words.join(' '));
    await expect
      .poll(() => calls().some((line) => /^lvremove .*xen41/.test(line)), { timeout: 60_000 })
      .toBe(true);
    expect([existsSync(config), existsSync(link)]).toEqual([false, false]);
    await site.daemon().kill();
    expect(await call).toBeInstanceOf(Error);
    await site.node.clearFaults();
    await site.restart();
    // What is left is the last owner's: nobody is given the name, or finds his systems, before all of it is gone.
    const said = (operation: string, params: Record<string, string | number>) =>
      site.modern(operation, { vpsname, ...params }).then(
        () => 'done',
        ({ message }: Error) => message,
      );
    const size = { hddsize: 64, swapsize: 16, imagetype: 'lvm' };
    const HALF = /xen41 is half deleted: a killVPS of it did not come to its end.*Call killVPS again/;
    await expect.poll(() => said('setupLVMDisks', size), { timeout: 60_000 }).toMatch(HALF);
    expect(await said('reinstallVPSos', { ...ORDER, ostype: 'tiny' })).toMatch(HALF);
    expect(await said('rollbackVPSos', {})).toMatch(HALF);
    await expect
      .poll(() => site.legacy('killVPS', { vpsname, imagetype: 'lvm' }), { timeout: 120_000 })
      .toEqual('OK');
    expect(existsSync(join(site.node.dev_dir, 'vg0', vpsname))).toBe(false);
    expect(await said('rollbackVPSos', {})).toMatch(/it has no old system; it has never had one/);
    expect(await said('setupLVMDisks', size)).toBe('done');
  });
});

it('killVPS tells what is gone where it cannot go on, and the VPS waits for another one', async () => {
  const vpsname = 'xen42';
  await site.modern('setupLVMDisks', { vpsname, hddsize: 64, swapsize: 16, imagetype: 'lvm' });
  await site.modern('changeVPSsoapPassword', { vpsname, password: 'of the owner' });
  const asOwner = () => site.modern('getVPSState', { vpsname }, site.endpoint(vpsname, 'of the owner'));
  await asOwner();
  await site.node.setFault({ match: `lvremove vg0/${vpsname}`, mode: 'fail', exit: 5, stderr: '  oops\n' });
  await expect(site.modern('killVPS', { vpsname, imagetype: 'lvm' })).rejects.toMatchObject({
    code: 'program_failed',
    message: expect.stringMatching(
      /^xen42 is half deleted: \S+\/vg0\/xen42swap went, and then no more: .*oops\. Call killVPS again\.$/,
    ),
  });
  await expect(site.modern('fsckVPSpartition', { vpsname })).rejects.toMatchObject({
    code: 'vps_busy',
    message: expect.stringMatching(/half deleted/),
  });
  await expect(asOwner()).rejects.toThrow(/does not know this user and password/);
  await site.node.clearFaults();
  await site.modern('killVPS', { vpsname, imagetype: 'lvm' });
  await expect(site.modern('fsckVPSpartition', { vpsname })).rejects.toMatchObject({ code: 'disks_missing' });
});

it('setupLVMDisks makes no root disk beside the only system that a VPS has, whatever that is called', async () => {
  const [vpsname, imagetype] = ['xen43', 'vbd'];
  const size = { vpsname, hddsize: 64, swapsize: 16, imagetype };
  const image = (ending: string) => join(site.folder.path, `mnt/${vpsname}${ending}.img`);
  await site.modern('setupLVMDisks', size);
  for (const ending of ['.old', '.new', '.passing']) {
    renameSync(image(''), image(ending));
    await expect(site.modern('setupLVMDisks', size)).rejects.toMatchObject({
      code: 'disks_exist',
      message: expect.stringMatching(
        /xen43 has no root disk in its place, but others: .*Nothing was touched/,
      ),
    });
    renameSync(image(ending), image(''));
  }
  await site.modern('killVPS', { vpsname, imagetype });
});

describe('SIGTERM to the daemon', () => {
  it('lets a running call finish, takes no new ones, and leaves the job alone', async () => {
    await startReinstall('xen31', 'lvm');
    await site.node.setFault({ match: 'xl list', mode: 'slow', delay_ms: 1_500, times: 1 });
    const slow = site.legacy('listStartedVPS');
    await sleep(500);
    const stopped = site.daemon().stop();
    await sleep(200);
    await expect(site.legacy('testVPSServer')).rejects.toThrow(/ECONNREFUSED|socket|503/);
    expect(await slow).toEqual([]);
    expect(await stopped).toBe(0);
    await site.node.clearFaults();
    expect(jobMain('xen31')).toBeGreaterThan(0);
    await site.restart();
    expect(await site.legacy('getVPSState', { vpsname: 'xen31' })).toBe('mkos');
    site.go();
    expect(await site.jobEnd('xen31')).toMatchObject({ state: 'succeeded' });
  });
});

describe('samples', () => {
  const GUESTS = 40;
  const MINUTES = 200;

  /** Puts samples into the spool of a stopped daemon, by the agent's own sampler: about 6 MB on the wire. */
  async function fillSpool(): Promise<void> {
    const start_ms = Math.floor(Date.now() / 60_000) * 60_000 - (MINUTES + 5) * 60_000;
    let taken = 0;
    const guests = (): GuestReading[] =>
      Array.from({ length: GUESTS }, (_, i) => ({
        vpsname: `xen${500 + i}`,
        domid: i + 1,
        cpu_seconds: taken,
        vif_rx_bytes: taken * 2 ** 33,
        vif_tx_bytes: taken,
        root: { sectors: taken, counted_for: 'guest' },
        swap: { sectors: 0, counted_for: 'guest' },
      }));
    const samples = createSamples({
      hypervisor: { list: async () => [], find: async () => undefined },
      counters: { read: async () => ({ boot_id: 'b', guests: guests() }) },
      config: { state_dir: join(site.folder.path, 'state'), perf_direction: 'dom0', perf_retention: 7 },
      log: pino({ level: 'silent' }),
      now: () => start_ms + taken * 60_000,
    });
    for (taken = 1; taken <= MINUTES; taken += 1) await samples.sampleNow();
  }

  /** Asks for all samples and hangs up before the answer is through: reads its first kilobytes alone. */
  async function cutOff(): Promise<number> {
    const daemon = site.daemon();
    const body = legacyEnvelope('getCollectedPerformanceData', { count: 0 });
    const socket = connect({
      port: daemon.port,
      host: '127.0.0.1',
      servername: 'localhost',
      ca: readCa(daemon),
    });
    const login = Buffer.from(`${daemon.user}:${daemon.password}`).toString('base64');
    socket.write(
      `POST / HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic ${login}\r\nContent-Type: text/xml\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
    );
    return new Promise((resolve, reject) => {
      socket.on('error', reject);
      socket.once('data', (chunk) => {
        socket.pause();
        setTimeout(() => {
          socket.destroy();
          resolve(chunk.length);
        }, 500);
      });
    });
  }

  it('come again where the connection was cut before the answer was through, and then are gone', async () => {
    await site.daemon().stop();
    // What was sampled at a full minute of the tests before.
    const spool = join(site.folder.path, 'state/perfdata');
    for (const name of readdirSync(spool)) if (name !== STORE_MARK) rmSync(join(spool, name));
    await fillSpool();
    await site.restart();
    const files = () => readdirSync(join(site.folder.path, 'state/perfdata')).length;
    const waiting = files();
    expect(waiting).toBeGreaterThanOrEqual(MINUTES);

    expect(await cutOff()).toBeGreaterThan(0);
    await sleep(500);
    expect(files()).toBeGreaterThanOrEqual(waiting);

    const first = (await site.legacy('getCollectedPerformanceData', { count: 3 })) as Record<
      string,
      object
    >[];
    expect(first).toHaveLength(3);
    expect(Object.keys(first[0] ?? {})).toHaveLength(GUESTS);
    expect(first[1]?.['xen500']).toMatchObject({ diff_net_inbytes: 2 ** 33, net_inbytes: 2 ** 34 });

    const rest = (await site.legacy('getCollectedPerformanceData', { count: 0 })) as object[];
    expect(rest.length).toBeGreaterThanOrEqual(MINUTES - 3);
    // A client that comes to close its connection too late on a busy machine gets the same once more.
    const left = () => site.legacy('getCollectedPerformanceData', { count: 0 }) as Promise<object[]>;
    await expect
      .poll(async () => (await left()).filter((minute) => 'xen500' in minute), { timeout: 120_000 })
      .toEqual([]);
  });
});
