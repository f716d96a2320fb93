// What the kernel shows below /proc, /sys and /dev.
import { errno } from './errno.ts';
import { machine } from './machine.ts';

const FOLDERS = /^\/(proc|sys|dev)(\/|$)/;

/** Where a job has the node's own /proc, bound into its folder: no other process sees anything there. */
const BOUND = /^\/.*\/states\/xen[0-9]+\/[^/]+\/proc(?=\/|$)/;
const isBound = (path: string) =>
  path.includes('/proc') && machine.engine.running?.contained === true && BOUND.test(path);

/** Whether a path is the kernel's. */
export const isKernels = (path: string): boolean => FOLDERS.test(path) || isBound(path);

/** Shows the kernel's files by their own paths: through a folder that the node's /proc is bound to, as outside of all namespaces. */
function shown<T>(path: string, show: (path: string) => T): T {
  if (!isBound(path)) return show(path);
  is_outside = true;
  try {
    return show(path.replace(BOUND, '/proc'));
  } finally {
    is_outside = false;
  }
}

let is_outside = false;

interface Listed {
  readonly comm: string;
  readonly cmdline: readonly string[];
  readonly environ: Readonly<Record<string, string>>;
  readonly fds: readonly string[];
  readonly own_pid: number;
}

/** The process whose namespaces the reader is in: it sees its own processes alone, and is process 1 of them. */
function namespace() {
  const { running } = machine.engine;
  return running?.contained && !is_outside ? running : undefined;
}

function listed(name: string): Listed | undefined {
  const own = namespace();
  const pid = own && name === '1' ? String(own.pid) : name;
  const process = machine.processes.get(Number(pid));
  if (process && (!own || process === own)) {
    const cmdline = ['node', 'dtc-xen-agent', process.name];
    return {
      ...{ comm: 'node', cmdline, environ: process.environ, fds: [] },
      own_pid: process.contained ? 1 : process.pid,
    };
  }
  const program = machine.programs.get(Number(pid));
  if (!program || (own && program.inside !== own)) return undefined;
  return {
    ...{ comm: program.comm, cmdline: program.cmdline, environ: program.environ, fds: program.files },
    own_pid: program.pid,
  };
}

function procFile(pid: string, file: string): string | undefined {
  if (pid === 'self' && file === 'mountinfo') return mountinfo();
  if (pid === '1' && file === 'comm' && !namespace()) return 'systemd\n';
  if (pid === 'sys' && file === 'kernel/random/boot_id') return `${machine.boot_id()}\n`;
  if (pid === 'net' && file === 'dev') return machine.xen.netDev();
  if (pid === 'uptime') return `${(machine.uptime_ms() / 1000).toFixed(2)} 0.00\n`;
  const there = listed(pid);
  if (!there) return undefined;
  switch (file) {
    case 'comm':
      return `${there.comm}\n`;
    case 'cmdline':
      return `${there.cmdline.join('\0')}\0`;
    case 'environ':
      return Object.entries(there.environ)
        .map(([key, value]) => `${key}=${value}\0`)
        .join('');
    case 'status':
      return `Name:\t${there.comm}\nNSpid:\t${pid}${there.own_pid === Number(pid) ? '' : `\t${there.own_pid}`}\n`;
    case 'stat':
      return `${pid} (${there.comm}) S 1 1 1\n`;
    default:
      return undefined;
  }
}

function mountinfo(): string {
  const { running } = machine.engine;
  const lines = machine.root_mounts
    .filter(({ owner }) => owner === undefined || owner === running)
    .map(({ at }, i) => `${40 + i} 1 7:${i} / ${at} rw - ext4 /dev/loop${i} rw`);
  return ['20 1 8:1 / / rw - ext4 /dev/sda1 rw', ...lines, ''].join('\n');
}

/** @throws ENOENT where the kernel shows no such file */
export const readKernelFile = (path: string) => shown(path, readOwnFile);

function readOwnFile(path: string): string {
  const [, proc, rest] = /^\/proc\/([^/]+)\/?(.*)$/.exec(path) ?? [];
  const text = proc === undefined ? machine.xen.sysFile(path) : procFile(proc, rest ?? '');
  if (text === undefined) throw errno('ENOENT', 'open', path);
  return text;
}

/** @throws ENOENT where the kernel shows no such folder */
export const listKernelFolder = (path: string) => shown(path, listOwnFolder);

function listOwnFolder(path: string): string[] {
  if (path === '/proc') {
    const pids = [...machine.processes.keys(), ...machine.programs.keys()].map(String);
    const own = String(namespace()?.pid);
    return ['1', ...pids.filter((pid) => pid !== own && listed(pid)), 'self', 'net', 'sys'];
  }
  const [, pid] = /^\/proc\/([0-9]+)\/fd$/.exec(path) ?? [];
  const files = pid === undefined ? undefined : listed(pid)?.fds;
  if (files) return files.map((_, i) => String(i + 3));
  const { volumes } = machine;
  if (path === '/dev/vg0' && volumes.is_there && volumes.mapped.size > 0) return [...volumes.mapped.keys()];
  const [, minor] = /^\/sys\/class\/block\/dm-([0-9]+)\/slaves$/.exec(path) ?? [];
  if ([...volumes.mapped.values()].some((volume) => String(volume.minor) === minor)) return ['sdb'];
  if (/^\/sys\/class\/block\/sdb\/slaves$/.test(path)) return [];
  throw errno('ENOENT', 'scandir', path);
}

/** @throws ENOENT, EINVAL where it is no link */
export const readKernelLink = (path: string) => shown(path, readOwnLink);

function readOwnLink(path: string): string {
  const [, pid = '', fd] = /^\/proc\/([0-9]+)\/fd\/([0-9]+)$/.exec(path) ?? [];
  const file = fd === undefined ? undefined : listed(pid)?.fds[Number(fd) - 3];
  if (file !== undefined) return file;
  throw errno('ENOENT', 'readlink', path);
}

/** What a device's name leads to. */
export function realKernelPath(path: string): string {
  const [, name = ''] = /^\/dev\/vg0\/(.+)$/.exec(path) ?? [];
  const { volumes } = machine;
  const volume = volumes.is_there ? volumes.mapped.get(name) : undefined;
  if (volume) return `/dev/dm-${volume.minor}`;
  if (/^\/(proc|sys|dev)(\/(sdb|1|self))?$/.test(path)) return path;
  throw errno('ENOENT', 'realpath', path);
}

/** fsync(2) of a block device. */
export function flushDevice(path: string): void {
  if (path !== '/dev/sdb') throw errno('ENOENT', 'open', path);
  if (!machine.volumes.is_there) throw errno('EIO', 'fsync', path);
  machine.volumes.flush();
}
