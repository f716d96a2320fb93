// A whole site for tests: a fake node with programs for accounts and small operating system templates, and the real daemon
// on it, called in either dialect.
import { createHash } from 'node:crypto';
import {
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join, relative } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type AgentClient, createAgentClient } from '../src/client/agent-client.ts';
import type { ConfigKey } from '../src/config/schema.ts';
import { type Daemon, makeDaemonFolder, readCa, startDaemon } from './daemon.ts';
import { createFakeNode, type FakeNodeOptions } from './fakes/fake-node.ts';
import { callLegacy, type Decoded, type Endpoint } from './legacy-client.ts';

type Params = Readonly<Record<string, string | number>>;

function writeProgram(path: string, ...lines: string[]): void {
  writeFileSync(path, `#!/bin/sh\nset -e\n${lines.join('\n')}\n`);
  chmodSync(path, 0o755);
}

/** Programs that stand for the machine's user database, which tests must not touch. */
function installAccounts(bin: string, root: string): void {
  const users = join(root, 'users');
  writeFileSync(users, '');
  writeProgram(join(bin, 'getent'), `[ "$1" = passwd ] && grep "^$2:" ${users} && exit 0`, 'exit 2');
  writeProgram(join(bin, 'groupadd'), 'exit 0');
  writeProgram(join(bin, 'usermod'), `grep -q "^$(for last; do :; done; echo "$last"):" ${users}`);
  writeProgram(join(bin, 'pkill'), 'exit 1');
  writeProgram(
    join(bin, 'useradd'),
    'while [ $# -gt 1 ]; do case "$1" in --shell) shell=$2 ;; --home-dir) home=$2 ;; esac; shift; done',
    `echo "$1:x:23456:23456::$home:$shell" >> ${users}`,
  );
  writeProgram(
    join(bin, 'chpasswd'),
    'case "$*" in *--root*) exec /usr/sbin/chpasswd "$@" ;; esac',
    `cat >> ${join(root, 'chpasswd')}`,
  );
}

/** A template `tiny`, installed in a moment, and `slow`, which waits for a file `go` in the site's folder. */
function installTemplates(os_dir: string, root: string): void {
  for (const name of ['tiny', 'slow']) {
    const folder = join(os_dir, name);
    mkdirSync(folder);
    const wait =
      name === 'slow' ? [`while [ -d ${root} ] && [ ! -e ${join(root, 'go')} ]; do sleep 0.1; done`] : [];
    writeProgram(
      join(folder, 'install_os'),
      'while [ "$1" != -path ]; do shift; done',
      'mkdir -p "$2/etc" "$2/root"',
      `echo 'root:x:0:0::/root:/bin/sh' > "$2/etc/passwd"`,
      `echo 'root:*:19000:0:99999:7:::' > "$2/etc/shadow"`,
      `echo 'installing ${name}'`,
      ...wait,
    );
    writeProgram(join(folder, 'custom_os'), 'exit 0');
    writeProgram(join(folder, 'setup_network'), 'exit 0');
  }
}

function hashTree(folder: string, skip: RegExp): Record<string, string> {
  const tree: Record<string, string> = {};
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    const name = relative(folder, path);
    if (skip.test(name)) continue;
    if (entry.isSymbolicLink()) tree[name] = `-> ${readlinkSync(path)}`;
    else if (entry.isFile()) {
      const { size, mode } = statSync(path);
      const content = size < 1 << 20 ? createHash('sha256').update(readFileSync(path)).digest('hex') : '';
      tree[name] = `${mode.toString(8)} ${size} ${content}`;
    }
  }
  return tree;
}

/** Starts a site; `stop` ends it and removes everything. */
export async function startSite(
  options: {
    config?: Partial<Record<ConfigKey, string>>;
    node?: FakeNodeOptions;
    under?: (folder: string) => readonly string[];
  } = {},
) {
  const folder = makeDaemonFolder();
  const node = await createFakeNode({ ...options.node, root: join(folder.path, 'node') });
  installAccounts(node.bin, folder.path);
  installTemplates(join(folder.path, 'os'), folder.path);
  mkdirSync(join(folder.path, 'app/openvpn'), { recursive: true });
  const config = {
    KERNELPATH: node.kernel,
    INITRDPATH: node.initrd,
    program_path: `${node.bin}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`,
    NETMASK: '255.255.255.0',
    GATEWAY: '192.0.2.1',
    DNS: '192.0.2.2',
    ...options.config,
  };
  const boot = () =>
    startDaemon({ fakeNode: node, folder, config, under: options.under?.(folder.path) ?? [] });
  let daemon: Daemon = await boot();
  const clients = new Map<string, AgentClient>();

  const endpoint = (user = daemon.user, password = daemon.password): Endpoint => ({
    url: daemon.url,
    ca: readCa(daemon),
    user,
    password,
  });

  return {
    node,
    folder,
    endpoint,
    daemon: () => daemon,
    /** Calls as a panel without a WSDL does. */
    legacy: (operation: string, params: Params = {}, at: Endpoint = endpoint()): Promise<Decoded> =>
      callLegacy(at, operation, params),
    /** Calls as a client of the WSDL does. */
    async modern(
      operation: string,
      params: Params = {},
      at: Endpoint = endpoint(),
    ): Promise<Record<string, unknown>> {
      const key = JSON.stringify(at);
      const client = clients.get(key) ?? (await createAgentClient({ ...at }));
      clients.set(key, client);
      const texts = Object.fromEntries(Object.entries(params).map(([name, value]) => [name, String(value)]));
      return client.call(operation, texts);
    },
    /** Everything that a call could change, but locks, logs and samples; what the daemon does at its start is over then. */
    async snapshot() {
      while (!daemon.logs().some(({ msg }) => msg === 'tidied')) await sleep(50);
      const skip = /^(run\/|state\/perfdata|node\/state\/|node\/proc|node\/sys|go$)/;
      const domains = (await node.domains()).map(({ name, id }) => ({ name, id }));
      return { files: hashTree(folder.path, skip), domains };
    },
    /** Waits until a VPS's job has ended, and says how. */
    async jobEnd(
      vpsname: string,
      limit_ms = 240_000,
    ): Promise<{ kind: string; state: string; message: string }> {
      for (const end = Date.now() + limit_ms; Date.now() < end; await sleep(150)) {
        const { last_job } = (await this.modern('getVPSState', { vpsname })) as {
          last_job?: { kind: string; state: string; message: string; ended?: string };
        };
        if (last_job?.ended) return last_job;
      }
      throw new Error(`The job of ${vpsname} did not end within ${limit_ms} ms.`);
    },
    /** Waits until a VPS's job is in a step. */
    async jobStep(vpsname: string, step: string, limit_ms = 120_000): Promise<void> {
      let seen = '';
      for (const end = Date.now() + limit_ms; Date.now() < end; await sleep(100)) {
        const { last_job } = (await this.modern('getVPSState', { vpsname })) as {
          last_job?: { message: string };
        };
        seen = last_job?.message ?? '';
        if (seen === step) return;
      }
      throw new Error(`The job of ${vpsname} did not come to ${step}; it is at: ${seen}`);
    },
    /** Lets installations of the template `slow` go on. */
    go: () => writeFileSync(join(folder.path, 'go'), ''),
    /** What is mounted below the site's folder, in this name space. */
    mounts: () =>
      readFileSync('/proc/self/mountinfo', 'utf8')
        .split('\n')
        .filter((line) => line.includes(folder.path)),
    /** Starts the daemon again after {@link Daemon.kill} or stop. */
    async restart(): Promise<void> {
      clients.clear();
      daemon = await boot();
    },
    async stop(): Promise<void> {
      await daemon.stop();
      folder.remove();
    },
  };
}

/** See {@link startSite}. */
export type Site = Awaited<ReturnType<typeof startSite>>;
