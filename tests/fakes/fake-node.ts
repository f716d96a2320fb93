import {
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { answersSocket } from './answers.ts';
import { DONE_XENDOMAINS, hostOf, killProcesses, writeBootId } from './fake-host.ts';
import { EXTENT, type GroupTrouble, lvmUuid, troubleGroup } from './lib/lvm-volumes.mjs';
import { type FakeDomain, replaceFile, type World, withLock, withState } from './lib/store.mjs';
import { cpuSeconds, shutOff, stateLetters, TIMING, type Timing } from './lib/world.mjs';
import { makeSign } from './lib/xl-process.mjs';

const LIB = resolve(import.meta.dirname, 'lib');
const PROGRAMS = [
  'xl',
  'lvs',
  'lvmconfig',
  'vgs',
  'lvcreate',
  'lvremove',
  'lvrename',
  'lvextend',
  'lvreduce',
  'lvchange',
  'blkdiscard',
  'systemctl',
  'xenstore-exists',
  'xenstore-read',
  'xenstore-write',
] as const;
const SYSTEM_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** What a {@link FakeNode} is made of; sizes in MiB. */
export interface FakeNodeOptions {
  /** Folder to use or to take up again; without it a new one in the temporary folder. */
  readonly root?: string;
  /** Name of the volume group; '' for none. */
  readonly volume_group?: string;
  readonly size_mib?: number;
  readonly memory_mib?: number;
  readonly bridges?: readonly string[];
  readonly timing?: Partial<Timing>;
  /** Real programs that faults may be ordered for too, such as `mkfs.ext4`. */
  readonly interpose?: readonly string[];
}

/** What an admin has set of LVM, and how many files its archive has that it would like to see fewer of. */
export interface LvmConf {
  /** devices/global_filter, as lvmconfig prints it. */
  readonly filter?: string;
  readonly scan_lvs?: 0 | 1;
  /** Further settings by their names, such as log/prefix. */
  readonly settings?: Readonly<Record<string, string>>;
  readonly archives?: number;
}

/**
 * A fault for the calls that `match`: the program, then words of its arguments in this order (`xl shutdown xen01`).
 *
 * fail: does nothing, says `stderr`, ends with `exit` (1). late: does its work, then the same. hang: never ends.
 * nonsense: prints `stdout` or garbage, exit 0. slow: waits `delay_ms` first. killed: ends by SIGKILL.
 * missing: the program cannot be found. torn: lvrename alone, killed between LVM's metadata and the device mapper.
 */
export interface Fault {
  readonly match: string;
  readonly mode: 'fail' | 'late' | 'hang' | 'nonsense' | 'slow' | 'killed' | 'missing' | 'torn';
  readonly exit?: number;
  readonly stdout?: string;
  readonly stderr?: string;
  readonly delay_ms?: number;
  /** How often; without it always. */
  readonly times?: number;
}

/** Counts to add to a guest's; bytes from dom0's side, sectors of 512 bytes. */
export interface Traffic {
  readonly vif_rx_bytes?: number;
  readonly vif_tx_bytes?: number;
  readonly root_read_sectors?: number;
  readonly root_written_sectors?: number;
  readonly swap_read_sectors?: number;
  readonly swap_written_sectors?: number;
  readonly cpu_seconds?: number;
}

/** A domain as it is now. */
export interface DomainView {
  readonly name: string;
  readonly id: number;
  /** Xen's six letters. */
  readonly state: string;
  readonly cpu_seconds: number;
}

/** A word of Perl's. */
const quoted = (text: string) => `'${text.replaceAll(/['\\]/g, (c) => `\\${c}`)}'`;

function writeFake(root: string, path: string, fake: readonly string[], real?: string): void {
  const run = [process.execPath, join(LIB, 'run.mjs')];
  const lines = [
    '#!/usr/bin/perl',
    `our ($root, $server) = (${[root, answersSocket()].map(quoted).join(', ')});`,
    `our @run = (${run.map(quoted).join(', ')});`,
    `our @fake = (${fake.map(quoted).join(', ')});`,
    `our $real = ${real === undefined ? 'undef' : quoted(real)};`,
    `require ${quoted(join(LIB, 'ask.pl'))};`,
  ];
  writeFileSync(path, `${lines.join('\n')}\n`);
  chmodSync(path, 0o755);
}

const systemProgram = (program: string) =>
  SYSTEM_PATH.split(delimiter)
    .map((folder) => join(folder, program))
    .find((path) => existsSync(path));

function installPrograms(root: string, interpose: readonly string[]): void {
  const bin = join(root, 'bin');
  mkdirSync(bin, { recursive: true });
  for (const program of PROGRAMS) writeFake(root, join(bin, program), [program]);
  const scripts = join(root, 'scripts');
  mkdirSync(scripts, { recursive: true });
  writeFake(root, join(scripts, 'block'), ['block']);
  for (const program of interpose) {
    const real = systemProgram(program);
    if (!real) throw new Error(`${program} is not installed: no faults can be put before it.`);
    writeFake(root, join(bin, program), ['--only-faults', program], real);
  }
}

function layOut(root: string, options: FakeNodeOptions): void {
  const { volume_group = 'vg0', size_mib = 16_384, memory_mib = 4096, bridges = ['xenbr0'] } = options;
  for (const folder of ['state', 'dev', 'proc', 'sys', 'boot', 'log/xen', 'save'])
    mkdirSync(join(root, folder), { recursive: true });
  const world = {
    host: {
      name: 'xenlab',
      started_ms: Date.now(),
      memory_mib,
      dom0_mib: memory_mib / 2,
      dom0_vcpus: 2,
      dom0_cpu_s: 100,
      overhead_mib: 43,
      bridges,
    },
    timing: { ...TIMING, ...options.timing },
    next_domid: 1,
    domains: [],
    guests: {},
    ended: {},
    xls: {},
    xendomains: DONE_XENDOMAINS,
    vgs: volume_group
      ? { [volume_group]: { uuid: lvmUuid(), extents: (size_mib * 1024 * 1024) / EXTENT - 1, lvs: [] } }
      : {},
  };
  for (const file of ['vmlinuz', 'initrd.img']) writeFileSync(join(root, 'boot', file), `fake ${file}\n`);
  symlinkSync('/proc/self', join(root, 'proc/self'));
  symlinkSync('self/mounts', join(root, 'proc/mounts'));
  writeBootId(root);
  replaceFile(join(root, 'state/world.json'), JSON.stringify(world, null, 1));
}

/**
 * Makes a node without Xen: a folder with programs (`bin`), device nodes, and what dom0's kernel would show of the guests.
 * The programs find their world through their own place, so that no environment has to reach them.
 */
export async function createFakeNode(options: FakeNodeOptions = {}) {
  const folder = options.root ?? mkdtempSync(join(tmpdir(), 'fake-xen-'));
  mkdirSync(folder, { recursive: true });
  const root = realpathSync(folder);
  if (!existsSync(join(root, 'state/world.json'))) layOut(root, options);
  installPrograms(root, options.interpose ?? []);
  // What xl leaves for a guest ends with this process, too, where it never comes to take the node away.
  let owner: number | undefined = makeSign(join(root, 'state/owner'));
  await withState(root, () => undefined);
  const bin = join(root, 'bin');
  const faults: Fault[] = [];

  const hide = (program: string, hidden: boolean) => {
    const [here, there] = [join(bin, program), join(root, 'state', `missing-${program}`)];
    if (hidden) {
      renameSync(here, there);
      // The search for a program ends at a link to itself; the machine's real one must never be run in its place.
      if (systemProgram(program)) symlinkSync(program, here);
    } else {
      rmSync(here, { force: true });
      renameSync(there, here);
    }
  };
  const writeFaults = () =>
    withLock(root, () =>
      replaceFile(
        join(root, 'state/faults.json'),
        JSON.stringify(faults.filter(({ mode }) => mode !== 'missing')),
      ),
    );
  const change = (vps: string, work: (domain: FakeDomain) => void) =>
    withState(root, (state) => {
      const domain = state.domains.find(({ name }) => name === vps);
      if (!domain) throw new Error(`The fake node has no domain ${vps}.`);
      work(domain);
    });

  const program_path = `${bin}:${SYSTEM_PATH}`;
  const xlProcess = (vps: string) =>
    withState(root, (state) => {
      const domain = state.domains.find(({ name }) => name === vps);
      const log = `xl-${vps}.log`;
      return domain?.xl ?? Object.values(state.xls).find((xl) => xl.log === log)?.pid;
    });

  return {
    ...hostOf(root, program_path),
    root,
    /** Folder of the fake programs. */
    bin,
    /** For the configuration key `program_path`: the fakes, then the machine's own programs. */
    program_path,
    dev_dir: join(root, 'dev'),
    proc_dir: join(root, 'proc'),
    sys_dir: join(root, 'sys'),
    /** Where xl writes what becomes of guests. */
    xen_log_dir: join(root, 'log/xen'),
    /** Where xendomains saves guests. */
    xen_save_dir: join(root, 'save'),
    /** Stands for /etc/xen/scripts: Xen's own `block` is there, for scripts that end with it. */
    xen_scripts_dir: join(root, 'scripts'),
    /** Files that stand for a guest's kernel and initial RAM disk. */
    kernel: join(root, 'boot/vmlinuz'),
    initrd: join(root, 'boot/initrd.img'),

    /** Orders a fault, until {@link clearFaults}. With several that match, the oldest one counts. */
    async setFault(fault: Fault): Promise<void> {
      faults.push(fault);
      if (fault.mode === 'missing') hide(fault.match, true);
      else await writeFaults();
    },
    async clearFaults(): Promise<void> {
      for (const { mode, match } of faults.splice(0)) if (mode === 'missing') hide(match, false);
      await writeFaults();
    },
    /** Every call of a fake so far, as argument arrays that begin with the program. */
    calls(): string[][] {
      const path = join(root, 'state/calls.log');
      if (!existsSync(path)) return [];
      return readFileSync(path, 'utf8')
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line) as string[]);
    },
    setTiming(timing: Partial<Timing>): Promise<void> {
      return withState(root, (state) => {
        Object.assign(state.timing, timing);
      });
    },
    /** How guests of that name behave from now on: whether they hear `xl shutdown`, and whether they then power off. */
    setGuest(vps: string, behaviour: { acknowledges?: boolean; powers_off?: boolean }): Promise<void> {
      return withState(root, (state) => {
        state.guests[vps] = behaviour;
      });
    },
    /** Adds to the counters of a guest's first interface, its disks xvda and xvdb, and its CPU. */
    traffic(vps: string, add: Traffic): Promise<void> {
      return change(vps, (domain) => {
        const [nic] = domain.nics;
        if (nic) {
          nic.rx_bytes += add.vif_rx_bytes ?? 0;
          nic.rx_packets += Math.ceil((add.vif_rx_bytes ?? 0) / 1500);
          nic.tx_bytes += add.vif_tx_bytes ?? 0;
          nic.tx_packets += Math.ceil((add.vif_tx_bytes ?? 0) / 1500);
        }
        const [root_disk, swap_disk] = domain.disks;
        for (const [disk, read, written] of [
          [root_disk, add.root_read_sectors ?? 0, add.root_written_sectors ?? 0],
          [swap_disk, add.swap_read_sectors ?? 0, add.swap_written_sectors ?? 0],
        ] as const) {
          if (!disk) continue;
          disk.rd_sect += read;
          disk.rd_req += Math.ceil(read / 64);
          disk.wr_sect += written;
          disk.wr_req += Math.ceil(written / 64);
        }
        domain.cpu_s += add.cpu_seconds ?? 0;
      });
    },
    /** The guest ends by itself: halted or rebooted from inside, or crashed. */
    end(vps: string, how: 'poweroff' | 'reboot' | 'crash'): Promise<void> {
      return withState(root, (state, now) => {
        const domain = state.domains.find(({ name }) => name === vps);
        if (!domain) throw new Error(`The fake node has no domain ${vps}.`);
        shutOff(state, domain, how, now);
      });
    },
    /** The next time that the guest reboots, it is lost: xl's process gives up on its disks, and ends. */
    loseNextReboot(vps: string): Promise<void> {
      return withState(root, (state) => {
        state.lost_reboots = [...(state.lost_reboots ?? []), vps];
      });
    },
    /** The process that xl has left for a guest, between a rebooting guest's two domains, too. */
    xlProcess,
    /** Kills that process, as the stop of a service does that it belongs to. */
    async killXl(vps: string): Promise<void> {
      const pid = await xlProcess(vps);
      const xl = await withState(root, (state) => state.xls[pid ?? 0]);
      if (!xl) throw new Error(`xl has no process for ${vps}.`);
      process.kill(xl.real_pid, 'SIGKILL');
      // A process has let go of all it held when its last thread has ended: after it has become a zombie.
      while (await withState(root, (state) => xl.pid in state.xls)) await sleep(5);
    },
    /** Takes disks away from a volume group, or the group as a whole, or gives all of them back. */
    setVolumeGroup(vg_name: string, trouble: GroupTrouble): Promise<void> {
      return withState(root, (state) => troubleGroup(root, state, vg_name, trouble));
    },
    /** Changes what the node's own lvm.conf says, and what LVM has kept. */
    setLvmConf({ filter, scan_lvs, settings, archives }: LvmConf): Promise<void> {
      return withState(root, (state) => {
        if (filter !== undefined) state.lvm_filter = filter;
        if (scan_lvs !== undefined) state.lvm_scan_lvs = scan_lvs;
        if (settings !== undefined) state.lvm_settings = settings;
        if (archives !== undefined) state.lvm_archives = archives;
      });
    },
    /** Every guest's domain now. */
    domains(): Promise<DomainView[]> {
      return withState(root, (state, now) =>
        state.domains.map((domain) => ({
          name: domain.name,
          id: domain.id,
          state: stateLetters(domain, now),
          cpu_seconds: cpuSeconds(domain, now),
        })),
      );
    },
    /** Whether something powered the whole host off or rebooted it (`xl shutdown 0` does). */
    poweredOff(): Promise<boolean> {
      return withState(root, (state) => state.host.powered_off !== undefined);
    },
    cleanup(): void {
      const world = join(root, 'state/world.json');
      if (existsSync(world)) killProcesses(JSON.parse(readFileSync(world, 'utf8')) as World);
      if (owner !== undefined) closeSync(owner);
      owner = undefined;
      rmSync(root, { recursive: true, force: true });
    },
  };
}

/** A node without Xen; see {@link createFakeNode}. */
export type FakeNode = Awaited<ReturnType<typeof createFakeNode>>;
