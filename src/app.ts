import { realpathSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { resolve } from 'node:path';
import { type Logger, pino } from 'pino';
import { createPasswords } from './app-setup.ts';
import { type BaseKeeper, createBases } from './base/bases.ts';
import { createNightlyRefresh, nightlyTime, REFRESH_UNIT } from './base/nightly.ts';
import type { Config } from './config/schema.ts';
import type { Ports } from './core/context.ts';
import { createDispatch } from './core/dispatch.ts';
import { asAgentError, errorFields } from './core/errors.ts';
import type { FileLocks, PasswordFile } from './core/ports.ts';
import { createRegistry } from './core/registry.ts';
import type { Runner } from './core/runner.ts';
import { createSteadyClock, type SteadyClock } from './core/steady-clock.ts';
import type { VpsId } from './core/vps.ts';
import { createAccounts } from './drivers/accounts.ts';
import { ensureCertificate } from './drivers/certificate.ts';
import { createConsoleLogs } from './drivers/console-logs.ts';
import { createCounters } from './drivers/counters.ts';
import { createDiskFiles } from './drivers/disk-files.ts';
import { createFileLocks, createVpsLocks } from './drivers/flock.ts';
import { createGuestConfigs } from './drivers/guest-config.ts';
import { createGuestRoots } from './drivers/guest-roots.ts';
import { describeHost, guestKernel, hostFigures, nodeName } from './drivers/host.ts';
import { createKnownStores } from './drivers/known-stores.ts';
import { createLvm } from './drivers/lvm.ts';
import { createLvmBases } from './drivers/lvm-bases.ts';
import { createLvmRemoved } from './drivers/lvm-removed.ts';
import { createRunner } from './drivers/run.ts';
import { createServiceManager, type ServiceManager } from './drivers/service-manager.ts';
import { createTemplates } from './drivers/templates.ts';
import { createXl } from './drivers/xl.ts';
import { jobFolder } from './jobs/folder.ts';
import { fsckPlan } from './jobs/fsck.ts';
import { createJobs, type JobKeeper } from './jobs/jobs.ts';
import { createLostReboots } from './jobs/lost-reboots.ts';
import { reinstallPlan } from './jobs/reinstall.ts';
import { runJob } from './jobs/run-job.ts';
import { createSystemKeeper } from './jobs/systems/keeper.ts';
import { createSystems } from './jobs/systems/systems.ts';
import { createWiper } from './jobs/wiper.ts';
import { operations } from './operations/index.ts';
import { createSamples, type Sampler } from './stats/samples.ts';
import { createSchedule } from './stats/schedule.ts';
import { createAuthenticator } from './transport/auth.ts';
import { createHttpServer } from './transport/http.ts';
import { generateWsdl } from './transport/soap/wsdl.ts';
import { readTls } from './transport/tls.ts';

const RECOVERY_INTERVAL_MS = 30_000;
/** When old systems are looked after. */
const HOURLY = '41 * * * *';
/** When guests' console logs are. */
const EVERY_MINUTE = '* * * * *';

/** A configuration, and the file that it came from: a job's process reads it anew. */
export interface AppOptions {
  readonly config: Config;
  readonly config_file: string;
}

/** The agent's log: JSON lines on standard output, for journald. */
export function createLog(config: Pick<Config, 'log_level'>): Logger {
  return pino({ level: config.log_level, base: null, formatters: { level: (level) => ({ level }) } });
}

/** What systemd is told of the daemon; `env` is this process's. */
export function createService(
  { program_path: path }: Config,
  log: Logger,
  env: NodeJS.ProcessEnv,
): ServiceManager {
  return createServiceManager({
    runner: createRunner({ path }),
    env,
    onTrouble: (what, err) => log.error(err === undefined ? {} : { err }, what),
  });
}

/** The drivers, behind their ports; nothing runs yet. */
interface Drivers extends Omit<Ports, 'jobs' | 'samples'> {
  readonly runner: Runner;
  readonly file_locks: FileLocks;
  readonly passwords: PasswordFile;
  readonly clock: SteadyClock;
}

/** What the daemon adds to the drivers; a job, and a program by hand, do without. */
interface DaemonHooks {
  /** Told of every removed volume that waits for being wiped. */
  readonly onRemoved?: () => void;
  /** Whether systemd still holds xendomains back for this daemon. */
  readonly holdsXendomains?: () => boolean;
}

/** Makes the drivers. */
export function createDrivers(
  config: Config,
  log: Logger,
  { onRemoved, holdsXendomains = () => false }: DaemonHooks = {},
): Drivers {
  const runner = createRunner({
    path: config.program_path,
    onFinished: (call) => log.debug(call, 'program'),
  });
  const file_locks = createFileLocks(runner);
  const passwords = createPasswords(config, runner, file_locks);
  const xen = {
    hypervisor: createXl({ runner, config, holdsXendomains }),
    disks: { lvm: createLvm({ runner, config, onRemoved }), vbd: createDiskFiles({ runner, config }) },
    guests: createGuestConfigs({ config }),
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
    templates: createTemplates({ config }),
  };
}

/** This program, as far as its command; by its own name, whatever link it was called by. */
function agentProgram(config_file: string): string[] {
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

/** The nightly look at the bases, by node-cron. */
function nightlyBases({ config, config_file }: AppOptions, { runner }: Drivers, log: Logger) {
  const refresh = createNightlyRefresh({
    runner,
    job_runner: config.job_runner,
    program_path: config.program_path,
    agent: agentProgram(config_file),
    onEnd: ({ exit, last_words }) => {
      if (exit === 0) log.info('the bases are up to date');
      else
        log.error(
          { exit, last_words },
          `the bases cannot be made anew; try dtc-xen base refresh, and see journalctl -u ${REFRESH_UNIT}`,
        );
    },
  });
  const schedule = createSchedule(nightlyTime(nodeName(config)), refresh.run, log);
  return {
    start: schedule.start,
    async stop() {
      await schedule.stop();
      await refresh.stop();
    },
  };
}

/** Makes the agent's own folders, where they are missing. */
export async function makeFolders(config: Config): Promise<void> {
  for (const folder of [config.state_dir, config.run_dir, config.provisioning_mount_point]) {
    await mkdir(folder, { recursive: true, mode: 0o711 });
  }
}

/** The running daemon. */
export interface Agent {
  /** Where it listens. */
  readonly address: string;
  readonly port: number;
  /** Reads the certificate anew; connections stay. False where the old one stays in use. */
  reload(): Promise<boolean>;
  /** Whether it answers a request, now. */
  healthy(): Promise<boolean>;
  /** Takes no new calls, lets running ones finish, and ends; jobs go on. */
  close(): Promise<void>;
}

/**
 * Starts the daemon: settles what was cut off, listens, takes samples. Where it throws, nothing of it goes on running.
 *
 * @throws Error saying what an admin must mend: the certificate, the port, a folder
 */
export async function startAgent({ config, config_file, log }: AppOptions & { log: Logger }): Promise<Agent> {
  await makeFolders(config);
  let ready = false;
  const drivers = createDrivers(config, log, {
    onRemoved: () => void wiper.run(),
    holdsXendomains: () => !ready,
  });
  const wiper = createWiper({ removed: createLvmRemoved({ runner: drivers.runner, config }), log });
  const { etc_dir, cert_passphrase: passphrase } = config;
  const made = await ensureCertificate({
    etc_dir,
    node_name: nodeName(config),
    passphrase,
    runner: drivers.runner,
  });
  if (made) log.info({ etc_dir }, 'made a self-signed certificate');

  const jobs = createJobKeeper({ config, config_file }, drivers);
  const keeper = createSystemKeeper({ config, log, ...drivers });
  const reboots = createLostReboots({ config, log, ...drivers });
  const warn =
    (what: string, fields: object = {}) =>
    (thrown: unknown) => {
      const failure = asAgentError(thrown);
      log.warn({ ...fields, ...errorFields(failure) }, `${what}: ${failure.message}`);
    };
  const settle = async () => {
    const onTrouble = (vps: VpsId, thrown: unknown) =>
      warn('its dead job cannot be settled now', { vps: vps.name })(thrown);
    const settled = await jobs.recover(onTrouble).catch(warn('dead jobs cannot be looked for now'));
    for (const job of settled ?? [])
      log.warn({ job: job.id, vps: job.vps }, job.message ?? 'a job was cut off');
    await keeper.recover();
    await reboots.look();
  };
  await settle();
  ready = true;

  const samples = createSampler(config, drivers, log);
  const registry = createRegistry(operations);
  const server = createHttpServer({
    config,
    tls: () => readTls(etc_dir, passphrase),
    authenticate: createAuthenticator({ passwords: drivers.passwords, log }),
    dispatch: createDispatch({ registry, config, ports: { ...drivers, jobs, samples }, log }),
    wsdl: (address) => generateWsdl(registry, address),
    log,
  });
  // The port first: where another agent has it, that one's spool is left alone.
  const { address, port } = await server.listen();
  await samples.start();
  const bases = nightlyBases({ config, config_file }, drivers, log);
  await bases.start();
  const tidyBases = async () => {
    for (const name of await createBaseKeeper(config, drivers).tidy())
      log.warn({ base: name }, 'an unfinished volume of a base was deleted');
  };
  const tidy = async () => {
    await keeper.tidy();
    await tidyBases().catch(warn('volumes of bases cannot be looked after now'));
    log.debug('tidied');
    void wiper.run();
  };
  const tidying = createSchedule(HOURLY, tidy, log);
  await tidying.start();
  const trim = () => drivers.consoles.trim().catch(warn("guests' console logs cannot be cut now"));
  const trimming = createSchedule(EVERY_MINUTE, trim, log);
  await trimming.start();
  void tidy();
  const recovery = setInterval(() => void settle(), RECOVERY_INTERVAL_MS);
  log.info({ address, port, pid: process.pid }, 'listening');

  return {
    address,
    port,
    reload: server.reload,
    healthy: server.healthy,
    async close() {
      log.info('stopping: no new calls; jobs go on');
      clearInterval(recovery);
      await server.close();
      await tidying.stop();
      await trimming.stop();
      await bases.stop();
      await samples.stop();
      await wiper.stop();
      log.info('stopped');
    },
  };
}

/** The process of a job: runs it in its folder to its end. Returns the exit code: 0 succeeded, 1 failed. */
export async function runJobHere({ config: set, folder }: AppOptions & { folder: string }): Promise<number> {
  const log = pino({ level: 'silent' });
  // Who starts a guest, or has a disk open, is a process of the node, which this one's /proc does not show.
  const proc_dir = set.proc_dir === '/proc' ? jobFolder(folder).node_proc_dir : set.proc_dir;
  const config = Object.freeze({ ...set, proc_dir });
  const drivers = createDrivers(config, log);
  const cancel = new AbortController();
  process.on('SIGTERM', () => cancel.abort());
  process.on('SIGINT', () => cancel.abort());
  const { hypervisor, disks, guests, locks, templates, systems } = drivers;
  const status = await runJob(folder, {
    runner: drivers.runner,
    locks: drivers.locks,
    plans: {
      reinstall: reinstallPlan({
        config,
        guests,
        templates,
        systems,
        bases: createBaseKeeper(config, drivers),
        hypervisor,
        locks,
        disks,
        node_name: nodeName(config),
        kernel: () => guestKernel(config),
        figures: async () => describeHost(await hostFigures(config.provisioning_mount_point)),
      }),
      fsck: fsckPlan({ hypervisor, locks, disks }),
    },
    systems,
    scripts_dir: config.scripts_dir,
    mount_dir: config.provisioning_mount_point,
    signal: cancel.signal,
    onDefect: (thrown) =>
      process.stderr.write(`${thrown instanceof Error ? thrown.stack : String(thrown)}\n`),
  });
  return status.state === 'succeeded' ? 0 : 1;
}
