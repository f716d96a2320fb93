// Two fake nodes, and a line between them that can be troubled: the programs run as they do on a node, by their names.
import { execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmodSync, existsSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { openLocally } from '../../src/app-by-hand.ts';
import { loadConfig } from '../../src/config/load.ts';
import type { ConfigKey } from '../../src/config/schema.ts';
import { runProgram } from '../../src/programs/run.ts';
import { agentProgram, makeDaemonFolder, writeConfig } from '../daemon.ts';
import { createFakeNode, type FakeNodeOptions } from '../fakes/fake-node.ts';

const MIB = 1024 * 1024;
const AGENT = agentProgram();
const PROGRAMS = ['dtc-xen_migrate', 'dtc_setup_vps_disk', 'dtc_kill_vps_disk', 'dtc-xen-agent'];

/** How a program ended. */
export interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly said: string;
}

type Config = Partial<Record<ConfigKey, string>>;

async function makeNode(options: FakeNodeOptions, config: Config) {
  const folder = makeDaemonFolder();
  const root = folder.path;
  const fake = await createFakeNode({ ...options, root: join(root, 'node') });
  const group = options.volume_group ?? 'vg0';
  const config_file = writeConfig(root, fake, { provisioning_volgroup: group, ...config });
  for (const name of PROGRAMS) symlinkSync(AGENT.at(-1) ?? '', join(root, name));
  /** What a program of this node is called with. */
  const words = (name: string) => [...AGENT.slice(0, -1), join(root, name), '--config', config_file];
  const start = (name: string, args: readonly string[]) =>
    spawn(process.execPath, [...words(name), ...args], { stdio: ['ignore', 'pipe', 'pipe'] });

  return {
    root,
    fake,
    words,
    start,
    config: (vps: string) => join(root, 'xen', vps),
    link: (vps: string) => join(root, 'xen/auto', vps),
    volume: (name: string) => join(root, 'node/dev', group, name),
    image: (name: string) => join(root, 'mnt', name),
    async run(name: string, ...args: string[]): Promise<Ended> {
      const child = start(name, args);
      const ended = new Promise<number | null>((done) => child.once('close', done));
      const [out, said] = await Promise.all([text(child.stdout), text(child.stderr)]);
      return { code: await ended, out, said };
    },
    /** dtc-xen_migrate in this process: a node's first second is its program's start. */
    async migrate(...args: string[]): Promise<Ended> {
      const [input, output, messages] = [new PassThrough(), new PassThrough(), new PassThrough()];
      const terminal = { input, output, messages } as unknown as Parameters<typeof runProgram>[3];
      const open = () => openLocally({ config: loadConfig(config_file), config_file });
      const code = await runProgram('dtc-xen_migrate', args, open, terminal);
      for (const stream of [output, messages]) stream.end();
      return { code, out: await text(output), said: await text(messages) };
    },
    /** Every disk, configuration and link of the node, with a sum of what is in it. */
    snapshot: () =>
      execFileSync(
        'bash',
        [
          '-c',
          "find xen mnt node/dev -type f -exec md5sum {} + ; find xen mnt node/dev -printf '%y %m %p -> %l\\n'",
        ],
        { cwd: root, encoding: 'utf8' },
      )
        .split('\n')
        .sort(),
    remove: folder.remove,
  };
}

/** A node without Xen, by its programs alone. */
export type Node = Awaited<ReturnType<typeof makeNode>>;

/** What happens on the line; see tests/migrate/ssh.mjs. */
export interface Trouble {
  readonly flip?: number | string;
  readonly cut?: number | string;
  readonly kill?: number | string;
  /** What the receiver is killed with; SIGKILL without. */
  readonly signal?: NodeJS.Signals;
  readonly say?: string;
}

/** What {@link makeVps} makes a VPS of. */
export interface VpsOptions {
  readonly type?: 'lvm' | 'vbd';
  readonly autostart?: boolean;
  /** Into the list of disks, and behind the rest of the configuration. */
  readonly more_disks?: string;
  readonly more?: string;
}

/** Fills a disk with data, with holes of zeros in it, an odd byte here and there. */
function scribble(path: string): void {
  const bytes = Buffer.alloc(4 * MIB);
  randomBytes(3 * MIB).copy(bytes, 0);
  randomBytes(5000).copy(bytes, 3 * MIB + 1234);
  bytes[bytes.length - 1] = 7;
  writeFileSync(path, bytes, { flag: 'r+' });
}

/** Starts the two nodes: `here` sends to `there`, which ssh calls node2. */
export async function startTwoNodes(there_config: Config = {}, there_options: FakeNodeOptions = {}) {
  const here = await makeNode({ size_mib: 512 }, { node_name: 'node1' });
  const there = await makeNode(there_options, { node_name: 'node2', ...there_config });
  const line = join(here.root, 'line.json');
  const setTrouble = (trouble: Trouble = {}) =>
    writeFileSync(
      line,
      JSON.stringify({ hosts: { node2: [process.execPath, ...there.words('dtc-xen_migrate')] }, trouble }),
    );
  setTrouble();
  const ssh = join(here.fake.bin, 'ssh');
  writeFileSync(
    ssh,
    `#!/bin/sh\nexec '${process.execPath}' '${join(import.meta.dirname, 'ssh.mjs')}' '${line}' "$@"\n`,
  );
  chmodSync(ssh, 0o755);

  return {
    here,
    there,
    setTrouble,
    /** Bytes that have gone over the line. */
    sent: () => (existsSync(`${line}.sent`) ? Number(readFileSync(`${line}.sent`, 'utf8')) : 0),
    /** Makes a stopped VPS on a node, with something on its disks. */
    async makeVps(node: Node, vps: string, options: VpsOptions = {}): Promise<void> {
      const { type = 'lvm', autostart = true, more_disks = '', more = '' } = options;
      const made = await node.run('dtc_setup_vps_disk', vps, '4', '4', type);
      if (made.code !== 0) throw new Error(made.said);
      const [root, swap] =
        type === 'lvm'
          ? [node.volume(vps), node.volume(`${vps}swap`)]
          : [node.image(`${vps}.img`), node.image(`${vps}.swap.img`)];
      scribble(root);
      scribble(swap);
      const disks =
        type === 'lvm'
          ? `'phy:${root},xvda,w',\n  "phy:${swap},xvdb,w" # swap\n  `
          : `"format=raw,vdev=xvda,access=w,target=${root}", "format=raw,vdev=xvdb,access=w,target=${swap}"`;
      writeFileSync(
        node.config(vps),
        `# ${vps}, by hand; caf\xe9\nname = '${vps}' ; memory=256\nkernel = "${node.fake.kernel}"\ndisk = [ ${disks}${more_disks} ]\nvif = [ "mac=00:16:3e:00:00:01,bridge=xenbr0,ip=192.0.2.1" ]\nextra = "xen01 name=${vps}"\n${more}`,
        { encoding: 'latin1', mode: 0o600 },
      );
      if (autostart) symlinkSync(join('..', vps), node.link(vps));
    },
    stop(): void {
      here.remove();
      there.remove();
    },
  };
}

/** See {@link startTwoNodes}. */
export type TwoNodes = Awaited<ReturnType<typeof startTwoNodes>>;
