// The composition of the daemon: what answers calls, takes samples, and looks after what was left.
import { once } from 'node:events';
import type { Logger } from 'pino';
import {
  type AppOptions,
  agentProgram,
  createBaseKeeper,
  createDrivers,
  createJobKeeper,
  createSampler,
  type Drivers,
  makeFolders,
} from './app.ts';
import { createNightlyRefresh, nightlyTime, REFRESH_UNIT } from './base/nightly.ts';
import type { Config } from './config/schema.ts';
import { createDispatch } from './core/dispatch.ts';
import { asAgentError, errorFields } from './core/errors.ts';
import { createLog } from './core/log.ts';
import { createRegistry } from './core/registry.ts';
import type { VpsId } from './core/vps.ts';
import { ensureCertificate } from './drivers/certificate.ts';
import { nodeName } from './drivers/host.ts';
import { createLvmRemoved } from './drivers/lvm-removed.ts';
import { whyNotListening } from './drivers/port-holder.ts';
import { createRunner } from './drivers/run.ts';
import { createServiceManager, type ServiceManager } from './drivers/service-manager.ts';
import { createLostReboots } from './jobs/lost-reboots.ts';
import { createSystemKeeper } from './jobs/systems/keeper.ts';
import { createWiper } from './jobs/wiper.ts';
import { operations } from './operations/index.ts';
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

/** What systemd is told of the daemon; `env` is this process's. */
function createService({ program_path: path }: Config, log: Logger, env: NodeJS.ProcessEnv): ServiceManager {
  return createServiceManager({
    runner: createRunner({ path }),
    env,
    onTrouble: (what, err) => log.error(err === undefined ? {} : { err }, what),
  });
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
    void wiper.look();
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
  const { address, port } = await server.listen().catch(async (error: NodeJS.ErrnoException) => {
    const why = await whyNotListening(error, config.listen_address, config.listen_port);
    throw why === undefined ? error : new Error(why, { cause: error });
  });
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

const listening = ({ address, port }: Agent) => `Listening on ${address}, port ${port}`;

async function reload(agent: Agent, service: ServiceManager): Promise<void> {
  await service.reloading();
  const done = await agent.reload();
  await service.ready(
    done ? listening(agent) : `${listening(agent)}; the new certificate cannot be used, see the log`,
  );
}

/** The daemon's process: starts the agent, and ends at SIGTERM or SIGINT; SIGHUP reloads. Returns the exit code. */
export async function serve({ config, config_file }: AppOptions): Promise<number> {
  const log = createLog(config);
  const service = createService(config, log, process.env);
  let agent: Agent | undefined;
  // From the start: a reload that comes too early must not end the agent, as SIGHUP does by itself.
  process.on('SIGHUP', () => void (agent && reload(agent, service)));
  try {
    agent = await startAgent({ config, config_file, log });
  } catch (error) {
    log.fatal({ err: error }, `the agent cannot start: ${error instanceof Error ? error.message : error}`);
    return 1;
  }
  const ended = Promise.race([once(process, 'SIGTERM'), once(process, 'SIGINT')]);
  await service.ready(listening(agent));
  service.watch(agent.healthy);
  await ended;
  await service.stopping();
  await agent.close();
  return 0;
}
