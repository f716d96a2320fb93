import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const ROOT = resolve(import.meta.dirname, '../..');
const TRAFFIC = join(import.meta.dirname, 'traffic.py');

/** The parts of the test network: dom0 with its bridge, the world on the uplink, two bridged guests, one routed guest. */
export type Part = 'dom0' | 'world' | 'guest1' | 'guest2' | 'routed';

/** IPv4 or IPv6. */
export type Family = 'ipv4' | 'ipv6';

/** Who is who, in both families. The neighbour is in the stranger's IPv6 /64. */
export const ADDRESSES = {
  dom0: { ipv4: '10.99.0.1', ipv6: 'fd00:99:0:1::1' },
  panel: { ipv4: '10.99.0.2', ipv6: 'fd00:99:0:2::1' },
  stranger: { ipv4: '10.99.0.3', ipv6: 'fd00:99:0:3::1' },
  neighbour: { ipv4: '10.99.0.4', ipv6: 'fd00:99:0:3::2' },
  friend: { ipv4: '10.99.0.5', ipv6: 'fd00:99:0:5::1' },
  guest1: { ipv4: '10.99.0.11', ipv6: 'fd00:99:0:11::1' },
  guest2: { ipv4: '10.99.0.12', ipv6: 'fd00:99:0:12::1' },
  routed: { ipv4: '10.98.0.11', ipv6: 'fd00:98::11' },
} as const;

/** Whose addresses these are. */
export type Who = keyof typeof ADDRESSES;

const WORLD: readonly Who[] = ['panel', 'stranger', 'neighbour', 'friend'];
const partOf = (who: Who): Part => (WORLD.includes(who) ? 'world' : (who as Part));

/** What ended a command: its exit code and all that it printed. */
export interface Ended {
  readonly code: number;
  readonly output: string;
}

/** What came of connections: answered in full, refused at once, or nothing heard. */
export interface Outcomes {
  readonly answered: number;
  readonly refused: number;
  readonly silent: number;
}

/** Counts, in every part, what has passed all other tables; and what must not change when ours come and go. */
const PROBE = `table inet probe {
${['ping', 'syn', 'rst'].flatMap((kind) => [`  counter ${kind}_ipv4 { }`, `  counter ${kind}_ipv6 { }`]).join('\n')}
  chain input {
    type filter hook input priority 100; policy accept;
    icmp type echo-request counter name ping_ipv4
    icmpv6 type echo-request counter name ping_ipv6
    meta nfproto ipv4 tcp flags & (syn | ack) == syn counter name syn_ipv4
    meta nfproto ipv6 tcp flags & (syn | ack) == syn counter name syn_ipv6
    meta nfproto ipv4 tcp flags rst counter name rst_ipv4
    meta nfproto ipv6 tcp flags rst counter name rst_ipv6
  }
}
table ip filter {
  chain input { type filter hook input priority filter; policy accept; ip daddr 192.0.2.1 drop; }
}
table bridge filter {
  chain forward { type filter hook forward priority filter; policy accept; ether type 0x88cc drop; }
}
`;

/** Network namespaces with a firewall installed for dom0; all traffic stays inside them. */
export class Network {
  readonly folder: string;
  readonly etcDir: string;
  readonly #program: string;
  readonly #servers: ChildProcess[] = [];

  private constructor(folder: string) {
    this.folder = folder;
    this.etcDir = join(folder, 'etc/dtc-xen');
    this.#program = join(folder, 'usr/sbin/dtc-xen-firewall');
  }

  /** Installs the firewall into a temporary folder and builds the network. */
  static async create(): Promise<Network> {
    const network = new Network(await mkdtemp(join(tmpdir(), 'dtc-xen-firewall-')));
    await run('make', ['-s', '-C', ROOT, 'install-firewall', `DESTDIR=${network.folder}`]);
    await mkdir(network.etcDir, { recursive: true });
    await network.#build();
    return network;
  }

  #namespace(part: Part): string {
    return `dxf${process.pid}-${part}`;
  }

  async #build(): Promise<void> {
    const parts: Part[] = ['dom0', 'world', 'guest1', 'guest2', 'routed'];
    for (const part of parts) {
      await run('ip', ['netns', 'add', this.#namespace(part)]);
      await this.in(part, 'sysctl', '-qw', 'net.ipv6.conf.default.accept_dad=0');
      await this.in(part, 'ip', 'link', 'set', 'lo', 'up');
    }
    const dom0 = (...args: string[]) => this.in('dom0', 'ip', ...args);
    await dom0('link', 'add', 'name', 'xenbr0', 'type', 'bridge');
    await this.in('dom0', 'sysctl', '-qw', 'net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1');
    const wires: [string, Part, boolean][] = [
      ['uplink', 'world', true],
      ['vif1.0', 'guest1', true],
      ['vif2.0', 'guest2', true],
      ['vif3.0', 'routed', false],
    ];
    for (const [name, part, bridged] of wires) {
      const far = ['peer', 'name', 'eth0', 'netns', this.#namespace(part)];
      await dom0('link', 'add', 'name', name, 'type', 'veth', ...far);
      if (bridged) await dom0('link', 'set', name, 'master', 'xenbr0');
      await dom0('link', 'set', name, 'up');
      await this.in(part, 'ip', 'link', 'set', 'eth0', 'up');
    }
    await dom0('link', 'set', 'xenbr0', 'up');
    await this.#address('dom0', 'xenbr0', '10.99.0.1/24', 'fd00:99::/48', ADDRESSES.dom0.ipv6);
    for (const who of [...WORLD, 'guest1', 'guest2'] as const) {
      await this.#address(
        partOf(who),
        'eth0',
        `${ADDRESSES[who].ipv4}/24`,
        'fd00:99::/48',
        ADDRESSES[who].ipv6,
      );
    }
    await this.#address('dom0', 'vif3.0', '10.98.0.1/24', 'fd00:98::/64', 'fd00:98::1');
    await this.#address('routed', 'eth0', '10.98.0.11/24', 'fd00:98::/64', ADDRESSES.routed.ipv6);
    await this.in('routed', 'ip', 'route', 'add', 'default', 'via', '10.98.0.1');
    await this.in('routed', 'ip', '-6', 'route', 'add', 'default', 'via', 'fd00:98::1');
    await this.in('world', 'ip', 'route', 'add', '10.98.0.0/24', 'via', '10.99.0.1');
    await this.in('world', 'ip', '-6', 'route', 'add', 'fd00:98::/64', 'via', ADDRESSES.dom0.ipv6);
    await writeFile(join(this.folder, 'probe.nft'), PROBE);
    for (const part of parts) {
      await this.in(part, 'nft', '-f', join(this.folder, 'probe.nft'));
      await this.#serve(part);
    }
    await this.#meet();
  }

  async #address(part: Part, device: string, ipv4: string, network: string, ipv6: string): Promise<void> {
    const bits = network.split('/')[1];
    await this.in(part, 'ip', 'address', 'add', ipv4, 'dev', device);
    await this.in(part, 'ip', 'address', 'add', `${ipv6}/${bits}`, 'dev', device, 'nodad');
  }

  async #serve(part: Part): Promise<void> {
    const args = ['/usr/bin/python3', TRAFFIC, 'serve', '22', '25', '80', '8089'];
    const server = spawn('ip', ['netns', 'exec', this.#namespace(part), ...args], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    this.#servers.push(server);
    await once(server.stdout, 'data');
  }

  /** Each part connects once to those it sends to, so that no burst waits for a neighbour's hardware address. */
  async #meet(): Promise<void> {
    const pairs: [Who, Who][] = [
      ['stranger', 'dom0'],
      ['stranger', 'guest1'],
      ['stranger', 'guest2'],
      ['stranger', 'routed'],
      ['guest1', 'guest2'],
    ];
    for (const [from, to] of pairs) {
      for (const family of ['ipv4', 'ipv6'] as const) {
        const { answered } = await this.connect(family, from, to, 80, 1);
        if (answered !== 1) throw new Error(`the test network is broken: ${family} from ${from} to ${to}`);
      }
    }
  }

  /** Runs a program in a part of the network; its standard output. */
  async in(part: Part, program: string, ...args: string[]): Promise<string> {
    const words = ['netns', 'exec', this.#namespace(part), program, ...args];
    return (await run('ip', words, { maxBuffer: 1 << 24 })).stdout;
  }

  /** Runs dtc-xen-firewall in dom0, however it ends. */
  async firewall(...words: readonly string[]): Promise<Ended> {
    try {
      return {
        code: 0,
        output: await this.in('dom0', this.#program, '--etc-dir', this.etcDir, ...words),
      };
    } catch (error) {
      const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string };
      return { code, output: stdout + stderr };
    }
  }

  /** Writes firewall.conf and the admin's own rules, and loads them; limits begin anew. */
  async load(configuration: string, ownRules = ''): Promise<void> {
    await writeFile(join(this.etcDir, 'firewall.conf'), configuration);
    await writeFile(join(this.etcDir, 'firewall.nft'), ownRules);
    const { code, output } = await this.firewall('reload');
    if (code !== 0) throw new Error(output);
  }

  /** Sends `count` raw packets in one burst, and tells how many came through. */
  async flood(family: Family, from: Who, to: Who, kind: 'ping' | 'syn' | 'rst', count: number, port = 9) {
    await this.in(partOf(to), 'nft', 'reset', 'counters', 'table', 'inet', 'probe');
    const words = [ADDRESSES[from][family], ADDRESSES[to][family], kind, String(count), String(port)];
    const answer = await this.in(partOf(from), '/usr/bin/python3', TRAFFIC, 'flood', ...words);
    const { elapsed_s } = JSON.parse(answer) as { elapsed_s: number };
    return { sent: count, passed: await this.passed(family, to, kind), elapsed_s };
  }

  /** Sends pings at a steady pace, and tells how many came through. */
  async pings(family: Family, from: Who, to: Who, count: number, gap_ms: number) {
    await this.in(partOf(to), 'nft', 'reset', 'counters', 'table', 'inet', 'probe');
    const words = [ADDRESSES[from][family], ADDRESSES[to][family], String(count), String(gap_ms)];
    await this.in(partOf(from), '/usr/bin/python3', TRAFFIC, 'pings', ...words);
    return { sent: count, passed: await this.passed(family, to, 'ping') };
  }

  async passed(family: Family, to: Who, kind: string): Promise<number> {
    const text = await this.in(partOf(to), 'nft', '-j', 'list', 'counters', 'table', 'inet', 'probe');
    const { nftables } = JSON.parse(text) as {
      nftables: { counter?: { name: string; packets: number } }[];
    };
    const found = nftables.find(({ counter }) => counter?.name === `${kind}_${family}`)?.counter;
    if (!found) throw new Error(`no counter of ${kind} ${family}`);
    return found.packets;
  }

  /** Connects `count` times, one after another, and reads each answer to its end. */
  async connect(family: Family, from: Who, to: Who, port: number, count: number): Promise<Outcomes> {
    const words = [ADDRESSES[from][family], ADDRESSES[to][family], String(port), String(count)];
    const answer = await this.in(partOf(from), '/usr/bin/python3', TRAFFIC, 'connect', ...words);
    return JSON.parse(answer) as Outcomes;
  }

  /** All rules in dom0, without what the counters have reached. */
  async ruleset(): Promise<string> {
    return this.in('dom0', 'nft', '-s', 'list', 'ruleset');
  }

  /** Ends the servers and takes the network down. */
  async destroy(): Promise<void> {
    for (const server of this.#servers) {
      const ended = once(server, 'exit');
      server.kill('SIGKILL');
      await ended;
    }
    const names = (await run('ip', ['netns', 'list'])).stdout.split('\n').map((line) => line.split(' ')[0]);
    for (const name of names) {
      if (name?.startsWith(`dxf${process.pid}-`)) await run('ip', ['netns', 'delete', name]);
    }
    await rm(this.folder, { recursive: true });
  }
}
