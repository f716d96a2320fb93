// Starts the real daemon over a fake node, in folders of its own, as a process of its own.
import { execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { ConfigKey } from '../src/config/schema.ts';
import { CERTIFICATE_FILES } from '../src/core/tls-files.ts';
import type { FakeNode } from './fakes/fake-node.ts';

const ROOT = join(import.meta.dirname, '..');
/** The built program. */
export const BUNDLE = join(ROOT, 'dist/dtc-xen-agent.mjs');
const START_LIMIT_MS = 120_000;
const STOP_LIMIT_MS = 60_000;

/** What the daemon's folders hold before it starts, and how it is configured. */
export interface DaemonOptions {
  readonly fakeNode: FakeNode;
  /** Over the settings that keep it in its own folders. */
  readonly config?: Partial<Record<ConfigKey, string>>;
  /** A folder of an earlier daemon, to go on in; {@link makeDaemonFolder} makes one. */
  readonly folder?: DaemonFolder;
  /** A program with its arguments, such as strace, that starts the daemon and becomes it. */
  readonly under?: readonly string[];
}

/** A daemon's folders; etc/, xen/ and so on lie below. */
export interface DaemonFolder {
  readonly path: string;
  readonly user: string;
  readonly password: string;
  remove(): void;
}

/** A line of the daemon's log. */
export interface LogLine {
  readonly msg?: string;
  readonly [key: string]: unknown;
}

/** A daemon that listens. */
export interface Daemon {
  readonly url: string;
  readonly port: number;
  readonly pid: number;
  /** File of the certificate that the daemon made, for the name localhost; clients trust it alone. */
  readonly ca: string;
  /** The admin user. */
  readonly user: string;
  readonly password: string;
  readonly folder: DaemonFolder;
  readonly config_file: string;
  /** What it has logged so far. */
  logs(): readonly LogLine[];
  /** SIGTERM, and its end. Removes the folder where startDaemon made it. @returns the exit code */
  stop(): Promise<number | null>;
  /** SIGKILL, and its end; the folder stays. */
  kill(): Promise<void>;
}

/** Makes a daemon's folders, with an admin user whom `htpasswd` put there. */
export function makeDaemonFolder(): DaemonFolder {
  const path = mkdtempSync(join(tmpdir(), 'dtc-xen-agent-'));
  for (const folder of ['etc', 'xen/auto', 'state', 'run', 'mnt', 'os', 'app']) {
    mkdirSync(join(path, folder), { recursive: true });
  }
  const [user, password] = ['dtc-xen', randomBytes(12).toString('base64url')];
  execFileSync('htpasswd', ['-i', '-B', '-c', join(path, 'etc/htpasswd'), user], {
    input: password,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  return { path, user, password, remove: () => rmSync(path, { recursive: true, force: true }) };
}

function settings(folder: string, node: FakeNode): Partial<Record<ConfigKey, string>> {
  return {
    listen_address: '127.0.0.1',
    listen_port: '0',
    node_name: 'localhost',
    log_level: 'debug',
    job_runner: 'detached',
    // Delivered is yes; what a removed disk leaves would come and go beside what most tests look at.
    wipe_removed_disks: 'no',
    etc_dir: join(folder, 'etc'),
    xen_dir: join(folder, 'xen'),
    state_dir: join(folder, 'state'),
    run_dir: join(folder, 'run'),
    console_log_dir: join(folder, 'console'),
    provisioning_mount_point: join(folder, 'mnt'),
    os_dir: join(folder, 'os'),
    app_dir: join(folder, 'app'),
    scripts_dir: join(ROOT, 'scripts'),
    program_path: node.program_path,
    dev_dir: node.dev_dir,
    proc_dir: node.proc_dir,
    sys_dir: node.sys_dir,
    xen_log_dir: node.xen_log_dir,
    xen_save_dir: node.xen_save_dir,
  };
}

/** Writes the configuration that keeps an agent in a folder of its own; `config` goes before it. Returns its path. */
export function writeConfig(
  folder: string,
  node: FakeNode,
  config: Partial<Record<ConfigKey, string>> = {},
): string {
  const config_file = join(folder, 'dtc-xen.conf');
  const lines = Object.entries({ ...settings(folder, node), ...config });
  writeFileSync(config_file, lines.map(([key, value]) => `${key}='${value}'\n`).join(''));
  return config_file;
}

/** Whether the bundle is built, and of the sources as they are now. */
function bundleIsFresh(): boolean {
  if (!existsSync(BUNDLE)) return false;
  const built_ms = statSync(BUNDLE).mtimeMs;
  const sources = readdirSync(join(ROOT, 'src'), { recursive: true, withFileTypes: true });
  return sources.every((file) => statSync(join(file.parentPath, file.name)).mtimeMs <= built_ms);
}

/** Node's words for the agent: the bundle where it is fresh, as an installed one runs; else the sources. */
export const agentProgram = () =>
  bundleIsFresh() ? [BUNDLE] : ['--import', import.meta.resolve('tsx'), join(ROOT, 'src/main.ts')];

/**
 * Starts the daemon and waits until it listens.
 *
 * @throws Error with what it logged, where it ends or stays silent instead
 */
export async function startDaemon({
  fakeNode,
  config = {},
  folder,
  under = [],
}: DaemonOptions): Promise<Daemon> {
  const place = folder ?? makeDaemonFolder();
  const config_file = writeConfig(place.path, fakeNode, config);

  const [program = '', ...args] = [...under, process.execPath, ...agentProgram()];
  const child = spawn(program, [...args, 'serve', '--config', config_file], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const logged: LogLine[] = [];
  const output: string[] = [];
  const exited = once(child, 'exit');
  createInterface({ input: child.stderr }).on('line', (line) => output.push(line));
  const port = await new Promise<number>((resolve, reject) => {
    const fail = (why: string) => {
      clearTimeout(timer);
      child.kill('SIGKILL');
      reject(new Error(`${why}\n${output.join('\n')}`));
    };
    const timer = setTimeout(() => fail('the daemon does not listen'), START_LIMIT_MS);
    const onExit = (code: number | null, by: NodeJS.Signals | null) =>
      fail(`the daemon ended with ${code ?? by}`);
    child.once('exit', onExit);
    createInterface({ input: child.stdout }).on('line', (line) => {
      output.push(line);
      const entry = JSON.parse(line) as LogLine;
      logged.push(entry);
      if (entry.msg !== 'listening' || typeof entry['port'] !== 'number') return;
      clearTimeout(timer);
      child.off('exit', onExit);
      resolve(entry['port']);
    });
  });

  const signal = async (name: 'SIGTERM' | 'SIGKILL') => {
    if (child.exitCode === null && child.signalCode === null) child.kill(name);
    const timer = setTimeout(() => child.kill('SIGKILL'), STOP_LIMIT_MS);
    await exited;
    clearTimeout(timer);
  };
  return {
    url: `https://localhost:${port}/`,
    port,
    pid: child.pid ?? 0,
    ca: join(place.path, 'etc', CERTIFICATE_FILES[0]),
    user: place.user,
    password: place.password,
    folder: place,
    config_file,
    logs: () => logged,
    async stop() {
      await signal('SIGTERM');
      if (!folder) place.remove();
      return child.exitCode;
    },
    kill: () => signal('SIGKILL'),
  };
}

/** The certificate's text, for clients which take it so. */
export const readCa = (daemon: Daemon): string => readFileSync(daemon.ca, 'utf8');
