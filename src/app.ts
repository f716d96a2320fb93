// What the daemon, a job and a program by hand are composed of alike.
import { realpathSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { Logger } from 'pino';
import { createPasswords } from './app-setup.ts';
import { type BaseKeeper, createBases } from './base/bases.ts';
import type { Config } from './config/schema.ts';
import type { Ports } from './core/context.ts';
import type { OwnSettings } from './core/own-settings.ts';
import type { FileLocks, PasswordFile } from './core/ports.ts';
import type { Runner } from './core/runner.ts';
import { createSteadyClock, type SteadyClock } from './core/steady-clock.ts';
import { createAccounts } from './drivers/accounts.ts';
import { createConsoleLogs } from './drivers/console-logs.ts';
import { createCounters } from './drivers/counters.ts';
import { createScreens } from './drivers/device-model.ts';
import { createDiskFiles } from './drivers/disk-files.ts';
import { createFileLocks, createVpsLocks } from './drivers/flock.ts';
import { createGuestConfigs } from './drivers/guest-config.ts';
import { createGuestRoots } from './drivers/guest-roots.ts';
import { guestKernel } from './drivers/host.ts';
import { createKnownStores } from './drivers/known-stores.ts';
import { createLvm } from './drivers/lvm.ts';
import { createLvmBases } from './drivers/lvm-bases.ts';
import { createRunner } from './drivers/run.ts';
import { createTemplates } from './drivers/templates.ts';
import { createXl } from './drivers/xl.ts';
import { createJobs, type JobKeeper } from './jobs/jobs.ts';
import { createSystems } from './jobs/systems/systems.ts';
import { createSamples, type Sampler } from './stats/samples.ts';

/** A configuration, and the file that it came from: a job's process reads it anew. */
export interface AppOptions {
  readonly config: Config;
  readonly config_file: string;
}

/** The drivers, behind their ports; nothing runs yet. */
export interface Drivers extends Omit<Ports, 'jobs' | 'samples'> {
  readonly runner: Runner;
  readonly file_locks: FileLocks;
  readonly passwords: PasswordFile;
  readonly clock: SteadyClock;
}

/** What the daemon adds to the drivers, or a job and a program by hand for their VPS. */
interface DriverHooks {
  /** Told of every removed volume that waits for being wiped, and when its room is wanted. */
  readonly onRemoved?: () => void;
  /** Whether systemd still holds xendomains back for this daemon. */
  readonly holdsXendomains?: () => boolean;
  /** What one VPS has in the place of what the configuration says, which is that VPS's already. */
  readonly own?: OwnSettings | undefined;
}

/** Makes the drivers. */
export function createDrivers(
  config: Config,
  log: Logger,
  { onRemoved, holdsXendomains = () => false, own }: DriverHooks = {},
): Drivers {
  const runner = createRunner({
    path: config.program_path,
    onFinished: (call) => log.debug(call, 'program'),
  });
  const file_locks = createFileLocks(runner);
  const passwords = createPasswords(config, runner, file_locks);
  const guests = createGuestConfigs({ config });
  const mac = own?.mac;
  const xen = {
    hypervisor: createXl({ runner, config, holdsXendomains }),
    disks: { lvm: createLvm({ runner, config, onRemoved }), vbd: createDiskFiles({ runner, config }) },
    guests: { ...guests, ...(mac !== undefined && { mac: async () => mac }) },
    locks: createVpsLocks({ run_dir: config.run_dir, locks: file_locks }),
  };
  const clock = createSteadyClock(config);
  return {
    ...xen,
    runner,
    file_locks,
    passwords,
    clock,
    systems: createSystems({ config, log, clock, ...xen }),
    roots: createGuestRoots({ runner, config }),
    accounts: createAccounts({ runner, config, htpasswd: passwords }),
    consoles: createConsoleLogs({ config }),
    screens: createScreens({ runner, config }),
    templates: createTemplates({ config }),
    kernel: () => guestKernel(config),
  };
}

/** This program, as far as its command; by its own name, whatever link it was called by. */
export function agentProgram(config_file: string): string[] {
  const [program = ''] = process.argv.slice(1);
  return [process.execPath, ...process.execArgv, realpathSync(program), '--config', resolve(config_file)];
}

/** Makes the keeper of jobs, which are processes of this program. */
export function createJobKeeper(
  { config, config_file }: AppOptions,
  { runner, file_locks }: Drivers,
): JobKeeper {
  return createJobs({
    runner,
    locks: file_locks,
    job_runner: config.job_runner,
    job_command: [...agentProgram(config_file), 'job'],
    program_path: config.program_path,
    state_dir: config.state_dir,
    mount_dir: config.provisioning_mount_point,
  });
}

/** Makes what reads guests' counters; it takes no samples by itself. */
export function createSampler(config: Config, { hypervisor }: Drivers, log: Logger): Sampler {
  const stores = createKnownStores(config);
  return createSamples({
    ...{ hypervisor, counters: createCounters({ config, log }), config, log },
    claimFolder: (folder) => stores.claimFolder('samples', folder),
  });
}

/** Makes the keeper of bases. */
export function createBaseKeeper(config: Config, { runner, file_locks: locks }: Drivers): BaseKeeper {
  const { state_dir, run_dir, scripts_dir } = config;
  const volumes = config.provisioning_thinpool === '' ? undefined : createLvmBases({ runner, config });
  return createBases({ runner, locks, state_dir, run_dir, scripts_dir, volumes });
}

/** Makes the agent's own folders, where they are missing. */
export async function makeFolders(config: Config): Promise<void> {
  for (const folder of [config.state_dir, config.run_dir, config.provisioning_mount_point]) {
    await mkdir(folder, { recursive: true, mode: 0o711 });
  }
}
