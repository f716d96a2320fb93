import { readdir, readFile, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Runner } from '../core/runner.ts';
import type { VpsId } from '../core/vps.ts';

/** The variable that marks every process of a job; its value is the job's ID. */
export const JOB_MARK = 'DTC_XEN_JOB';

/** Where a VPS's root is mounted while it is worked on. */
export function mountPoint(mount_dir: string, vps: VpsId): string {
  return join(mount_dir, vps.number);
}

/** What {@link createLeftovers} needs. */
export interface LeftoverOptions {
  readonly runner: Runner;
  /** provisioning_mount_point: mount points and image files are in it. */
  readonly mount_dir: string;
}

/** Takes down what a job leaves. */
export interface Leftovers {
  /** Kills every process that carries the job's mark, but this one, and waits until they are gone. Returns how many there were. */
  killProcesses(job_id: string): Promise<number>;
  /**
   * Sends SIGTERM to the job's own process: the one with the job's mark that is process 1 of a PID namespace below this one.
   * Nobody there, or not yet, is fine.
   */
  terminate(job_id: string): Promise<void>;
  /** Kills every process but this one, which must be process 1 of the job's own PID namespace, and waits for their end. */
  killNamespace(): Promise<void>;
  /**
   * Unmounts whatever is mounted at the VPS's mount point or below, and detaches the loop devices of these images. Returns
   * what was.
   */
  unmount(vps: VpsId, images: readonly string[]): Promise<string[]>;
}

const KILL_WAIT_MS = 5_000;
const UMOUNT_TIMEOUT_MS = 60_000;
const GONE = new Set(['ENOENT', 'ESRCH', 'EACCES']);

async function unlessGone<T>(work: Promise<T>, otherwise: T): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (GONE.has((error as NodeJS.ErrnoException).code ?? '')) return otherwise;
    throw error;
  }
}

async function markedProcesses(job_id: string): Promise<number[]> {
  const mark = `${JOB_MARK}=${job_id}`;
  const marked: number[] = [];
  for (const name of await readdir('/proc')) {
    if (!/^[0-9]+$/.test(name) || Number(name) === process.pid) continue;
    const environment = await unlessGone(readFile(`/proc/${name}/environ`, 'latin1'), '');
    if (environment.split('\0').includes(mark)) marked.push(Number(name));
  }
  return marked;
}

function kill(pid: number, signal: 'SIGKILL' | 'SIGTERM' = 'SIGKILL'): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** Processes of this PID namespace that still hold files: all but this one and zombies (proc_pid_stat(5): state). */
async function liveProcesses(): Promise<number[]> {
  const live: number[] = [];
  for (const name of await readdir('/proc')) {
    if (!/^[0-9]+$/.test(name) || Number(name) === process.pid) continue;
    const stat = await unlessGone(readFile(`/proc/${name}/stat`, 'latin1'), '');
    const state = stat.slice(stat.lastIndexOf(')') + 2).charAt(0);
    if (state !== '' && state !== 'Z' && state !== 'X') live.push(Number(name));
  }
  return live;
}

/** Kills what `find` finds until it finds nothing, for some seconds. Returns how many there were at first. */
async function killUntilGone(find: () => Promise<number[]>): Promise<number> {
  let pids = await find();
  const found = pids.length;
  const until = Date.now() + KILL_WAIT_MS;
  while (pids.length > 0 && Date.now() < until) {
    for (const pid of pids) kill(pid);
    await sleep(20);
    pids = await find();
  }
  return found;
}

/** Mount points of /proc/self/mountinfo at `top` or below it, the last mounted first (proc(5): field 5, octal escapes). */
export function mountsBelow(mountinfo: string, top: string): string[] {
  return mountinfo
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '')
    .map((path) =>
      path.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(parseInt(octal, 8))),
    )
    .filter((path) => path === top || path.startsWith(`${top}/`))
    .reverse();
}

/** Makes {@link Leftovers} for this host's processes and this process's mount namespace. */
export function createLeftovers({ runner, mount_dir }: LeftoverOptions): Leftovers {
  async function loopDevices(image: string): Promise<string[]> {
    const { stdout } = await runner.check({
      label: 'losetup',
      program: 'losetup',
      args: ['--noheadings', '--output', 'NAME', '--associated', image],
      timeout_ms: UMOUNT_TIMEOUT_MS,
    });
    return stdout.split('\n').filter((name) => name !== '');
  }

  return {
    killProcesses: (job_id) => killUntilGone(() => markedProcesses(job_id)),

    async terminate(job_id) {
      for (const pid of await markedProcesses(job_id)) {
        const status = await unlessGone(readFile(`/proc/${pid}/status`, 'latin1'), '');
        // From the outermost namespace that this procfs shows to the process's own (proc_pid_status(5)).
        const [, ...pids] = /^NSpid:(.*)$/m.exec(status)?.[1]?.trim().split(/\s+/) ?? [];
        if (pids.at(-1) === '1') kill(pid, 'SIGTERM');
      }
    },

    async killNamespace() {
      if (process.pid !== 1) throw new Error('This process does not own its PID namespace.');
      await killUntilGone(liveProcesses);
    },

    async unmount(vps, images) {
      const root = await unlessGone(realpath(mount_dir), mount_dir);
      const taken = mountsBelow(await readFile('/proc/self/mountinfo', 'utf8'), mountPoint(root, vps));
      for (const path of taken) {
        await runner.check({
          label: 'umount',
          program: 'umount',
          args: ['--', path],
          timeout_ms: UMOUNT_TIMEOUT_MS,
        });
      }
      for (const image of images) {
        for (const device of await loopDevices(join(root, image))) {
          await runner.check({
            label: 'losetup --detach',
            program: 'losetup',
            args: ['--detach', device],
            timeout_ms: UMOUNT_TIMEOUT_MS,
          });
          taken.push(device);
        }
      }
      return taken;
    },
  };
}
