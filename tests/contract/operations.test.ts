// The wire contract: every operation, in both dialects, against the running daemon.
import { existsSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AgentFault } from '../../src/client/agent-client.ts';
import { createRegistry } from '../../src/core/registry.ts';
import { operations } from '../../src/operations/index.ts';
import { type Site, startSite } from '../site.ts';

const KEY = readFileSync(new URL('../core/fixtures/ssh-keys/ed25519.pub', import.meta.url), 'utf8').trim();

let site: Site;
beforeAll(async () => {
  const kernel = join(mkdtempSync(join(tmpdir(), 'dtc-xen-kernel-')), 'netbsd');
  writeFileSync(kernel, 'the fake Xen looks only whether it is there\n');
  site = await startSite({ config: { bsd_kernel_path: kernel } });
});
afterAll(() => site.stop());

type Params = Record<string, string | number>;

/** How an operation is called and what it answers; `vps` is a VPS of its own for each dialect, such as xen31. */
interface Case {
  readonly prepare?: (vps: string) => Promise<unknown>;
  readonly params: (vps: string) => Params;
  readonly legacy: (vps: string) => unknown;
  readonly modern: (vps: string) => unknown;
  readonly afterwards?: (vps: string) => Promise<void>;
}

const disks = (vps: string) => ({ vpsname: vps, hddsize: 64, swapsize: 16, imagetype: 'lvm' });
const setup = (vps: string) => site.modern('setupLVMDisks', disks(vps));
const REINSTALL = {
  ostype: 'tiny',
  ramsize: 128,
  password: `'"\`$(id)`,
  nics: '192.0.2.10,,',
  gateway: '',
  dns: '',
};
const install = async (vps: string) => {
  await setup(vps);
  await site.modern('reinstallVPSos', { vpsname: vps, ...REINSTALL });
  expect(await site.jobEnd(vps)).toMatchObject({ kind: 'reinstall', state: 'succeeded' });
};
/** A VPS that can be started, in a moment: with a kernel of its own, and nothing on its disks. */
const configure = async (vps: string) => {
  await setup(vps);
  await site.modern('changeBSDkernel', {
    vpsname: vps,
    ramsize: 128,
    kerneltype: 'normal',
    allipaddrs: '192.0.2.10',
  });
};
const start = async (vps: string) => {
  await configure(vps);
  await site.modern('startVPS', { vpsname: vps });
};
const running = async (vps: string) => (await site.node.domains()).some((domain) => domain.name === vps);
const volumes = (vps: string) =>
  [vps, `${vps}swap`].map((name) => existsSync(join(site.node.dev_dir, 'vg0', name)));
const config = (vps: string) => join(site.folder.path, 'xen', vps);
const state = (extra: object) => expect.objectContaining({ ...extra });
const onlyVps = (vps: string): Params => ({ vpsname: vps });
const nothing = (): Params => ({});
const home = (vps: string) => join(site.folder.path, 'state/ttyssh_home', vps);
const putIso = async (vps: string) => {
  mkdirSync(home(vps), { recursive: true });
  for (const name of ['b.iso', 'a.iso', 'notes.txt']) writeFileSync(join(home(vps), name), '');
};

const consoleLog = (vps: string) => join(site.folder.path, 'console', `guest-${vps}.log`);
const writeConsole = (vps: string) => {
  mkdirSync(join(site.folder.path, 'console'), { recursive: true });
  writeFileSync(consoleLog(vps), `\x1b[2J\r\n\x1b[32mBooting\x1b[0m\r\r\n\xff${vps} login:`, 'latin1');
};

const CASES: Record<string, Case> = {
  testVPSServer: { params: nothing, legacy: () => 'OK', modern: () => ({ result: ['OK'] }) },
  startVPS: {
    prepare: configure,
    params: onlyVps,
    legacy: (vps) => ['OK', `Started ${vps}`],
    modern: (vps) => ({ result: `Started ${vps}` }),
    afterwards: async (vps) => expect(await running(vps)).toBe(true),
  },
  shutdownVPS: {
    prepare: start,
    params: onlyVps,
    legacy: (vps) => ['OK', `Shut down ${vps}`],
    modern: (vps) => ({ result: `Shut down ${vps}`, state: 'stopped' }),
    afterwards: async (vps) => expect(await running(vps)).toBe(false),
  },
  destroyVPS: {
    prepare: start,
    params: onlyVps,
    legacy: (vps) => ['OK', `Destroyed ${vps}`],
    modern: (vps) => ({ result: `Destroyed ${vps}` }),
    afterwards: async (vps) => {
      expect(await running(vps)).toBe(false);
      expect(volumes(vps)).toEqual([true, true]);
    },
  },
  listStartedVPS: {
    prepare: start,
    params: nothing,
    legacy: (vps) =>
      expect.arrayContaining([
        [
          vps,
          expect.stringMatching(/^\d+$/),
          '128',
          '1',
          expect.stringMatching(/^.{6}$/),
          expect.stringMatching(/^\d+\.\d$/),
        ],
      ]),
    modern: (vps) => ({
      vps: expect.arrayContaining([state({ name: vps, mem: 128, vcpus: 1, time: expect.any(Number) })]),
    }),
  },
  getVPSState: {
    prepare: async (vps) => {
      await install(vps);
      await site.modern('startVPS', { vpsname: vps });
    },
    params: onlyVps,
    legacy: (vps) => [
      'domain',
      ['id', vps],
      ['domid', expect.any(Number)],
      ['maxmem', 128],
      ['vcpus', 1],
      ['state', expect.stringMatching(/^.{6}$/)],
      ['cpuseconds', expect.any(Number)],
    ],
    modern: (vps) =>
      state({
        state: 'running',
        domain: state({ id: vps, maxmem: 128 }),
        last_job: state({ kind: 'reinstall', state: 'succeeded' }),
      }),
  },
  setupLVMDisks: {
    params: disks,
    legacy: () => 'OK',
    modern: (vps) => ({ result: `Made the disks of ${vps}` }),
    afterwards: async (vps) => expect(volumes(vps)).toEqual([true, true]),
  },
  killVPS: {
    prepare: async (vps) => {
      await configure(vps);
      await configure(`${vps}9`);
      for (const name of [vps, `${vps}9`]) writeConsole(name);
    },
    params: onlyVps,
    legacy: () => 'OK',
    modern: (vps) => ({ result: `Deleted ${vps} with its lvm disks` }),
    afterwards: async (vps) => {
      expect([...volumes(vps), existsSync(config(vps))]).toEqual([false, false, false]);
      expect([...volumes(`${vps}9`), existsSync(config(`${vps}9`))]).toEqual([true, true, true]);
      expect([vps, `${vps}9`].map((name) => existsSync(consoleLog(name)))).toEqual([false, true]);
    },
  },
  reinstallVPSos: {
    prepare: setup,
    params: (vps) => ({ vpsname: vps, ...REINSTALL }),
    legacy: () => 'OK, started mkos.',
    modern: () => ({ result: 'OK, started mkos.', job: expect.stringMatching(/^\d{8}T/) }),
    afterwards: async (vps) => {
      expect(await site.jobEnd(vps)).toMatchObject({ kind: 'reinstall', state: 'succeeded' });
      expect(readFileSync(config(vps), 'utf8')).toMatch(/^memory = 128$/m);
      expect(site.mounts()).toEqual([]);
    },
  },
  rollbackVPSos: {
    prepare: async (vps) => {
      await install(vps);
      await site.modern('reinstallVPSos', { vpsname: vps, ...REINSTALL, ramsize: 256 });
      expect(await site.jobEnd(vps)).toMatchObject({ state: 'succeeded' });
    },
    params: onlyVps,
    legacy: () => 'OK',
    modern: (vps) => ({ result: expect.stringContaining(`${vps} has the system again that it had before`) }),
    afterwards: async (vps) => {
      expect(readFileSync(config(vps), 'utf8')).toMatch(/^memory = 128$/m);
      expect(existsSync(join(site.node.dev_dir, 'vg0', `${vps}.old`))).toBe(true);
    },
  },
  getVPSJob: {
    prepare: install,
    params: onlyVps,
    legacy: (vps) =>
      state({
        kind: 'reinstall',
        state: 'succeeded',
        step: 'done',
        percent: 100,
        message: `tiny is installed on ${vps}; startVPS boots it.`,
      }),
    modern: () =>
      state({
        ...{ kind: 'reinstall', state: 'succeeded', step: 'done', percent: 100 },
        started: expect.stringMatching(/^\d{4}-/),
        ended: expect.stringMatching(/^\d{4}-/),
      }),
  },
  cancelVPSJob: {
    prepare: async (vps) => {
      await setup(vps);
      await site.modern('reinstallVPSos', { vpsname: vps, ...REINSTALL, ostype: 'slow' });
      await site.jobStep(vps, 'bootstrap');
    },
    params: onlyVps,
    legacy: () => 'OK',
    modern: (vps) => ({
      result: expect.stringMatching(`^The reinstall of ${vps} was cancelled in step bootstrap\\. .*`),
    }),
    afterwards: async (vps) => {
      expect(await site.jobEnd(vps)).toMatchObject({ state: 'failed' });
      expect(site.mounts()).toEqual([]);
    },
  },
  getVPSInstallLog: {
    prepare: install,
    params: (vps) => ({ vpsname: vps, numlines: 0 }),
    legacy: () => expect.stringMatching(/installing tiny\n[\s\S]*is installed on/),
    modern: () => ({ log: expect.stringMatching(/installing tiny/) }),
  },
  getVPSConsoleLog: {
    prepare: async (vps) => writeConsole(vps),
    params: (vps) => ({ vpsname: vps, numlines: 2 }),
    legacy: (vps) => `Booting\n${vps} login:`,
    modern: (vps) => ({ log: `Booting\n${vps} login:` }),
  },
  fsckVPSpartition: {
    prepare: install,
    params: onlyVps,
    legacy: () => 'OK',
    modern: (vps) => ({ result: `Started the check of ${vps}`, job: expect.any(String) }),
    afterwards: async (vps) => {
      expect(await site.jobEnd(vps)).toEqual(
        state({ kind: 'fsck', state: 'succeeded', message: `The root file system of ${vps} is clean.` }),
      );
    },
  },
  changeVPSxmPassword: {
    params: (vps) => ({ vpsname: vps, password: `a:b'"$(id)` }),
    legacy: () => 'OK',
    modern: (vps) => ({ result: `Changed the console password of ${vps}` }),
    afterwards: async (vps) =>
      expect(readFileSync(join(site.folder.path, 'chpasswd'), 'utf8')).toContain(`${vps}:a:b'"$(id)\n`),
  },
  changeVPSsoapPassword: {
    params: (vps) => ({ vpsname: vps, password: 'fresh pass' }),
    legacy: () => 'OK',
    modern: (vps) => ({ result: `Changed the SOAP password of ${vps}` }),
    afterwards: async (vps) => {
      expect(await site.legacy('getVPSState', { vpsname: vps }, site.endpoint(vps, 'fresh pass'))).toBe(
        'Not running',
      );
    },
  },
  changeVPSrootPassword: {
    prepare: install,
    params: (vps) => ({ vpsname: vps, password: `a:b'"$(id)` }),
    legacy: () => 'OK',
    modern: (vps) => ({ result: `Changed the root password of ${vps}` }),
    afterwards: async (vps) => {
      await site.modern('fsckVPSpartition', { vpsname: vps });
      expect(await site.jobEnd(vps)).toMatchObject({ kind: 'fsck', state: 'succeeded' });
      expect(site.mounts()).toEqual([]);
    },
  },
  changeVPSsshKey: {
    params: (vps) => ({ vpsname: vps, keystring: KEY }),
    legacy: () => 'OK',
    modern: (vps) => ({ result: `Changed the ssh key of ${vps}` }),
    afterwards: async (vps) =>
      expect(readFileSync(join(home(vps), '.ssh/authorized_keys'), 'utf8').split(' ')[1]).toBe(
        KEY.split(' ')[1],
      ),
  },
  reportInstalledIso: {
    prepare: putIso,
    params: onlyVps,
    legacy: () => ['a.iso', 'b.iso'],
    modern: () => ({ iso: ['a.iso', 'b.iso'] }),
  },
  writeXenHVMconf: {
    prepare: async (vps) => {
      await setup(vps);
      await putIso(vps);
    },
    params: (vps) => ({
      vpsname: vps,
      ramsize: 256,
      allipaddrs: '192.0.2.3 192.0.2.4',
      vncpassword: 's3cret',
      howtoboot: 'a.iso',
    }),
    legacy: () => 'OK',
    modern: (vps) => ({
      result: expect.stringMatching(
        new RegExp(
          `^Wrote the configuration of ${vps}\\. In its drives: a\\.iso, b\\.iso\\. Its screen is at port `,
        ),
      ),
      vnc_address: '127.0.0.1',
      vnc_port: 5900 + Number(vps.slice('xen'.length)),
    }),
    afterwards: async (vps) => expect(readFileSync(config(vps), 'utf8')).toContain('vncpasswd = "s3cret"'),
  },
  changeBSDkernel: {
    prepare: setup,
    params: (vps) => ({ vpsname: vps, ramsize: 256, kerneltype: 'install', allipaddrs: '192.0.2.3' }),
    legacy: () => 'OK',
    modern: (vps) => ({ result: `Wrote the configuration of ${vps}` }),
    afterwards: async (vps) => expect(readFileSync(config(vps), 'utf8')).toContain('netbsd-INSTALL'),
  },
  getInstallableOS: {
    params: nothing,
    legacy: () => ['slow', 'tiny'],
    modern: () => ({ os: ['slow', 'tiny'] }),
  },
  getInstallableAPP: { params: nothing, legacy: () => ['openvpn'], modern: () => ({ app: ['openvpn'] }) },
  getCollectedPerformanceData: {
    params: () => ({ count: 0 }),
    legacy: () => expect.any(Array),
    modern: () => expect.any(Object),
  },
  getNetworkUsage: {
    prepare: async (vps) => {
      await start(vps);
      await site.node.traffic(vps, { vif_rx_bytes: 5_000_000_001, vif_tx_bytes: 70 });
    },
    params: onlyVps,
    legacy: () => '5000000001,70',
    modern: () => ({ net_inbytes: 5_000_000_001, net_outbytes: 70 }),
  },
  getIOUsage: {
    prepare: async (vps) => {
      await start(vps);
      await site.node.traffic(vps, { root_read_sectors: 8, root_written_sectors: 16, swap_read_sectors: 3 });
    },
    params: onlyVps,
    legacy: () => '24,3',
    modern: () => ({ filesystem_sectors: 24, swap_sectors: 3 }),
  },
  getCPUUsage: {
    prepare: start,
    params: onlyVps,
    legacy: () => expect.any(Number),
    modern: () => ({ cpu_time: expect.any(Number) }),
  },
  getFreeSpace: {
    params: nothing,
    legacy: () => [
      [0, expect.stringMatching(/^\d+$/)],
      [0, expect.stringMatching(/^\d+$/)],
    ],
    modern: () => ({ disk_mb: expect.any(Number), memory_mb: expect.any(Number), waiting_mb: 0 }),
  },
};

/** XML has no types: what a client of the WSDL gets is numbers where the schema says so, and lists where it has several. */
const asList = (answer: Record<string, unknown>, name: string) => {
  const list = operations.find((operation) => operation.name === name)?.output.shape;
  for (const [key, field] of Object.entries(list ?? {})) {
    if ((field as { def: { type: string } }).def.type === 'array')
      answer[key] = answer[key] === undefined ? [] : [answer[key]].flat();
  }
  return answer;
};

describe('every operation', () => {
  it('has a case here', () => {
    expect(Object.keys(CASES).sort()).toEqual([...createRegistry(operations).keys()].sort());
  });

  for (const [i, [name, example]] of Object.entries(CASES).entries()) {
    it(`${name} answers a panel`, async () => {
      const vps = `xen${200 + i}`;
      await example.prepare?.(vps);
      expect(await site.legacy(name, example.params(vps))).toEqual(example.legacy(vps));
      await example.afterwards?.(vps);
    });

    it(`${name} answers a client of the WSDL`, async () => {
      const vps = `xen${400 + i}`;
      await example.prepare?.(vps);
      expect(asList(await site.modern(name, example.params(vps)), name)).toEqual(example.modern(vps));
      await example.afterwards?.(vps);
    });
  }
});

describe('who may call', () => {
  const AS = 'xen11';
  beforeAll(() => site.modern('changeVPSsoapPassword', { vpsname: AS, password: 'own' }));

  const refused = async (name: string, params: Params) => {
    const at = site.endpoint(AS, 'own');
    expect(await site.legacy(name, params, at)).toBe('NOTOK');
    await expect(site.modern(name, params, at)).rejects.toMatchObject({ code: 'not_allowed' });
  };

  for (const operation of operations) {
    const { name, who } = operation;
    const params = (vps: string) => CASES[name]?.params(vps) ?? {};
    if (who === 'user') continue;
    it(`${name}: ${who === 'admin' ? "the admin alone, never a VPS's user" : "the VPS's own user, on that VPS alone"}`, async () => {
      const before = await site.snapshot();
      for (const other of ['xen12', '12', '011', 'xen011']) await refused(name, params(other));
      if (who === 'admin') for (const own of [AS, '11']) await refused(name, params(own));
      expect(await site.snapshot()).toEqual(before);
      if (who === 'owner') {
        // What an owner asks for is what the VPS has.
        const { ramsize, allipaddrs, nics } = params(AS);
        const address = String(allipaddrs ?? nics).split(',')[0];
        if (ramsize !== undefined)
          writeFileSync(config(AS), `memory = ${ramsize}\nvif = [ "ip=${address}" ]\n`);
        for (const own of [AS, '11']) {
          const told = await site
            .legacy(name, params(own), site.endpoint(AS, 'own'))
            .catch((error: unknown) => error);
          expect(told).not.toBe('NOTOK');
          if (name === 'changeVPSsoapPassword') await site.modern(name, { vpsname: AS, password: 'own' });
        }
      }
    });
  }

  it('a fault names the code, and the legacy dialect the reason', async () => {
    await expect(site.modern('startVPS', { vpsname: '77' })).rejects.toThrow(AgentFault);
    await expect(site.modern('startVPS', { vpsname: '77' })).rejects.toMatchObject({
      code: 'vps_not_installed',
    });
    expect(await site.legacy('startVPS', { vpsname: '77' })).toMatch(
      /^NOTOK - xen77 cannot be started: it has no configuration/,
    );
  });
});
