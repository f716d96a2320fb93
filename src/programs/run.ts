import { setTimeout as sleep } from 'node:timers/promises';
import { AgentError } from '../core/errors.ts';
import type { Move } from '../core/moves.ts';
import { VERSION } from '../core/version.ts';
import { parseVpsId, type VpsId } from '../core/vps.ts';
import { migrateProgram } from './migrate.ts';
import { POSITIONAL_PROGRAMS } from './positional.ts';
import { type LocalAgent, type OperationRequest, type Program, type Request, UsageError } from './program.ts';
import { createProgress } from './progress.ts';
import { reinstallProgram } from './reinstall.ts';
import { readSecret, type Terminal } from './secret.ts';

const POLL_MS = 500;

/** The programs of DTC-Xen, by the names that they are called by. */
export const PROGRAMS: Readonly<Record<string, Program>> = {
  ...POSITIONAL_PROGRAMS,
  dtc_reinstall_os: reinstallProgram,
  'dtc-xen_migrate': migrateProgram,
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
  return request.follow && vps ? follow(agent, vps, request.follow === 'log', terminal) : 0;
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

async function perform(agent: LocalAgent, request: Exclude<Request, 'help'>, terminal: Terminal) {
  if (request === 'volume group') {
    terminal.output.write(`${await agent.volumeGroup()}\n`);
    return 0;
  }
  if ('move' in request) return move(agent, request.move, terminal);
  if (!('receive' in request)) return callOperation(agent, request, terminal);
  if (terminal.input.isTTY) throw new UsageError('--receive is for the sending node, over ssh.');
  await agent.moves.receive(request.receive, terminal);
  return 0;
}

/**
 * Runs a program of {@link PROGRAMS}.
 *
 * @param open makes the agent of a configuration
 * @returns the exit code: 0 done, 1 refused or failed, 2 wrong usage
 */
export async function runProgram(
  name: string,
  argv: readonly string[],
  open: (config_file: string) => Promise<LocalAgent>,
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
    return await perform(await open(config_file), request, terminal);
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
