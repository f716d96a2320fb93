// One program by several names. What a command does not need is not loaded: a job, and a program by hand, start without the server.
import { basename } from 'node:path';
import { parseArgs } from 'node:util';
import { ConfigError, DEFAULT_CONFIG, loadConfig } from './config/load.ts';
import { hideArguments } from './core/argument-list.ts';
import type { OwnSettings } from './core/own-settings.ts';
import { VERSION } from './core/version.ts';
import { AGENT_USAGE } from './docs/agent-usage.ts';
import { PROGRAMS, runProgram } from './programs/run.ts';

function parse(argv: readonly string[]) {
  return parseArgs({
    args: [...argv],
    allowPositionals: true,
    options: {
      config: { type: 'string', default: DEFAULT_CONFIG },
      help: { type: 'boolean' },
      version: { type: 'boolean' },
    },
  });
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
  const [command, ...args] = positionals;
  const config_file = values.config;
  if (values.help) {
    process.stdout.write(AGENT_USAGE);
    return 0;
  }
  if (values.version) {
    process.stdout.write(`dtc-xen-agent ${VERSION}\n`);
    return 0;
  }
  if (command === undefined) {
    process.stderr.write(AGENT_USAGE);
    return 2;
  }
  if (command === 'serve' && args.length === 0) {
    const { serve } = await import('./app-daemon.ts');
    return serve({ config: loadConfig(config_file), config_file });
  }
  if (command === 'job' && args[0] !== undefined && args.length === 1) {
    const { runJobHere } = await import('./app-job.ts');
    return runJobHere({ config: loadConfig(config_file), config_file, folder: args[0] });
  }
  if (command === 'call' && args[0] !== undefined) {
    const [operation, ...values] = args;
    const { callByHand } = await import('./app-by-hand.ts');
    return callByHand({ config: loadConfig(config_file), config_file, operation, values });
  }
  if (command === 'base') {
    const { baseByHand } = await import('./app-by-hand.ts');
    const code = await baseByHand({ config: loadConfig(config_file), words: args });
    if (code !== 2) return code;
  }
  if (command === 'config' || command === 'passwd') {
    const { setUpByHand } = await import('./app-setup.ts');
    const code = await setUpByHand(config_file, positionals);
    if (code !== 2) return code;
  }
  if (command === 'cert') {
    const { renewByHand } = await import('./app-setup.ts');
    const code = await renewByHand(config_file, args);
    if (code !== 2) return code;
  }
  if (command === 'check-config' && args.length === 0) {
    const { checkByHand } = await import('./app-setup.ts');
    return checkByHand(config_file);
  }
  process.stderr.write(
    `dtc-xen-agent: this cannot be understood: ${positionals.join(' ')}\n\n${AGENT_USAGE}`,
  );
  return 2;
}

/** This program by the name of one of DTC-Xen's, or by its own. */
function called(name: string, argv: readonly string[]): Promise<number> {
  if (!Object.hasOwn(PROGRAMS, name)) return main(argv);
  hideArguments(name);
  const { stdin: input, stdout: output, stderr: messages } = process;
  const open = async (config_file: string, own?: OwnSettings) => {
    const { openLocally } = await import('./app-by-hand.ts');
    return openLocally({ config: loadConfig(config_file), config_file, env: process.env, own });
  };
  return runProgram(name, argv, open, { input, output, messages });
}

try {
  process.exitCode = await called(basename(process.argv[1] ?? ''), process.argv.slice(2));
} catch (error) {
  if (!(error instanceof ConfigError)) throw error;
  process.stderr.write(`dtc-xen-agent: ${error.message}\n`);
  process.exitCode = 2;
}
