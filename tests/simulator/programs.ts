// Which program does what. One that the model does not know is an error: nothing may pass because nobody looked.
import { Disk } from './disk.ts';
import { lvm, zeroOut } from './lvm-programs.ts';
import { AT, machine } from './machine.ts';
import { fileOf, lockFile, openFile } from './open-files.ts';
import { Program, type Start, type Work } from './program.ts';
import { script } from './scripts.ts';
import { xl } from './xl.ts';

const MIB = 1024 * 1024;

/** What starts a job's process, once its lock is held; put in by src's caller in agent.ts. */
export const jobStarter: {
  start: ((folder: string, environ: Readonly<Record<string, string>>, by: Program) => Work) | undefined;
} = {
  start: undefined,
};

const numberAfter = (args: readonly string[], option: string) => Number(args[args.indexOf(option) + 1] ?? 0);

/** flock(1) on a descriptor, or with a file and a command, which it becomes. */
function* flock(by: Program, args: readonly string[], start: Start, fds: readonly number[]): Work {
  yield 2;
  const kind = args.includes('--shared') ? 'shared' : 'exclusive';
  const conflict = { exit: numberAfter(args, '--conflict-exit-code') || 1 };
  const until = machine.engine.now + 1000 * (args.includes('--timeout') ? numberAfter(args, '--timeout') : 0);
  const at = args.indexOf('--');
  const fd = at < 0 ? fds[Number(args.at(-1)) - 3] : openFile(args[at + 1] ?? '', by);
  if (fd === undefined) return { exit: 64, stderr: 'flock: bad file descriptor\n' };
  while (!lockFile(fd, kind)) {
    if (machine.engine.now >= until) return conflict;
    yield 40;
  }
  if (at < 0) return { exit: 0 };
  const command = args.slice(at + 2);
  if (command[0] === 'cat') {
    // It says what it is told when it has the lock, and ends with its input.
    start.onAnswer?.();
    while (start.starter === undefined || start.starter.alive) yield Number.POSITIVE_INFINITY;
    return { exit: 0 };
  }
  const work = workOf(by, command, start, fds);
  return work ? yield* work : { exit: 127 };
}

function* fallocate(args: readonly string[]): Work {
  const path = args.at(-1) ?? '';
  const size_bytes = numberAfter(args, '-l');
  yield 50;
  const { fs, inode } = machine.mounts.get(path, 'open');
  if (size_bytes - inode.size_bytes > fs.free_bytes) {
    return { exit: 1, stderr: `fallocate: fallocate failed: No space left on device\n` };
  }
  fs.resize(inode, size_bytes);
  const name = path.slice(path.lastIndexOf('/') + 1);
  const vps = /xen[0-9]+/.exec(name)?.[0] ?? name;
  inode.disk = new Disk(
    name.includes('.swap.') ? 'swap' : 'root',
    vps,
    Math.max(size_bytes, MIB),
    machine.engine.now,
  );
  yield 50;
  return { exit: 0 };
}

function* losetup(args: readonly string[]): Work {
  yield 15;
  if (args.includes('--detach')) return { exit: 0 };
  const isLooped = (path: string) => {
    const users = machine.diskAt(path)?.users ?? [];
    return [...users].some(({ what }) => what !== 'program');
  };
  if (args.includes('--list')) {
    const endings = ['', '.new', '.old', '.passing', '.swap'].map((ending) => `${ending}.img`);
    const images = ['xen01', 'xen02'].flatMap((vps) =>
      endings.map((ending) => `${AT.images}/${vps}${ending}`),
    );
    return {
      exit: 0,
      stdout: images
        .filter(isLooped)
        .map((path) => `${path}\n`)
        .join(''),
    };
  }
  const disk = machine.diskAt(args.at(-1) ?? '');
  const is_looped = disk && [...disk.users].some(({ what }) => what !== 'program');
  if (!is_looped) return { exit: 0, stdout: '' };
  return {
    exit: 0,
    stdout: args.includes('--noheadings') ? '/dev/loop0\n' : `/dev/loop0: [2049]:12 (${args.at(-1)})\n`,
  };
}

function* blkid(args: readonly string[]): Work {
  yield 20;
  const disk = machine.diskAt(args.at(-1) ?? '');
  return { exit: disk?.system || disk?.kind === 'swap' ? 0 : 2 };
}

function* umount(args: readonly string[]): Work {
  const at = args.at(-1) ?? '';
  yield 100;
  const mounted = machine.root_mounts.find((mount) => mount.at === at);
  if (!mounted) return { exit: 32, stderr: `umount: ${at}: not mounted.\n` };
  machine.unmount(mounted);
  return { exit: 0 };
}

function* systemctl(args: readonly string[]): Work {
  if (args.at(-1) !== 'xendomains.service')
    throw new Error(`the model of systemctl does not know ${args.join(' ')}`);
  yield 20;
  const { xendomains } = machine;
  const state = { waiting: 'inactive', starting: 'activating', saving: 'deactivating', done: 'active' }[
    xendomains
  ];
  return { exit: 0, stdout: `ActiveState=${state}\n${xendomains === 'done' ? '' : 'Job=123\n'}` };
}

function afterDashes(argv: readonly string[]): readonly string[] {
  return argv.slice(argv.indexOf('--') + 1);
}

function workOf(
  by: Program,
  argv: readonly string[],
  start: Start,
  fds: readonly number[],
): Work | undefined {
  const [path = '', ...args] = argv;
  const name = path.slice(path.lastIndexOf('/') + 1);
  switch (name) {
    case 'xl':
      return xl(by, args);
    case 'flock':
      return flock(by, args, start, fds);
    case 'systemd-run':
      return asUnit(by, afterDashes(argv), fds);
    case 'unshare': {
      // With --pid the processes of a job see themselves alone; what is called before that has the node's /proc.
      const is_job = args.includes('--pid') || args.some((arg) => arg.endsWith('/with-node-proc'));
      return is_job ? jobStarter.start?.(argv.at(-1) ?? '', start.environ ?? {}, by) : undefined;
    }
    case 'fallocate':
      return fallocate(args);
    case 'losetup':
      return losetup(args);
    case 'blkid':
      return blkid(args);
    case 'blkdiscard':
      return zeroOut(by, args);
    case 'umount':
      return umount(args);
    case 'systemctl':
      return systemctl(args);
    default:
      return lvm(name, args) ?? script(by, name, args);
  }
}

/** A transient unit: a process of process 1, which goes on when systemd-run has ended. */
function* asUnit(by: Program, argv: readonly string[], fds: readonly number[]): Work {
  yield 30;
  const marks = by.cmdline.filter((word) => word.startsWith('--setenv=')).map((word) => word.slice(9));
  const environ = Object.fromEntries(marks.map((mark) => mark.split('=') as [string, string]));
  startProgram({ argv, environ }, fds);
  return { exit: 0 };
}

/**
 * Starts a program.
 *
 * @throws Error where the model does not know it
 */
export function startProgram(start: Start, fds: readonly number[] = []): Program {
  const { argv } = start;
  if (argv[0] === 'systemd-run' && argv.includes('--scope')) {
    // systemd-run becomes the program itself.
    return startProgram({ ...start, argv: afterDashes(argv) }, fds);
  }
  const program = new Program(start);
  const work = workOf(program, argv, start, fds);
  if (!work) throw new Error(`the model does not know this program: ${start.argv.join(' ')}`);
  // Who holds a lock that the program was handed keeps it together with the program.
  for (const fd of fds) fileOf(fd).holders.add(program);
  program.begin(work);
  return program;
}
