// A fake node's own comings and goings: its boots, and Debian's xendomains.
import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { bootVolumes } from './lib/lvm-volumes.mjs';
import { replaceFile, type World, withState, type XendomainsState } from './lib/store.mjs';
import { startOf } from './lib/xl-process.mjs';

const SHUTDOWN_LIMIT_MS = 20_000;
const POLL_MS = 20;

/** xendomains on a node that has booted long ago. */
export const DONE_XENDOMAINS: XendomainsState = {
  load_state: 'loaded',
  unit_file_state: 'enabled',
  active_state: 'active',
  sub_state: 'exited',
  job: 0,
};
const SUB_STATES: Record<string, string> = {
  active: 'exited',
  activating: 'start',
  deactivating: 'stop',
  inactive: 'dead',
  failed: 'failed',
};

/** What xendomains did: names of guests. */
export interface XendomainsReport {
  readonly restored: readonly string[];
  readonly created: readonly string[];
  readonly saved: readonly string[];
  readonly failed: readonly string[];
}

/** Gives the node a boot_id of its own, until the next boot. */
export function writeBootId(root: string): void {
  const folder = join(root, 'proc/sys/kernel/random');
  mkdirSync(folder, { recursive: true });
  replaceFile(join(folder, 'boot_id'), `${randomUUID()}\n`);
}

/** Ends the processes of xl's that a world has, at once. */
export function killProcesses(world: Pick<World, 'xls'>): void {
  for (const { real_pid, started } of Object.values(world.xls)) {
    if (startOf(real_pid) !== started) continue;
    try {
      process.kill(real_pid, 'SIGKILL');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  }
}

const files = (folder: string) =>
  existsSync(folder)
    ? readdirSync(folder)
        .filter((name) => !name.startsWith('.') && statSync(join(folder, name)).isFile())
        .sort()
    : [];

/** The part of a fake node that is its machine; `xen_dir` has the autostart links in auto/. */
export function hostOf(root: string, program_path: string) {
  const save_dir = join(root, 'save');
  const xl = (...args: string[]) =>
    new Promise<{ exit: number; stdout: string }>((done) => {
      const env = { PATH: program_path, LC_ALL: 'C', HOME: '/root' };
      const program = join(root, 'bin/xl');
      const child = execFile(program, args, { env }, (_, stdout) =>
        done({ exit: child.exitCode ?? -1, stdout }),
      );
    });
  const set = (change: Partial<XendomainsState>) =>
    withState(root, ({ xendomains }) => {
      // Who asks systemctl looks first whether systemd is process 1.
      mkdirSync(join(root, 'proc/1'), { recursive: true });
      writeFileSync(join(root, 'proc/1/comm'), 'systemd\n');
      Object.assign(xendomains, change);
      xendomains.sub_state = change.sub_state ?? SUB_STATES[xendomains.active_state] ?? 'dead';
    });
  const powerCut = () =>
    withState(root, (state) => {
      killProcesses(state);
      Object.assign(state, { domains: [], xls: {}, ended: {}, next_domid: 1 });
      state.host.started_ms = Date.now();
    });

  async function restoreSaved(outcome: Map<string, 'restored' | 'created' | 'failed'>): Promise<void> {
    for (const name of files(save_dir)) {
      const file = join(save_dir, name);
      const { exit } = await xl('restore', file);
      outcome.set(name, exit === 0 ? 'restored' : 'failed');
      if (exit === 0) rmSync(file, { force: true });
    }
  }

  async function createLinked(
    auto_dir: string,
    outcome: Map<string, 'restored' | 'created' | 'failed'>,
  ): Promise<void> {
    for (const link of files(auto_dir)) {
      const file = join(auto_dir, link);
      const { stdout } = await xl('create', '--quiet', '--dryrun', '--defconfig', file);
      const name = /"name": "(.*)"/.exec(stdout)?.[1] ?? '';
      if (outcome.has(name) || (await xl('domid', name)).exit === 0) continue;
      const { exit } = await xl('create', '--quiet', '--defconfig', file);
      outcome.set(name || link, exit === 0 ? 'created' : 'failed');
    }
  }

  const guests = () => withState(root, ({ domains }) => domains.map(({ id, name }) => ({ id, name })));

  return {
    /** The power goes: every guest and every process of xl's is gone, files stay. */
    powerCut,
    /** The machine starts anew, after a power cut if it ran; xendomains is queued, and nothing has started it yet. */
    async boot(): Promise<void> {
      await powerCut();
      writeBootId(root);
      await withState(root, (state) => bootVolumes(root, state));
      await set({ active_state: 'inactive', job: 37 });
    },
    /** What systemctl shows of xendomains.service from now on; systemd is process 1. `job`: 0 for none. */
    setXendomains: (state: Partial<XendomainsState>): Promise<void> => set(state),
    /** `systemctl start xendomains`, as Debian's script does it: saved guests first, then those with an autostart link. */
    async xendomainsStart(xen_dir: string): Promise<XendomainsReport> {
      await set({ active_state: 'activating', job: 37 });
      const outcome = new Map<string, 'restored' | 'created' | 'failed'>();
      await restoreSaved(outcome);
      await createLinked(join(xen_dir, 'auto'), outcome);
      await set({ active_state: 'active', job: 0 });
      const of = (what: string) => [...outcome].filter(([, how]) => how === what).map(([name]) => name);
      return { restored: of('restored'), created: of('created'), saved: [], failed: of('failed') };
    },
    /** `systemctl stop xendomains`: saves every guest; one that cannot be saved is shut down. */
    async xendomainsStop(): Promise<XendomainsReport> {
      await set({ active_state: 'deactivating', job: 41 });
      const [saved, failed]: [string[], string[]] = [[], []];
      mkdirSync(save_dir, { recursive: true, mode: 0o700 });
      for (const { id, name } of await guests()) {
        const { exit } = await xl('save', String(id), join(save_dir, name));
        (exit === 0 ? saved : failed).push(name);
      }
      for (const { id } of await guests()) await xl('shutdown', String(id));
      const last_ms = Date.now() + SHUTDOWN_LIMIT_MS;
      while ((await guests()).length > 0 && Date.now() < last_ms) await sleep(POLL_MS);
      await set({ active_state: 'inactive', job: 0 });
      return { restored: [], created: [], saved, failed };
    },
  };
}
