// The composition of what an admin does by hand, here and now, beside the daemon or without it.
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { pino } from 'pino';
import {
  type AppOptions,
  createBaseKeeper,
  createDrivers,
  createJobKeeper,
  createSampler,
  type Drivers,
  makeFolders,
} from './app.ts';
import { exitCodeOf } from './app-setup.ts';
import { baseCommand } from './base/command.ts';
import type { Config } from './config/schema.ts';
import { debianSystem, type InstallScriptOptions } from './core/bases.ts';
import { createDispatch } from './core/dispatch.ts';
import { AgentError } from './core/errors.ts';
import { configFor, type OwnSettings } from './core/own-settings.ts';
import { createRegistry } from './core/registry.ts';
import { createUnderLock } from './core/under-lock.ts';
import { guestKernel, isFolder, nodeName } from './drivers/host.ts';
import { createLvmReports } from './drivers/lvm-group.ts';
import { createLvmProgram } from './drivers/lvm-program.ts';
import type { JobKeeper } from './jobs/jobs.ts';
import { createMoves } from './migrate/moves.ts';
import { operations } from './operations/index.ts';
import { configureGuest } from './programs/configure.ts';
import type { LocalAgent } from './programs/program.ts';

/** Signals at which what was begun is brought to an end that leaves nothing behind. */
const ENDING = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const;

/** Makes sure that what an admin says for one VPS is there, before anything is touched. */
async function requireUsable(config: Config, own: OwnSettings, { guests }: Drivers): Promise<void> {
  if (own.mac !== undefined) await guests.requireFreeMac(own.vps, own.mac);
  const { KERNELPATH, INITRDPATH, KMOD_PATH } = own.config;
  if (KERNELPATH !== undefined || INITRDPATH !== undefined) await guestKernel(config);
  if (KMOD_PATH !== undefined && !(await isFolder(KMOD_PATH)))
    throw new AgentError(
      'not_found',
      `There is no folder ${KMOD_PATH} of kernel modules. Nothing was touched.`,
    );
}

/** Jobs that know what an admin says for one VPS. */
function jobsFor(jobs: JobKeeper, own: OwnSettings | undefined): JobKeeper {
  if (!own) return jobs;
  return {
    ...jobs,
    start: (kind, vps, request, secret) =>
      jobs.start(kind, vps, kind === 'reinstall' ? { ...request, own } : request, secret),
  };
}

/**
 * Opens the agent's operations, and moves, for use here and now, without the daemon; `env` is this process's. `own` is what one
 * VPS has in the place of what the configuration says.
 */
export async function openLocally({
  config: node,
  config_file,
  env = {},
  own,
}: AppOptions & { env?: NodeJS.ProcessEnv; own?: OwnSettings | undefined }): Promise<LocalAgent> {
  const config = configFor(node, own);
  await makeFolders(config);
  const log = pino({ level: 'silent' });
  const drivers = createDrivers(config, log, { own });
  const jobs = jobsFor(createJobKeeper({ config, config_file }, drivers), own);
  const sampler = createSampler(config, drivers, log);
  const refuse = () =>
    Promise.reject(
      new AgentError('not_allowed', 'The running daemon alone hands out samples; ask it over SOAP.'),
    );
  const samples = { counters: sampler.counters, take: refuse, confirm: refuse };
  const registry = createRegistry(operations);
  const dispatch = createDispatch({ registry, config, ports: { ...drivers, jobs, samples }, log });
  const underLock = createUnderLock({ ports: { ...drivers, jobs }, log });
  const { send, receive } = createMoves({
    ports: drivers,
    underLock,
    runner: drivers.runner,
    node_name: nodeName(config),
    ssh_env: env['SSH_AUTH_SOCK'] === undefined ? {} : { SSH_AUTH_SOCK: env['SSH_AUTH_SOCK'] },
  });
  const kernel = () => guestKernel(config);
  return {
    jobs,
    configure: (order) => configureGuest({ ...drivers, config, underLock, kernel }, order),
    installing: env['DTC_XEN_VPS'],
    requireOwn: async () => own && requireUsable(config, own, drivers),
    moves: {
      send,
      receive(vps, connection) {
        const why = new AgentError('program_failed', `The receiving of ${vps.name} was ended by a signal.`);
        for (const signal of ENDING) process.once(signal, () => connection.input.destroy(why));
        return receive(vps, connection);
      },
    },
    volumeGroup: createLvmReports({
      lvm: createLvmProgram({ runner: drivers.runner, config }),
      ...{ config, timeout_ms: 30_000 },
    }).groupName,
    call: (operation, params) =>
      dispatch(
        {
          ...{ dialect: 'modern', soap: '1.1', operation, namespace: '' },
          params: Object.entries(params).map(([name, value]) => ({ name, value })),
        },
        { user: config.admin_user, address: 'this node', stillKnown: async () => true },
      ),
  };
}

/** Values by their parameters' names where each is NAME=VALUE of one that the operation has, else by their places. */
function namedValues(
  operation: string,
  values: readonly string[],
): (readonly [name: string, value: string])[] {
  const names = Object.keys(operations.find(({ name }) => name === operation)?.input.shape ?? {});
  const pairs = values.map((value) => {
    const [name = '', ...rest] = value.split('=');
    return rest.length > 0 && names.includes(name) ? ([name, rest.join('=')] as const) : undefined;
  });
  return pairs.every((pair) => pair !== undefined)
    ? pairs
    : values.map((value, at) => [`v${at + 1}`, value] as const);
}

/**
 * Does one operation here and now, as the admin, under the same locks and refusals as the daemon. The value `-` is read
 * from standard input, for passwords; values may be NAME=VALUE. Prints the answer as JSON, or the refusal. Returns the exit code.
 */
export async function callByHand({
  operation,
  values,
  ...options
}: AppOptions & { operation: string; values: readonly string[] }): Promise<number> {
  const agent = await openLocally(options);
  const params: Record<string, string> = {};
  for (const [name, value] of namedValues(operation, values))
    params[name] = value === '-' ? (await text(process.stdin)).replace(/\r?\n$/, '') : value;
  const outcome = await agent.call(operation, params);
  if (!outcome.ok) {
    process.stderr.write(`${outcome.error.code}: ${outcome.error.message}\n`);
    return 1;
  }
  process.stdout.write(`${JSON.stringify(outcome.output, undefined, 2)}\n`);
  await outcome.answered(true);
  return 0;
}

/**
 * Does `base list|refresh|drop` here and now; answers go to standard output, what is done to standard error. Returns the exit
 * code, 2 where the words cannot be understood.
 */
export async function baseByHand({
  config,
  words,
}: Omit<AppOptions, 'config_file'> & { words: readonly string[] }): Promise<number> {
  await makeFolders(config);
  const drivers = createDrivers(config, pino({ level: 'silent' }));
  const cancel = new AbortController();
  for (const signal of ENDING) process.once(signal, () => cancel.abort());
  const context = {
    signal: cancel.signal,
    log: (line: string) => void process.stderr.write(`${line}\n`),
    script: (name: string, args: readonly string[], options: InstallScriptOptions) =>
      drivers.runner.check({
        label: `script ${name}`,
        program: join(config.scripts_dir, name),
        args,
        ...options,
        signal: cancel.signal,
        onOutput: (chunk) => void process.stderr.write(chunk),
      }),
  };
  const understood = baseCommand(words, {
    bases: createBaseKeeper(config, drivers),
    system: debianSystem(config),
    max_age_days: config.base_max_age_days,
    context,
    print: (line) => void process.stdout.write(`${line}\n`),
  });
  return exitCodeOf(understood);
}
