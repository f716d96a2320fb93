// The composition of what sets a node up: the configuration file and the SOAP users, without the daemon.
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { loadConfig, parseConfig } from './config/load.ts';
import type { Config } from './config/schema.ts';
import { AgentError } from './core/errors.ts';
import type { FileLocks, PasswordFile } from './core/ports.ts';
import type { Runner } from './core/runner.ts';
import { sampleConfig } from './docs/sample-config.ts';
import { renewCertificate } from './drivers/certificate.ts';
import { createFileLocks } from './drivers/flock.ts';
import { nodeName } from './drivers/host.ts';
import { createPasswordFile } from './drivers/htpasswd.ts';
import { createPasswordHasher } from './drivers/htpasswd-hash.ts';
import { createRunner } from './drivers/run.ts';
import { selfCheck } from './drivers/self-check.ts';
import { setupCommand } from './setup/command.ts';
import { createProbes } from './setup/try-values.ts';
import { readTls } from './transport/tls.ts';

/** The SOAP users' passwords, in etc_dir. */
export function createPasswords(
  { etc_dir, run_dir, scripts_dir }: Config,
  runner: Runner,
  locks: FileLocks,
): PasswordFile {
  return createPasswordFile({
    path: join(etc_dir, 'htpasswd'),
    hasher: createPasswordHasher(runner, join(scripts_dir, 'dtc-xen-crypt')),
    locks,
    lock_path: join(run_dir, 'htpasswd.lock'),
  });
}

async function passwordsAlone(config_file: string): Promise<PasswordFile> {
  const config = loadConfig(config_file);
  await mkdir(config.run_dir, { recursive: true, mode: 0o711 });
  const runner = createRunner({ path: config.program_path });
  return createPasswords(config, runner, createFileLocks(runner));
}

async function renew(config_file: string, words: readonly string[]): Promise<boolean> {
  const [verb, force, ...more] = words;
  if (verb !== 'renew' || (force !== undefined && force !== 'force') || more.length > 0) return false;
  const config = loadConfig(config_file);
  const path = await renewCertificate({
    etc_dir: config.etc_dir,
    node_name: nodeName(config),
    passphrase: config.cert_passphrase,
    runner: createRunner({ path: config.program_path }),
    force: force !== undefined,
  });
  process.stdout.write(
    `${path} was made anew. Take it into use: systemctl reload dtc-xen-agent. Give it to the clients that check it.\n`,
  );
  return true;
}

/**
 * Does `cert renew [force]`. Returns the exit code, 2 where the words cannot be understood.
 *
 * @throws ConfigError
 */
export const renewByHand = (config_file: string, words: readonly string[]): Promise<number> =>
  exitCodeOf(renew(config_file, words));

/**
 * Says whether the configuration file can be used, and what an admin should change on the node beside it. Returns the exit code.
 *
 * @throws ConfigError
 */
export async function checkByHand(config_file: string): Promise<number> {
  const config = loadConfig(config_file);
  for (const note of await selfCheck({ config, runner: createRunner({ path: config.program_path }) }))
    process.stdout.write(`${note}\n`);
  process.stdout.write(`${config_file} can be used.\n`);
  return 0;
}

/**
 * The exit code of a command of the agent: 0 done, 2 where its words were not understood, 1 refused or failed, which is told on
 * standard error. Rejects with what is no AgentError.
 */
export async function exitCodeOf(understood: Promise<boolean>): Promise<0 | 1 | 2> {
  try {
    return (await understood) ? 0 : 2;
  } catch (error) {
    if (!(error instanceof AgentError)) throw error;
    process.stderr.write(`${error.code}: ${error.message}\n`);
    return 1;
  }
}

/**
 * Does `config get|set|take-over` or `passwd`, here and now. Returns the exit code, 2 where the words cannot be understood.
 *
 * @throws ConfigError
 */
export async function setUpByHand(config_file: string, words: readonly string[]): Promise<number> {
  const understood = setupCommand(words, {
    config_file,
    sample: sampleConfig(),
    readTls,
    probes: createProbes(createRunner({ path: parseConfig('').program_path })),
    config: () => loadConfig(config_file),
    passwords: () => passwordsAlone(config_file),
    input: () => text(process.stdin),
    print: (line) => void process.stdout.write(`${line}\n`),
  });
  return exitCodeOf(understood);
}
