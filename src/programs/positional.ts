import { parseArgs } from 'node:util';
import { DEFAULT_CONFIG } from '../config/load.ts';
import { type OperationRequest, type Program, UsageError } from './program.ts';

/** Options that every program has, for its help text. */
export const COMMON_OPTIONS = `  --config FILE  the agent's configuration (default: ${DEFAULT_CONFIG})
  --help         print this
  --version      print the version

Exit status: 0 done, 1 refused or failed, 2 wrong usage or configuration.
`;

/** DTC-Xen's words for kinds of disks, in the agent's: it had `loopback` for image files, and a slip of the pen in its help. */
export function imageType(word: string | undefined): string {
  return word === undefined ? 'lvm' : ['loopback', 'vdb'].includes(word) ? 'vbd' : word;
}

/** A command line, taken apart. */
export interface Arguments {
  readonly positionals: readonly string[];
  readonly config_file: string;
  has(flag: string): boolean;
}

/** Reads positional arguments, the options that every program has, and flags of its own. Throws {@link UsageError}. */
export function readArguments(argv: readonly string[], own_flags: readonly string[] = []): Arguments {
  const flags: Record<string, { type: 'boolean' }> = Object.fromEntries(
    ['help', ...own_flags].map((name) => [name, { type: 'boolean' }]),
  );
  const options = { ...flags, config: { type: 'string', default: DEFAULT_CONFIG } } as const;
  try {
    const { values, positionals } = parseArgs({ args: [...argv], allowPositionals: true, options });
    const given: Readonly<Record<string, unknown>> = values;
    return { positionals, config_file: String(given['config']), has: (flag) => given[flag] === true };
  } catch (error) {
    throw new UsageError((error as Error).message, { cause: error });
  }
}

/** What a program of positional arguments is made of. */
interface PositionalProgram {
  readonly usage: string;
  /** How many arguments there may be. */
  readonly counts: readonly number[];
  request(args: readonly string[]): OperationRequest | 'volume group' | 'free disk' | 'free memory';
}

/** Makes a {@link Program} that takes arguments by their places alone. */
function positionalProgram({ usage, counts, request }: PositionalProgram): Program {
  return {
    usage,
    needs_arguments: !counts.includes(0),
    parse(argv) {
      const { positionals, config_file, has } = readArguments(argv);
      if (has('help')) return { request: 'help', config_file };
      if (!counts.includes(positionals.length)) {
        throw new UsageError(`takes ${counts.join(' or ')} arguments, not ${positionals.length}.`);
      }
      return { request: request(positionals), config_file };
    },
  };
}

const text = (value: string | undefined) => value ?? '';

const setupDisks = positionalProgram({
  usage: `Usage: dtc_setup_vps_disk VPS HDD_MB SWAP_MB [lvm|vbd]

Makes the disks of a VPS (01 or xen01), as setupLVMDisks: the same sizes again change nothing, other sizes are refused.

${COMMON_OPTIONS}`,
  counts: [3, 4],
  request: ([vpsname, hddsize, swapsize, kind]): OperationRequest => ({
    operation: 'setupLVMDisks',
    params: {
      vpsname: text(vpsname),
      hddsize: text(hddsize),
      swapsize: text(swapsize),
      imagetype: imageType(kind),
    },
  }),
});

const killDisks = positionalProgram({
  usage: `Usage: dtc_kill_vps_disk VPS [lvm|vbd]

Deletes a stopped VPS for good, as killVPS: its disks, configuration, autostart link, logs, and its owner's ways in.

${COMMON_OPTIONS}`,
  counts: [1, 2],
  request: ([vpsname, kind]) => ({
    operation: 'killVPS',
    params: { vpsname: text(vpsname), imagetype: imageType(kind) },
  }),
});

const writeHvm = positionalProgram({
  usage: `Usage: dtc_write_xenhvm_conf VPS RAM_MB 'IP...' VNC_PASSWORD|no_vnc|- hdd|NAME.iso

Writes the configuration of a stopped, fully virtualized VPS, as writeXenHVMconf. With - the screen's password is read from
standard input; in the command line anybody on the node can see it.

${COMMON_OPTIONS}`,
  counts: [5],
  request: ([vpsname, ramsize, allipaddrs, vncpassword, howtoboot]) => ({
    operation: 'writeXenHVMconf',
    params: {
      vpsname: text(vpsname),
      ramsize: text(ramsize),
      allipaddrs: text(allipaddrs),
      howtoboot: text(howtoboot),
      ...(vncpassword === 'no_vnc' ? { vncpassword } : {}),
    },
    ...(vncpassword === 'no_vnc'
      ? {}
      : {
          secret: {
            param: 'vncpassword',
            prompt: "The screen's password",
            given: vncpassword === '-' ? undefined : vncpassword,
          },
        }),
  }),
});

const changeBsdKernel = positionalProgram({
  usage: `Usage: dtc_change_bsd_kernel VPS RAM_MB normal|install 'IP...'

Writes the configuration of a stopped BSD VPS, as changeBSDkernel.

${COMMON_OPTIONS}`,
  counts: [4],
  request: ([vpsname, ramsize, kerneltype, allipaddrs]) => ({
    operation: 'changeBSDkernel',
    params: {
      vpsname: text(vpsname),
      ramsize: text(ramsize),
      kerneltype: text(kerneltype),
      allipaddrs: text(allipaddrs),
    },
  }),
});

const volumeGroup = positionalProgram({
  usage: `Usage: dtc-xen-volgroup

Prints the volume group of the VPS disks: provisioning_volgroup, or the only one there is.

${COMMON_OPTIONS}`,
  counts: [0],
  request: () => 'volume group',
});

const freeDisk = positionalProgram({
  usage: `Usage: vgdisplay_free_size

Prints how many MB are free for disks in the volume group of the VPS disks, as getFreeSpace tells it.

${COMMON_OPTIONS}`,
  counts: [0],
  request: () => 'free disk',
});

const freeMemory = positionalProgram({
  usage: `Usage: xm_info_free_memory

Prints how many MB Xen can give to guests, as getFreeSpace tells it.

${COMMON_OPTIONS}`,
  counts: [0],
  request: () => 'free memory',
});

/** The programs of positional arguments, by their names. */
export const POSITIONAL_PROGRAMS = {
  dtc_setup_vps_disk: setupDisks,
  dtc_kill_vps_disk: killDisks,
  dtc_write_xenhvm_conf: writeHvm,
  dtc_change_bsd_kernel: changeBsdKernel,
  'dtc-xen-volgroup': volumeGroup,
  vgdisplay_free_size: freeDisk,
  xm_info_free_memory: freeMemory,
} as const satisfies Record<string, Program>;
