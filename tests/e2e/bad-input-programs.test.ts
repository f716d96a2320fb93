// Bad input from below: xl and LVM fail, print nonsense, are killed, are not there. (Those that hang: bad-input-hangs.test.ts.)
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { ErrorCode } from '../../src/core/errors.ts';
import { type Site, startSite } from '../site.ts';
import { good, type Params, type Watched, watch } from './bad-calls.ts';

const STOPPED = 'xen01';
const RUNNING = 'xen02';

let site: Site;
let agent: Watched;
beforeAll(async () => {
  site = await startSite({ node: { interpose: ['openssl', 'losetup'] } });
  agent = watch(site);
  for (const vps of [STOPPED, RUNNING]) {
    await site.modern('setupLVMDisks', good('setupLVMDisks', vps));
    await site.modern('reinstallVPSos', good('reinstallVPSos', vps));
  }
  for (const vps of [STOPPED, RUNNING]) {
    expect(await site.jobEnd(vps)).toMatchObject({ state: 'succeeded' });
  }
  await site.modern('startVPS', { vpsname: RUNNING });
});
afterEach(() => site.node.clearFaults());
afterAll(() => site.stop());

type Call = readonly [operation: string, params: Params];
const call = (operation: string, vps = STOPPED): Call => [operation, good(operation, vps)];

/** What asks xl for the domains before it does anything. */
const ASK_XL: readonly Call[] = [
  call('listStartedVPS'),
  call('getVPSState'),
  call('startVPS'),
  call('shutdownVPS', RUNNING),
  call('destroyVPS', RUNNING),
  call('setupLVMDisks', 'xen03'),
  call('killVPS'),
  call('reinstallVPSos'),
  call('fsckVPSpartition'),
  call('writeXenHVMconf'),
  call('changeBSDkernel'),
  call('getNetworkUsage', RUNNING),
  call('getIOUsage', RUNNING),
  call('getCPUUsage', RUNNING),
];
/** A few of them, where the fault is another one: one that reads, one that starts, one that deletes. */
const SOME_XL = [call('getVPSState'), call('startVPS'), call('killVPS')];
const ASK_LVM: readonly Call[] = ['setupLVMDisks', 'killVPS', 'reinstallVPSos', 'fsckVPSpartition'].map(
  (name) => call(name),
);

describe('xl', () => {
  it('fails: everything that asks it says so', async () => {
    const stderr = 'xencall: error: Could not obtain handle on privileged command interface\n';
    await site.node.setFault({ match: 'xl list', mode: 'fail', stderr });
    await agent.unchanged(async () => {
      for (const [operation, params] of ASK_XL) {
        const message = await agent.refused('program_failed', operation, params);
        expect(message).toMatch(/^xl list failed \(exit code 1\): xl cannot reach Xen/);
      }
    });
  });

  it.each([
    [
      'fails without a word',
      { mode: 'fail', exit: 6 },
      'program_failed',
      /^xl list failed \(exit code 6\): xl says: it said nothing\.$/,
    ],
    [
      'prints nonsense',
      { mode: 'nonsense' },
      'program_output',
      /^xl list answered something that cannot be understood: it has no heading\.$/,
    ],
    ['prints nothing', { mode: 'nonsense', stdout: '' }, 'program_output', /it has no heading\.$/],
    [
      'prints a list that ends early',
      {
        mode: 'nonsense',
        stdout: 'Name                                        ID   Mem VCPUs\tState\tTime(s)\n',
      },
      'program_output',
      /it lists no Domain-0\.$/,
    ],
    ['is killed', { mode: 'killed' }, 'program_failed', /^xl list was ended by SIGKILL\.$/],
  ] as const)('%s: told', async (_what, fault, code, sentence) => {
    await site.node.setFault({ match: 'xl list', ...fault });
    await agent.unchanged(async () => {
      for (const [operation, params] of SOME_XL) {
        expect(await agent.refused(code, operation, params)).toMatch(sentence);
      }
    });
  });

  it('is not there: everything that asks it says so', async () => {
    await site.node.setFault({ match: 'xl', mode: 'missing' });
    const before = (await site.snapshot()).files;
    for (const [operation, params] of [...SOME_XL, call('getFreeSpace')]) {
      expect(await agent.refused('program_missing', operation, params)).toMatch(
        /^xl (list|info) cannot be run: xl is not installed, or not to be executed\.$/,
      );
    }
    expect((await site.snapshot()).files).toEqual(before);
    await agent.healthy();
  });

  it.each([
    [
      'xl create',
      call('startVPS'),
      'libxl: error: libxl_create.c:680:libxl__domain_make: domain creation fail: Cannot allocate memory\n',
      /^xen01: xl create failed \(exit code 1\): Xen has not enough free memory/,
    ],
    [
      'xl shutdown',
      call('shutdownVPS', RUNNING),
      'libxl: error: something is broken\n',
      /^xen02: xl shutdown failed \(exit code 1\): xl says: .*something is broken; Xen has xen02 as domain \d+, state/,
    ],
    ['xl info', call('getFreeSpace'), 'no\n', /^xl info failed \(exit code 1\): xl says: no\.$/],
  ] as const)('%s fails: told, with what is there', async (match, [operation, params], stderr, sentence) => {
    await site.node.setFault({ match, mode: 'fail', stderr });
    await agent.unchanged(async () => {
      expect(await agent.refused('program_failed', operation, params)).toMatch(sentence);
    });
  });

  it('xl info prints nonsense', async () => {
    await site.node.setFault({ match: 'xl info', mode: 'nonsense' });
    await agent.unchanged(() => agent.refused('program_output', 'getFreeSpace', {}));
  });
});

describe('LVM', () => {
  const modes: readonly (readonly [string, object, ErrorCode, RegExp])[] = [
    [
      'fails',
      { mode: 'fail', exit: 5, stderr: '  /dev/sda: open failed: Input/output error\n' },
      'program_failed',
      /^(lvs|vgs) failed \(exit code 5\): \/dev\/sda: open failed: Input\/output error$/,
    ],
    [
      'prints nonsense',
      { mode: 'nonsense' },
      'program_output',
      /^(lvs|vgs) answered something that is not a report of LVM\.$/,
    ],
    [
      'prints rows without sizes',
      {
        mode: 'nonsense',
        stdout: '{"report": [ {"vg": [ {"vg_name":"vg0"} ], "lv": [ {"lv_name":"xen01"} ]} ]}',
      },
      'program_output',
      /^LVM's report has no number of bytes/,
    ],
  ];
  describe.each(['lvs', 'vgs'])('%s', (program) => {
    it.each(modes)('%s', async (_what, fault, code, sentence) => {
      await site.node.setFault({ match: program, mode: 'fail', ...fault });
      await agent.unchanged(async () => {
        const calls = code === 'program_failed' ? ASK_LVM : ASK_LVM.slice(0, 1);
        for (const [operation, params] of calls)
          expect(await agent.refused(code, operation, params)).toMatch(sentence);
      });
    });

    it('is not there', async () => {
      await site.node.setFault({ match: program, mode: 'missing' });
      await agent.unchanged(async () => {
        const missing = new RegExp(`${program} cannot be run: ${program} is not installed`);
        const [setup, check] = ['setupLVMDisks', 'fsckVPSpartition'];
        expect(await agent.refused('program_missing', setup, good(setup, 'xen03'))).toMatch(missing);
        expect(await agent.refused('disks_missing', check, good(check))).toMatch(missing);
      });
    });
  });

  it.each(['xen03', 'xen03swap'])('lvcreate fails for %s: no half of the disks stays', async (volume) => {
    await site.node.setFault({
      match: `lvcreate ${volume}`,
      mode: 'fail',
      exit: 5,
      stderr: '  Device is gone\n',
    });
    await agent.unchanged(async () => {
      const message = await agent.refused('program_failed', 'setupLVMDisks', good('setupLVMDisks', 'xen03'));
      expect(message).toBe(`${volume}: lvcreate failed (exit code 5): Device is gone`);
    });
  });

  it.each(['xen03', 'xen03swap'])(
    'lvcreate makes %s and fails all the same: it is taken back',
    async (volume) => {
      await site.node.setFault({
        match: `lvcreate ${volume}`,
        mode: 'late',
        exit: 5,
        stderr: '  Late trouble\n',
      });
      await agent.unchanged(() =>
        agent.refused('program_failed', 'setupLVMDisks', good('setupLVMDisks', 'xen03')),
      );
    },
  );

  it('lvremove fails: the VPS stays whole', async () => {
    await site.node.setFault({ match: 'lvremove', mode: 'fail', exit: 5, stderr: '  Cannot lock\n' });
    await agent.unchanged(async () => {
      const message = await agent.refused('program_failed', 'killVPS', good('killVPS'));
      expect(message).toBe(
        "xen01swap: lvremove failed (exit code 5): Cannot lock. Its owner's passwords and keys are gone already: if xen01 stays, set them again.",
      );
    });
  });
});

describe('another program', () => {
  it.each([
    ['missing', 'program_missing', /^openssl passwd cannot be run: openssl is not installed/],
    ['fail', 'program_failed', /^openssl passwd failed \(exit code 1\)/],
    ['nonsense', 'program_output', /^openssl passwd answered something that is not/],
  ] as const)('openssl, %s: no installation begins', async (mode, code, sentence) => {
    await site.node.setFault({ match: 'openssl', mode });
    await agent.unchanged(async () => {
      expect(await agent.refused(code, 'reinstallVPSos', good('reinstallVPSos'))).toMatch(sentence);
    });
  });

  it('losetup fails: nobody takes image files for unused', async () => {
    const vbd = { ...good('setupLVMDisks', 'xen04'), imagetype: 'vbd' };
    await site.modern('setupLVMDisks', vbd);
    await site.node.setFault({ match: 'losetup', mode: 'fail', stderr: 'losetup: no\n' });
    await agent.unchanged(async () => {
      for (const operation of ['fsckVPSpartition', 'reinstallVPSos', 'killVPS']) {
        const params =
          operation === 'killVPS' ? { vpsname: 'xen04', imagetype: 'vbd' } : good(operation, 'xen04');
        expect(await agent.refused('program_failed', operation, params)).toMatch(
          /^losetup --list failed \(exit code 1\)/,
        );
      }
    });
  });
});
