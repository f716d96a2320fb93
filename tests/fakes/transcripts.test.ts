import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createFakeNode, type FakeNode } from './fake-node.ts';
import { withState } from './lib/store.mjs';
import {
  call,
  capture,
  inside,
  masked,
  replay,
  system,
  transcripts,
  withoutRoot,
  writeConfigs,
} from './replay.ts';

/** Records that stand unheld, with the reason. */
const NO_SUBCOMMAND = 'the subcommand is not part of the fake, which says so and exits with 2';
const NOT_HELD: Record<string, readonly string[]> = {
  [NO_SUBCOMMAND]: [
    ...['014', '015', '018', '019', '020', '022', '025', '026', '027', '029', '039'],
    ...[
      '047',
      '087',
      '088',
      '089',
      '090',
      '091',
      '092',
      '093',
      '094',
      '095',
      '096',
      '097',
      '098',
      '099',
      '100',
    ],
    ...['101', '102', '104', '105', '106', '108', '128', '129', '132', '133', '134', '135', '137'],
    ...['144', '146', '147', '148', '150', '151', '153', '155', '157', '158', '159', '162', '163', '164'],
    ...['179', '181', '204', '207'],
  ],
  'shows what such a subcommand did': [
    ...['103', '107', '130', '131', '136', '145', '149', '152', '154', '156', '160', '180'],
  ],
  'xl info --numa is not part of the fake': ['031'],
  'snapshots of thick volumes are not part of the fake': ['252', '253', '254'],
  'the fake does not ask whose user runs it': ['036', '037', '038', '219', '220'],
  'scripts of disks, whose words are held in hotplug.test.ts': ['300', '301', '302', '303', '304', '305'],
  'a restore that stays paused, which the driver contract has on both nodes': ['306', '307'],
  "a real kernel's messages; that the call does not end is tested below": ['171', '192'],
};

const held = new Set<string>();
let node: FakeNode;

/** Replays records one after the other and compares each with what was recorded. */
async function hold(...numbers: string[]): Promise<void> {
  for (const number of numbers) {
    const { name, stdout, stderr, exit } = transcripts.get(number) ?? {
      name: number,
      stdout: '',
      stderr: '',
      exit: -1,
    };
    const answer = await replay(node, number);
    expect({ name, stderr: masked(answer.stderr), stdout: masked(answer.stdout), exit: answer.exit }).toEqual(
      {
        name,
        stderr: masked(stderr),
        stdout: masked(stdout),
        exit,
      },
    );
    held.add(number);
  }
}

const nextId = (id: number) =>
  withState(node.root, (state) => {
    state.next_domid = id;
  });
const xl = async (...args: string[]) => {
  const answer = await call(node, ['xl', ...args.map((arg) => inside(node, arg))]);
  expect(answer).toMatchObject({ exit: 0 });
};
const create = async (id: number, name: string, ...overrides: string[]) => {
  await nextId(id);
  await xl('create', '-q', `/etc/xen/${name}`, ...overrides);
};
const lvcreate = async (name: string, size: string) =>
  expect(await call(node, ['lvcreate', '-y', '-W', 'n', '-L', size, '-n', name, 'vg0'])).toMatchObject({
    exit: 0,
  });
const state = async (name: string) => (await node.domains()).find((domain) => domain.name === name)?.state;
const until = (name: string, letters: string | undefined) =>
  expect.poll(() => state(name), { timeout: 90_000, interval: 20 }).toBe(letters);
const BUSY = { boot_ms: 600_000 };
const IDLE = { boot_ms: 0 };

beforeEach(async () => {
  node = await createFakeNode({ timing: { acknowledge_ms: 300, shutdown_ms: 50, teardown_ms: 1500 } });
  writeConfigs(node);
  await lvcreate('xen01', '1G');
  await lvcreate('xen02', '1G');
  await lvcreate('xen01swap', '128M');
}, 300_000);
afterEach(() => node.cleanup());

describe('xl', { timeout: 120_000 }, () => {
  it('without guests', async () => {
    await hold(
      '001',
      '002',
      '003',
      '004',
      '005',
      '006',
      '007',
      '008',
      '009',
      '010',
      '011',
      '012',
      '013',
      '016',
      '017',
    );
    await hold(
      '021',
      '023',
      '024',
      '028',
      '030',
      '032',
      '033',
      '034',
      '035',
      '041',
      '042',
      '043',
      '045',
      '046',
      '048',
      '049',
      '203',
    );
    expect(await node.poweredOff()).toBe(false);
    await hold('044');
    expect(await node.poweredOff()).toBe(true);
  });

  it('refuses bad configurations, uses up an id each time, and runs a guest', async () => {
    await node.setTiming({ ...BUSY, destroy_ms: 10 });
    await hold('050', '051', '052', '053', '054', '055', '056', '057', '059', '058', '060', '061', '062');
    await hold('063', '064', '065', '066', '067', '068', '069', '070', '071');
    await hold('072', '073', '074', '075', '076', '077', '078', '079', '080', '081');
  });

  it('an idle guest, paused and unpaused', async () => {
    await node.setTiming(IDLE);
    await create(1, 'xen01');
    await hold('082', '083', '084', '085', '086', '109', '110', '113', '114', '115', '117');
    await node.setTiming({ acknowledge_ms: 60_000, shutdown_ms: 60_000 });
    await hold('118', '119', '120', '121', '122', '123');
  });

  it('two guests', async () => {
    await node.setTiming(IDLE);
    await nextId(2);
    await hold('124', '125', '126', '127', '138', '139', '140', '143', '165', '166');
    await nextId(5);
    await hold('170');
  });

  it('reboots and shuts down', async () => {
    await node.setTiming({ ...IDLE, teardown_ms: 300 });
    await create(6, 'xen01');
    await create(2, 'xen02');
    await nextId(9);
    await node.setTiming(BUSY);
    await hold('182');
    await until('xen02', '--psr-');
    await until('xen02', 'r-----');
    await hold('183', '184', '185');
    await until('xen01', undefined);
    await create(11, 'xen01', 'on_poweroff="preserve"');
    await hold('186', '187', '188', '190', '191', '193');
    await create(13, 'xen02');
    await hold('194');
    await create(14, 'xen02');
    await hold('195');
    await until('xen02', undefined);
    await create(15, 'xen02');
    await hold('196');
  });

  it('saves and restores', async () => {
    await node.setTiming(IDLE);
    await create(2, 'xen02');
    await create(3, 'xen01');
    await hold('172', '173');
    await nextId(6);
    await hold('174', '175', '176', '177', '178');
    await until('xen01', '-b----');
    expect(await node.domains()).toMatchObject([{ name: 'xen02' }, { name: 'xen01', id: 6 }]);
  });

  it('crashes', async () => {
    await nextId(2);
    await hold('197');
    await node.end('xen02', 'crash');
    await hold('198', '199', '200', '201', '202');
    await create(3, 'xen02');
    await node.end('xen02', 'crash');
    expect(await state('xen02')).toBe('--psc-');
    await until('xen02', undefined);
    await hold('205');
  });

  it('destroys what is being torn down, with the errors of the real one', async () => {
    await create(2, 'xen02');
    await xl('shutdown', '-w', 'xen02');
    expect(await state('xen02')).toBe('--ps--');
    await hold('209');
  });

  it('two creates at once: one wins', async () => {
    await node.setTiming({ name_ms: 1000 });
    await nextId(5);
    const [one, other] = await Promise.all([replay(node, '206'), replay(node, '206')]);
    const loser = one.exit === 0 ? other : one;
    const record = transcripts.get('206');
    const anyId = (text = '') => masked(text).replace(/Domain \d+/g, 'Domain N');
    expect([one.exit, other.exit].sort()).toEqual([0, 3]);
    expect(anyId(loser.stderr)).toBe(anyId(record?.stderr));
    held.add('206');
  });

  it('shows the states of a shutdown, a reboot and a destroy in the recorded order', async () => {
    const recorded = (file: string) => capture(file).match(/[-r][-b][-p][-s][-rc]-(?= +\d)/g) ?? [];
    const order = (letters: (string | undefined)[]) => letters.filter((each, at) => each !== letters[at - 1]);
    const watch = async (end: string | undefined) => {
      const seen: (string | undefined)[] = [];
      do seen.push(await state('xen02'));
      while (seen.at(-1) !== end);
      return order(seen);
    };
    await node.setTiming({ ...BUSY, shutdown_ms: 300, teardown_ms: 300, build_ms: 300, destroy_ms: 300 });
    await create(2, 'xen02');
    await xl('reboot', 'xen02');
    const before = await watch('--p---');
    expect(before).toEqual(['r-----', '--psr-', undefined, '--p---']);
    const listed = before.filter((letters) => letters !== undefined);
    expect([...listed, ...(await watch('r-----')).slice(1)]).toEqual(
      order(recorded('states-during-reboot.txt').filter((letters) => letters !== '------')),
    );
    const going = call(node, ['xl', 'destroy', 'xen02']);
    await until('xen02', '--p---');
    expect(await watch(undefined)).toEqual([
      ...order(recorded('states-during-destroy.txt')).slice(1),
      undefined,
    ]);
    expect(await going).toMatchObject({ exit: 0 });
    await create(3, 'xen02');
    await xl('shutdown', 'xen02');
    expect(await watch(undefined)).toEqual([
      ...order(recorded('states-during-shutdown.txt').filter((letters) => letters !== '------')),
      undefined,
    ]);
  });

  it('says of the other subcommands that it does not know them', async () => {
    const records = (NOT_HELD[NO_SUBCOMMAND] ?? []).map((number) => transcripts.get(number)?.argv ?? []);
    for (const subcommand of new Set(records.map((argv) => argv[1] ?? ''))) {
      const stderr = `fake xl: xl ${subcommand} is not part of the fake\n`;
      expect(await call(node, ['xl', subcommand])).toEqual({ exit: 2, stdout: '', stderr });
    }
  });

  it('keeps a console open until it is ended', async () => {
    await create(1, 'xen01');
    expect(await call(node, ['xl', 'console', 'xen01'], 700)).toMatchObject({ exit: 'timeout', stderr: '' });
  });
});

describe('LVM', { timeout: 120_000 }, () => {
  it('creates, removes, renames, extends, deactivates', async () => {
    await hold('210', '211', '212', '213', '214', '215', '216', '217', '218', '221', '222', '223');
    await lvcreate('extra', '64M');
    await hold('161');
    const path = join(node.dev_dir, 'vg0/t1');
    const mount_point = join(node.root, 'mnt');
    mkdirSync(mount_point);
    await system('mkfs.ext4', '-q', '-F', path);
    await system('mount', '-o', 'loop', path, mount_point);
    try {
      await hold('227');
    } finally {
      await system('umount', mount_point);
    }
    expect(await call(node, ['lvremove', '-y', 'vg0/t1'])).toMatchObject({ exit: 0 });
    await hold('241', '242', '243', '244', '247', '248', '249', '250');
    expect(existsSync(join(node.dev_dir, 'vg0/t9'))).toBe(false);
  });

  it('takes extents from volumes', async () => {
    await lvcreate('t1', '96M');
    await hold('279', '280', '281', '282');
    await system('mkfs.ext4', '-q', '-F', join(node.dev_dir, 'vg0/t1'));
    await hold('283', '284', '285');
    expect(await call(node, ['lvchange', '-an', 'vg0/t1'])).toMatchObject({ exit: 0 });
    await hold('286');
  });

  it('makes thin pools, thin volumes and copies of them', async () => {
    await hold('258', '259', '260', '261', '262', '263');
    await call(node, ['lvremove', '-y', 'vg0/xen01']);
    await hold('258');
    await call(node, ['lvcreate', '-y', '-V', '96M', '--thinpool', 'pool', '-n', 'xen01', 'vg0']);
    await hold('264', '265', '266', '267', '268', '269', '270', '271', '272', '273');
    expect(existsSync(join(node.dev_dir, 'vg0/dtc-xen-base.k'))).toBe(false);
    await hold('274', '275', '276', '277', '278');
    expect(existsSync(join(node.dev_dir, 'vg0/xen01.new'))).toBe(true);
  });

  const reports = capture('lvm-reports.txt').matchAll(/^\$ ((?:lvs|vgs)\b.*)\n([\s\S]*?)\(exit (\d)\)$/gm);
  it.each(
    [...reports].map(([, command = '', stdout = '', exit]) => ({ command, stdout, exit: Number(exit) })),
  )('reports as recorded: $command', async ({ command, stdout, exit }) => {
    await create(2, 'xen02');
    await create(3, 'xen01');
    const answer = withoutRoot(node, await call(node, command.split(' ')));
    expect({ ...answer, stdout: masked(answer.stdout) }).toEqual({
      exit,
      stderr: '',
      stdout: masked(stdout),
    });
  });
});

describe("the kernel's files", () => {
  it('have the lines and names of the captures', async () => {
    await create(2, 'xen02');
    await create(3, 'xen01');
    const shape = (text: string) => text.replace(/ *\d+(?= |$)/gm, (match) => '#'.padStart(match.length));
    await node.traffic('xen01', { vif_rx_bytes: 3616, vif_tx_bytes: 4096 });
    await node.traffic('xen02', { vif_rx_bytes: 6833, vif_tx_bytes: 7255 });
    const net_dev = readFileSync(join(node.proc_dir, 'net/dev'), 'utf8');
    expect(shape(net_dev).split('\n').toSorted()).toEqual(
      shape(capture('proc-net-dev.txt')).split('\n').toSorted(),
    );
    expect(net_dev).toMatch(/^vif3\.0: {4}3616 .* 4096 /m);
    for (const file of capture('sys-xen-backend.txt').matchAll(
      /^\/sys(\/\S+\/(?:statistics\/\w+|mode|devtype|nodename|state)):/gm,
    )) {
      expect(existsSync(join(node.sys_dir, file[1] ?? '')), file[1]).toBe(true);
    }
    for (const [, file = ''] of capture('sys-class-net-vif.txt').matchAll(/^(vif\S+\/statistics\/\w+):/gm)) {
      expect(existsSync(join(node.sys_dir, 'class/net', file)), file).toBe(true);
    }
  });
});

describe('the records', () => {
  afterAll(() => console.info(`${held.size} of ${transcripts.size} records are held against the fakes.`));
  it('are each held, or named with the reason why not', () => {
    const named = Object.values(NOT_HELD).flat();
    expect([...transcripts.keys()].filter((number) => !held.has(number) && !named.includes(number))).toEqual(
      [],
    );
    expect(named.filter((number) => held.has(number) || !transcripts.has(number))).toEqual([]);
    expect(held.size).toBe(transcripts.size - named.length);
  });
});
