// The real Xen host of tests/xen/lab, as the suite reaches it: root's shell in dom0, and both clients of the agent.
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { expect } from 'vitest';
import { type AgentClient, createAgentClient } from '../../src/client/agent-client.ts';

const run = promisify(execFile);
const LAB = join(import.meta.dirname, 'lab/lab');
const PANEL = join(import.meta.dirname, 'panel.php');

function setting(name: string): string {
  const value = process.env[name];
  if (value === undefined) throw new Error(`${name} is not set: start the suite with tests/xen/run.`);
  return value;
}

/** What the panel's parameters are. */
export type Params = Readonly<Record<string, string | number>>;

/** Has the machine itself do something: `down`, `up --keep`, `wait-end` (tests/xen/lab/lab help). */
export async function machine(...args: string[]): Promise<void> {
  await run(LAB, args, { timeout: 700_000 });
}

/** Runs a shell command as root in dom0; what it prints, without the last line end. Throws with its errors. */
export async function dom0(command: string, input = ''): Promise<string> {
  const call = run(LAB, ['ssh', command], { timeout: 1_000_000, maxBuffer: 1 << 24 });
  call.child.stdin?.end(input);
  return (await call).stdout.replace(/\n$/, '');
}

/** Whether a shell command succeeds in dom0. */
export const dom0Succeeds = async (command: string) =>
  (await dom0(`if ${command} >/dev/null 2>&1; then echo yes; else echo no; fi`)) === 'yes';

/** Where the agent answers now; QEMU gives the machine another port at each start. */
export async function agentUrl(): Promise<string> {
  const { stdout } = await run(LAB, ['port', '8089']);
  return `https://localhost:${stdout.trim()}/`;
}

/** Calls as the panel does, with NuSOAP; what the panel's PHP code gets. Throws on a fault. */
export async function panel(operation: string, params: Params = {}): Promise<unknown> {
  const args = [PANEL, setting('XEN_NUSOAP'), await agentUrl(), setting('XEN_CA'), operation];
  const call = run('php', args, {
    env: { ...process.env, SOAP_PASSWORD: setting('XEN_PASSWORD') },
    timeout: 300_000,
  });
  call.child.stdin?.end(JSON.stringify(params));
  return JSON.parse((await call).stdout);
}

let client: Promise<AgentClient> | undefined;
let client_url = '';

/** Calls over the WSDL, with the soap library's client. Throws AgentFault where the agent refuses. */
export async function modern(operation: string, params: Params = {}): Promise<Record<string, unknown>> {
  const url = await agentUrl();
  if (client_url !== url) {
    client_url = url;
    client = createAgentClient({
      url,
      user: 'dtc-xen',
      password: setting('XEN_PASSWORD'),
      ca: readFileSync(setting('XEN_CA'), 'utf8'),
    });
  }
  const texts = Object.fromEntries(Object.entries(params).map(([name, value]) => [name, String(value)]));
  return ((await client) as AgentClient).call(operation, texts);
}

/** Asks again and again until there is an answer that is not undefined. */
export async function until<T>(what: string, limit_s: number, ask: () => Promise<T | undefined>): Promise<T> {
  for (const end = Date.now() + limit_s * 1000; Date.now() < end; await sleep(1_000)) {
    const answer = await ask();
    if (answer !== undefined) return answer;
  }
  throw new Error(`${what}: not within ${limit_s} s.`);
}

/** Changes the agent's configuration by a command in dom0, and starts it again. */
export async function reconfigure(command: string): Promise<void> {
  await dom0(`${command} && systemctl restart dtc-xen-agent`);
  await until('the agent', 90, () =>
    modern('getFreeSpace').then(
      (answer) => answer,
      () => undefined,
    ),
  );
}

/**
 * Makes sure of the order of this boot: Xen's daemons are there, then the agent's conditions are looked at, it is ready, and
 * only then guests with an autostart link are begun with.
 */
export async function requireBootOrder(): Promise<void> {
  const asked = [
    ['ActiveEnterTimestampMonotonic', 'xen.service'],
    ['ConditionTimestampMonotonic', 'dtc-xen-agent.service'],
    ['ActiveEnterTimestampMonotonic', 'dtc-xen-agent.service'],
    ['InactiveExitTimestampMonotonic', 'xendomains.service'],
  ];
  const shown = await dom0(
    asked.map(([property, unit]) => `systemctl show -p ${property} --value ${unit}`).join('; '),
  );
  const times = shown.split('\n').map(Number);
  expect(times.every((time) => time > 0)).toBe(true);
  expect(times, 'xen.service, the agent, xendomains.service').toEqual([...times].sort((a, b) => a - b));
}

/** Xen's own word on a domain: its id, or undefined where there is none. */
export async function domid(name: string): Promise<number | undefined> {
  const answer = await dom0(`xl domid ${name} 2>/dev/null || echo none`);
  return answer === 'none' ? undefined : Number(answer);
}

/** Has root of dom0 reach itself by ssh, as dtc-xen_migrate wants it. */
export const sshToItself = () =>
  dom0(`[ -e /root/.ssh/id_ed25519 ] || {
    ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/id_ed25519
    cat /root/.ssh/id_ed25519.pub >>/root/.ssh/authorized_keys
    ssh-keyscan localhost >/root/.ssh/known_hosts 2>/dev/null; }`);

/** What a VPS's both volumes hold, byte for byte. */
export const contents = (vpsname: string) =>
  dom0(`for disk in ${vpsname} ${vpsname}swap; do sha256sum <"/dev/vg0/$disk"; done`);

/** Whether the file system of a stopped VPS has no error, as it is: nothing is replayed, nothing put right. */
export const isClean = (vpsname: string) => dom0Succeeds(`e2fsck -f -n /dev/vg0/${vpsname}`);

/** A file of a stopped VPS's system. */
export const fileOf = (vpsname: string, path: string) =>
  dom0(`debugfs -R 'cat ${path}' /dev/vg0/${vpsname} 2>/dev/null`);

/** A VPS's newest job, as getVPSJob tells it. */
export interface Job {
  readonly kind: string;
  readonly state: string;
  readonly message: string;
}

/**
 * Waits until the newest job of a VPS has ended, and asks the agent for it then: were it asked once a second, TLS connections
 * would take a third of this dom0.
 */
export async function jobEnd(vpsname: string, limit_s = 300): Promise<Job> {
  const file = `"$(ls -d /var/lib/dtc-xen/states/${vpsname}/2* | tail -n 1)/status.json"`;
  await dom0(
    `for try in $(seq ${limit_s}); do if grep -q '^  "ended"' ${file}; then exit; fi; sleep 1; done`,
  );
  const { kind, state, message, ended } = (await modern('getVPSJob', { vpsname })) as unknown as Job & {
    ended: string;
  };
  if (ended === '') throw new Error(`The job of ${vpsname} has not ended within ${limit_s} s.`);
  return { kind, state, message };
}

/** Makes disks and installs a template as a panel does; returns its ended job. */
export async function install(vpsname: string, ostype: string, more: Params = {}): Promise<Job> {
  await modern('setupLVMDisks', { vpsname, hddsize: 64, swapsize: 16, imagetype: 'lvm' });
  const nics = `10.0.2.${100 + Number(vpsname.slice(3))}`;
  await modern('reinstallVPSos', { vpsname, ostype, ramsize: 128, password: 'x', nics, ...more });
  return jobEnd(vpsname);
}

/** How often a guest's console has shown a text, over the boots of all its domains. */
export const consoleCount = async (name: string, text: string) =>
  Number(await dom0(`grep -a -o '${text}' /var/log/xen/console/guest-${name}.log | wc -l`));

/** Waits until a guest's console has shown a text `times` times. */
export async function consoleShows(name: string, text: string, times = 1, limit_s = 240): Promise<void> {
  const file = `/var/log/xen/console/guest-${name}.log`;
  const shown = `[ "$(grep -a -o '${text}' ${file} | wc -l)" -ge ${times} ]`;
  const tries = `for try in $(seq ${limit_s}); do if ${shown}; then echo shown; exit; fi; sleep 1; done`;
  if ((await dom0(tries)) !== 'shown')
    throw new Error(`'${text}' is not on the console of ${name} within ${limit_s} s.`);
}

/** Somebody at a guest's console. */
export class Console {
  readonly #process: ChildProcess;
  #seen = '';

  constructor(name: string) {
    this.#process = spawn(LAB, ['tty', `xl console ${name}`], { stdio: ['pipe', 'pipe', 'ignore'] });
    this.#process.stdout?.on('data', (chunk: Buffer) => {
      this.#seen += chunk.toString('latin1');
    });
  }

  /** Types a line. */
  type(text: string): void {
    this.#process.stdin?.write(`${text}\n`);
  }

  /** Waits for a text, and forgets what came up to its end. Returns that. */
  async read(pattern: RegExp, limit_s = 90): Promise<RegExpExecArray> {
    return until(`${pattern} on the console, which shows: ${this.#seen.slice(-400)}`, limit_s, async () => {
      const match = pattern.exec(this.#seen);
      if (match) this.#seen = this.#seen.slice(match.index + match[0].length);
      return match ?? undefined;
    });
  }

  /** Logs root in at the prompt. Throws where the password is refused. */
  async login(password: string): Promise<void> {
    this.type('');
    await this.read(/login: $/);
    this.type('root');
    await this.read(/Password: $/);
    this.type(password);
    const [answer] = await this.read(/Login incorrect|root@\S+:~# $/);
    if (answer === 'Login incorrect') throw new Error('the guest refuses the root password');
    this.type('stty -echo; PS1=; bind "set enable-bracketed-paste off"');
    await this.read(/\n/);
  }

  /** Runs a command in the guest, logged in; what it prints. Throws where it fails. */
  async run(command: string, limit_s = 120): Promise<string> {
    this.#seen = '';
    const typed = `{ ${command}; } 2>&1; echo "<<$?>>"`;
    this.type(typed);
    const [, shown = '', code] = await this.read(/([\s\S]*?)<<(\d+)>>/, limit_s);
    // A guest whose terminal has not been told otherwise shows what is typed.
    const printed = shown.replace(typed, '').trim();
    if (code !== '0') throw new Error(`in the guest: ${command}: ${printed}`);
    return printed;
  }

  close(): void {
    this.#process.kill();
  }
}

/** Shuts a guest down as a panel does, and waits for its end: of this slow machine's guests some take longer than the panel's 17 s. */
export async function shutDown(vpsname: string): Promise<void> {
  const [ok] = (await panel('shutdownVPS', { vpsname })) as string[];
  expect(ok).toBe('OK');
  await modern('shutdownVPS', { vpsname, wait_s: 120 }).catch(({ code }) =>
    expect(code).toBe('vps_not_running'),
  );
}
