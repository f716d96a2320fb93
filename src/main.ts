import { once } from 'node:events';
import { basename } from 'node:path';
import { parseArgs } from 'node:util';
import { type Agent, createLog, createService, runJobHere, startAgent } from './app.ts';
import { baseByHand, callByHand, openLocally } from './app-by-hand.ts';
import { setUpByHand } from './app-setup.ts';
import { ConfigError, DEFAULT_CONFIG, loadConfig } from './config/load.ts';
import { AGENT_USAGE } from './docs/agent-usage.ts';
import { PROGRAMS, runProgram } from './programs/run.ts';

type Service = ReturnType<typeof createService>;

function parse(argv: readonly string[]) {
  return parseArgs({
    args: [...argv],
    allowPositionals: true,
    options: { config: { type: 'string', default: DEFAULT_CONFIG }, help: { type: 'boolean' } },
  });
}

const listening = ({ address, port }: Agent) => `Listening on ${address}, port ${port}`;

async function reload(agent: Agent, service: Service): Promise<void> {
  await service.reloading();
  const done = await agent.reload();
  await service.ready(
    done ? listening(agent) : `${listening(agent)}; the new certificate cannot be used, see the log`,
  );
}

async function serve(config_file: string): Promise<number> {
  const config = loadConfig(config_file);
  const log = createLog(config);
  const service = createService(config, log, process.env);
  let agent: Agent | undefined;
  // From the start: a reload that comes too early must not end the agent, as SIGHUP does by itself.
  process.on('SIGHUP', () => void (agent && reload(agent, service)));
  try {
    agent = await startAgent({ config, config_file, log });
  } catch (error) {
    log.fatal({ err: error }, 'the agent cannot start');
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

async function main(argv: readonly string[]): Promise<number> {
  let parsed: ReturnType<typeof parse>;
  try {
    parsed = parse(argv);
  } catch (error) {
    process.stderr.write(`dtc-xen-agent: ${(error as Error).message}\n\n${AGENT_USAGE}`);
    return 2;
  }
  const { values, positionals } = parsed;
  const [command = 'serve', ...args] = positionals;
  const config_file = values.config;
  if (values.help) {
    process.stdout.write(AGENT_USAGE);
    return 0;
  }
  if (command === 'serve' && args.length === 0) return serve(config_file);
  if (command === 'job' && args[0] !== undefined && args.length === 1) {
    return runJobHere({ config: loadConfig(config_file), config_file, folder: args[0] });
  }
  if (command === 'call' && args[0] !== undefined) {
    const [operation, ...values] = args;
    return callByHand({ config: loadConfig(config_file), config_file, operation, values });
  }
  if (command === 'base') {
    const code = await baseByHand({ config: loadConfig(config_file), words: args });
    if (code !== 2) return code;
  }
  if (command === 'config' || command === 'passwd') {
    const code = await setUpByHand(config_file, positionals);
    if (code !== 2) return code;
  }
  if (command === 'check-config' && args.length === 0) {
    loadConfig(config_file);
    process.stdout.write(`${config_file} can be used.\n`);
    return 0;
  }
  process.stderr.write(
    `dtc-xen-agent: this cannot be understood: ${positionals.join(' ')}\n\n${AGENT_USAGE}`,
  );
  return 2;
}

/** This program by the name of one of DTC-Xen's, or by its own. */
function called(name: string, argv: readonly string[]): Promise<number> {
  if (!Object.hasOwn(PROGRAMS, name)) return main(argv);
  const { stdin: input, stdout: output, stderr: messages } = process;
  const open = (config_file: string) =>
    openLocally({ config: loadConfig(config_file), config_file, env: process.env });
  return runProgram(name, argv, open, { input, output, messages });
}

try {
  process.exitCode = await called(basename(process.argv[1] ?? ''), process.argv.slice(2));
} catch (error) {
  if (!(error instanceof ConfigError)) throw error;
  process.stderr.write(`dtc-xen-agent: ${error.message}\n`);
  process.exitCode = 2;
}
