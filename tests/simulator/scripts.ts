// The agent's own shell programs, by what they do to disks.
import type { Disk, DiskUser } from './disk.ts';
import { AT, machine } from './machine.ts';
import type { Ending, Program, Work } from './program.ts';

const after = (args: readonly string[], option: string) => args[args.indexOf(option) + 1] ?? '';
const failed = (exit: number, stderr: string): Ending => ({ exit, stderr: `${stderr}\n` });

const mountAt = (at: string) => machine.root_mounts.find((mount) => mount.at === at);

/** Has a disk open for some time, and changes it; what is open by somebody else is refused, as `require_unused_disk` does. */
function* working(
  by: Program,
  disk: Disk,
  path: string,
  ms: number,
  change: () => void,
): Generator<number, void, void> {
  const user: DiskUser = { what: 'program', name: by.told, since_ms: by.since_ms };
  machine.watch.written(disk, by);
  disk.users.add(user);
  by.files.push(path);
  disk.changedBy(by.told);
  try {
    yield ms / 2;
    machine.watch.written(disk, by);
    disk.changedBy(by.told);
    yield ms / 2;
    change();
  } finally {
    disk.users.delete(user);
    by.files.splice(by.files.indexOf(path), 1);
  }
}

function* onDisk(
  by: Program,
  path: string,
  ms: number,
  change: (disk: Disk) => void,
  refused_exit = 1,
): Work {
  yield 30;
  const disk = machine.diskAt(path);
  if (!disk) return failed(refused_exit, `${path} does not exist`);
  if (disk.users.size > 0)
    return failed(refused_exit, `${path} is in use; see losetup -l, findmnt, xl block-list`);
  yield* working(by, disk, path, ms, () => change(disk));
  return { exit: 0 };
}

/** The number of the job that a program is part of, and the memory that its guest gets. */
function jobOf(by: Program): { id: string; memory_mb: number } {
  const id = by.environ['DTC_XEN_JOB'] ?? '';
  for (const vps of ['xen01', 'xen02', 'xen03']) {
    const text = machine.mounts.read(`${AT.state}/states/${vps}/${id}/request.json`);
    if (text !== undefined && text !== '') return { id, memory_mb: JSON.parse(text).request.memory_mb };
  }
  return { id, memory_mb: 0 };
}

function* mkfs(by: Program, args: readonly string[]): Work {
  const path = after(args, '--root');
  const { id, memory_mb } = jobOf(by);
  const made = yield* onDisk(by, path, 800, () => undefined);
  if (made.exit !== 0) return made;
  const disk = machine.diskAt(path);
  if (!disk) return failed(1, `${path} does not exist`);
  machine.watch.overwritten(disk, by);
  disk.system = { made_by: id, memory_mb, made_ms: machine.engine.now, whole: false, precious: false };
  machine.watch.made.set(id, { system: disk.system, vps: disk.vps });
  return args.includes('--swap') ? yield* onDisk(by, after(args, '--swap'), 200, () => undefined) : made;
}

function* mount(by: Program, args: readonly string[]): Work {
  const path = after(args, '--root');
  yield 50;
  const disk = machine.diskAt(path);
  if (!disk) return failed(1, `${path} does not exist`);
  if (disk.users.size > 0) return failed(1, `${path} is in use`);
  machine.watch.written(disk, by);
  disk.changedBy(by.told);
  const user: DiskUser = { what: 'mount', name: path, since_ms: by.since_ms };
  disk.users.add(user);
  machine.root_mounts.push({ at: after(args, '--on'), disk, user, owner: by.inside });
  yield 50;
  return { exit: 0 };
}

/** A step that changes what is mounted. */
function* onMount(by: Program, at: string, ms: number): Work {
  yield ms / 2;
  const mounted = mountAt(at);
  if (!mounted) return failed(1, `${at} is not a mount point`);
  machine.watch.written(mounted.disk, by, mounted.user);
  mounted.disk.changedBy(by.told);
  yield ms / 2;
  return { exit: 0 };
}

function* unmount(at: string): Work {
  yield 200;
  const mounted = mountAt(at);
  if (!mounted) return failed(32, `umount: ${at}: not mounted.`);
  machine.unmount(mounted);
  return { exit: 0 };
}

function* prove(path: string): Work {
  yield 300;
  const disk = machine.diskAt(path);
  if (!disk?.system) return failed(1, `${path} holds no system`);
  if (disk.users.size > 0) return failed(1, `${path} is in use`);
  disk.system.whole = true;
  return { exit: 0 };
}

function* nothing(ms: number): Work {
  yield ms;
  return { exit: 0 };
}

/** What a script of the agent does; undefined: the model does not know it. */
export function script(by: Program, name: string, args: readonly string[]): Work | undefined {
  switch (name) {
    case 'reinstall-mkfs':
      return mkfs(by, args);
    case 'reinstall-mount':
      return mount(by, args);
    case 'base-unpack':
      return onMount(by, after(args, '--root'), 20_000);
    case 'reinstall-base-config':
    case 'reinstall-root-password':
    case 'reinstall-network':
    case 'reinstall-first-boot':
      return onMount(by, after(args, '--root'), 600);
    case 'reinstall-umount':
      return unmount(args[0] ?? '');
    case 'reinstall-prove':
      return prove(after(args, '--root'));
    case 'reinstall-swap-space':
      return onDisk(by, after(args, '--swap'), 100, () => undefined);
    case 'fsck-disk':
      return onDisk(by, args[0] ?? '', 30_000, () => undefined, 64);
    case 'guest-root-password':
      return onDisk(by, after(args, '--disk'), 1_500, () => undefined);
    case 'nothing':
      return nothing(10);
    default:
      return undefined;
  }
}
