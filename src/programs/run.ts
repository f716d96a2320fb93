import { setTimeout as sleep } from 'node:timers/promises';
import { AgentError } from '../core/errors.ts';
import type { Move } from '../core/moves.ts';
import type { OwnSettings } from '../core/own-settings.ts';
import { VERSION } from '../core/version.ts';
import { parseVpsId, type VpsId } from '../core/vps.ts';
import { guestConfigProgram } from './guest-config.ts';
import { migrateProgram } from './migrate.ts';
import { POSITIONAL_PROGRAMS } from './positional.ts';
import {
  type ConfigureRequest,
  type LocalAgent,
  type OperationRequest,
  type Program,
  type Request,
  UsageError,
} from './program.ts';
import { createProgress } from './progress.ts';
import { reinstallProgram } from './reinstall.ts';
import { readSecret, type Terminal } from './secret.ts';

const POLL_MS = 500;

/** The programs of DTC-Xen, by the names that they are called by. */
export const PROGRAMS: Readonly<Record<string, Program>> = {
  ...POSITIONAL_PROGRAMS,
  dtc_reinstall_os: reinstallProgram,
  'dtc-xen_migrate': migrateProgram,
  'dtc-xen_domU_gen_xen_conf': guestConfigProgram,
};

/** Waits for the end of a VPS's newest job, and says how it ended. Returns the exit code. */
async function follow(agent: LocalAgent, vps: VpsId, log: boolean, terminal: Terminal): Promise<number> {
  let told = 0;
  for (;;) {
    const job = await agent.jobs.last(vps);
    if (log) {
      const text = (await agent.jobs.installLog(vps, 0)) ?? '';
      terminal.output.write(text.slice(told));
      told = text.length;
    }
    if (job === undefined || job.ended !== undefined) {
      const done = job?.state === 'succeeded';
      (done ? terminal.output : terminal.messages).write(`${job?.message ?? 'The job is gone.'}\n`);
      return done ? 0 : 1;
    }
    await sleep(POLL_MS);
  }
}

async function callOperation(
  agent: LocalAgent,
  request: OperationRequest,
  terminal: Terminal,
): Promise<number> {
  const secret = request.secret ? await readSecret(request.secret, terminal) : {};
  const outcome = await agent.call(request.operation, { ...request.params, ...secret });
  if (!outcome.ok) throw outcome.error;
  terminal.output.write(`${outcome.output['result']}\n`);
  await outcome.answered(true);
  const vps = parseVpsId(request.params['vpsname'] ?? '');
  const code = request.follow && vps ? await follow(agent, vps, request.follow === 'log', terminal) : 0;
  return code === 0 && request.afterwards ? callOperation(agent, request.afterwards, terminal) : code;
}

async function performForOne(
  agent: LocalAgent,
  request: OperationRequest | ConfigureRequest,
  terminal: Terminal,
): Promise<number> {
  const vps = parseVpsId(
    'configure' in request ? request.configure.vpsname : (request.params['vpsname'] ?? ''),
  );
  if (request.is_installations && vps && agent.installing === vps.name) {
    terminal.output.write(
      `${vps.name} is being installed: the agent writes its configuration when the system is whole. Nothing was written now.\n`,
    );
    return 0;
  }
  await agent.requireOwn();
  if (request.volume_group !== undefined) await requireGroup(agent, request.volume_group);
  if (!('configure' in request)) return callOperation(agent, request, terminal);
  terminal.output.write(`${await agent.configure(request.configure)}\n`);
  return 0;
}

async function move(agent: LocalAgent, order: Move, { output, messages }: Terminal): Promise<number> {
  const progress = createProgress(messages);
  try {
    output.write(
      await agent.moves.send(order, {
        onProgress: progress.show,
        onWarning(told) {
          progress.clear();
          messages.write(`${told}\n`);
        },
      }),
    );
  } finally {
    progress.clear();
  }
  return 0;
}

/** A figure of getFreeSpace. */
async function printFree(agent: LocalAgent, figure: 'disk_mb' | 'memory_mb', { output }: Terminal) {
  const outcome = await agent.call('getFreeSpace', {});
  if (!outcome.ok) throw outcome.error;
  output.write(`${outcome.output[figure]}\n`);
  return 0;
}

/** Makes sure of what was said of the volume group. */
async function requireGroup(agent: LocalAgent, wanted: string): Promise<void> {
  const group = await agent.volumeGroup();
  if (group === wanted) return;
  throw new AgentError(
    'invalid_value',
    `--lvm-name is ${wanted}, and the disks of VPSes are in the volume group ${group}: see provisioning_volgroup in dtc-xen.conf. Nothing was touched.`,
  );
}

async function perform(agent: LocalAgent, request: Exclude<Request, 'help'>, terminal: Terminal) {
  if (request === 'volume group') {
    terminal.output.write(`${await agent.volumeGroup()}\n`);
    return 0;
  }
  if (request === 'free disk') return printFree(agent, 'disk_mb', terminal);
  if (request === 'free memory') return printFree(agent, 'memory_mb', terminal);
  if ('move' in request) return move(agent, request.move, terminal);
  if (!('receive' in request)) return performForOne(agent, request, terminal);
  if (terminal.input.isTTY) throw new UsageError('--receive is for the sending node, over ssh.');
  await agent.moves.receive(request.receive, terminal);
  return 0;
}

/**
 * Runs a program of {@link PROGRAMS}.
 *
 * @param open makes the agent of a configuration, and of what one VPS has in its place
 * @returns the exit code: 0 done, 1 refused or failed, 2 wrong usage
 */
export async function runProgram(
  name: string,
  argv: readonly string[],
  open: (config_file: string, own?: OwnSettings) => Promise<LocalAgent>,
  terminal: Terminal,
): Promise<number> {
  const program = PROGRAMS[name];
  if (!program) throw new Error(`there is no program ${name}`);
  const end = argv.indexOf('--');
  if (argv.slice(0, end < 0 ? undefined : end).includes('--version')) {
    terminal.output.write(`${name} ${VERSION}\n`);
    return 0;
  }
  if (argv.length === 0 && program.needs_arguments) {
    terminal.messages.write(program.usage);
    return 2;
  }
  try {
    const { request, config_file } = program.parse(argv);
    if (request === 'help') {
      terminal.output.write(program.usage);
      return 0;
    }
    const own = typeof request === 'object' && 'own' in request ? request.own : undefined;
    return await perform(await open(config_file, own), request, terminal);
  } catch (error) {
    if (error instanceof UsageError) {
      terminal.messages.write(`${name}: ${error.message}\n\n${program.usage}`);
      return 2;
    }
    if (!(error instanceof AgentError)) throw error;
    terminal.messages.write(`${name}: ${error.message}\n`);
    return 1;
  }
}
