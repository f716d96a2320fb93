import { readdir, readFile, readlink } from 'node:fs/promises';

/** A process that listens on a port. */
export interface PortHolder {
  readonly pid: number;
  /** The program that it runs; of an interpreter, the script. */
  readonly program: string;
}

const LISTEN = '0A';
const INTERPRETER = /^(?:python|perl|ruby|node|bash|sh|php)[0-9.]*$/;
/** What a process may say of itself: shown to an admin, and nothing else. */
const shown = (text: string) => text.replaceAll(/[^\x21-\x7e]/g, '?').slice(0, 80);

/** The sockets that listen on a port, by their inodes, out of the text of /proc/net/tcp or tcp6. */
function listeningInodes(table: string, port: number): string[] {
  const hex = port.toString(16).toUpperCase().padStart(4, '0');
  return table
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter(([, local, , state]) => state === LISTEN && local?.endsWith(`:${hex}`) === true)
    .flatMap(([, , , , , , , , , inode]) => (inode === undefined ? [] : [inode]));
}

async function programOf(proc_dir: string, pid: string): Promise<string> {
  const comm = shown((await readFile(`${proc_dir}/${pid}/comm`, 'utf8').catch(() => '')).trimEnd());
  const words = (await readFile(`${proc_dir}/${pid}/cmdline`, 'utf8').catch(() => '')).split('\0');
  const [program = '', ...args] = words.map((word) => word.split('/').at(-1) ?? '');
  const script = INTERPRETER.test(program)
    ? args.find((word) => word !== '' && !word.startsWith('-'))
    : undefined;
  return script === undefined ? comm || 'a program without a name' : shown(script);
}

async function holds(proc_dir: string, pid: string, links: ReadonlySet<string>): Promise<boolean> {
  const folder = `${proc_dir}/${pid}/fd`;
  for (const fd of await readdir(folder).catch(() => [])) {
    if (links.has(await readlink(`${folder}/${fd}`).catch(() => ''))) return true;
  }
  return false;
}

/** Who listens on a TCP port; undefined where that cannot be seen: it is of the kernel, or of another container. */
async function portHolder(port: number, proc_dir = '/proc'): Promise<PortHolder | undefined> {
  const tables = await Promise.all(
    ['tcp', 'tcp6'].map((file) => readFile(`${proc_dir}/net/${file}`, 'utf8').catch(() => '')),
  );
  const links = new Set(
    tables.flatMap((table) => listeningInodes(table, port)).map((inode) => `socket:[${inode}]`),
  );
  if (links.size === 0) return undefined;
  for (const pid of await readdir(proc_dir)) {
    if (!/^[0-9]+$/.test(pid) || !(await holds(proc_dir, pid, links))) continue;
    return { pid: Number(pid), program: await programOf(proc_dir, pid) };
  }
  return undefined;
}

/** What an admin does about a port that is taken. */
function whatToDo({ pid, program }: PortHolder): string {
  if (program === 'dtc-soap-server')
    return `It is the old server of DTC-Xen: stop it with "kill ${pid}", and then "systemctl restart dtc-xen-agent".`;
  if (/^dtc-xen-agent/.test(program))
    return 'Another agent runs: see "systemctl status dtc-xen-agent"; where it was started by hand, end it first.';
  return 'Stop it, or set listen_port in dtc-xen.conf to a port that is free (panels must call that one then).';
}

/** The sentence for a server that cannot listen; undefined where the failure is of another kind. */
export async function whyNotListening(
  error: NodeJS.ErrnoException,
  address: string,
  port: number,
): Promise<string | undefined> {
  if (error.code === 'EADDRNOTAVAIL')
    return `the node has no address ${address}: set listen_address in dtc-xen.conf to one that it has, or to 0.0.0.0.`;
  if (error.code !== 'EADDRINUSE') return undefined;
  const holder = await portHolder(port);
  if (holder) return `port ${port} is in use by ${holder.program} (pid ${holder.pid}). ${whatToDo(holder)}`;
  return (
    `port ${port} is in use by a program that cannot be seen from here (of a container, or of the kernel): ` +
    'find and stop it, or set listen_port in dtc-xen.conf to a port that is free.'
  );
}
