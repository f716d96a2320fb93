import { createHash } from 'node:crypto';
import { lstat } from 'node:fs/promises';
import type { Readable, Writable } from 'node:stream';
import type { Ports } from '../core/context.ts';
import { AgentError, asAgentError } from '../core/errors.ts';
import type { GuestFile } from '../core/guest-configs.ts';
import { makeDisks } from '../core/make-disks.ts';
import type { Disk, DiskStore } from '../core/ports.ts';
import type { Runner } from '../core/runner.ts';
import type { UnderLock } from '../core/under-lock.ts';
import type { VpsId } from '../core/vps.ts';
import {
  type BothDisks,
  findIfThere,
  requireBothDisks,
  requireStopped,
  whileStopped,
} from '../core/vps-checks.ts';
import { type DiskWriter, sumOfDisk, writeDisk } from './disk-io.ts';
import { describeGuest, renameGuest } from './guest-config.ts';
import {
  commitSchema,
  createFrameReader,
  type FrameReader,
  type Header,
  handoverSchema,
  headerSchema,
  type Reply,
  ROLES,
  sumsSchema,
} from './wire.ts';

const MB = 1024 * 1024;
const CANNOT = 'cannot be received';
const SILENCE_MS = 300_000;
const REPLY_INTERVAL_MS = 1_000;

/** What receiving needs. */
export interface ReceiverOptions {
  readonly ports: Pick<Ports, 'hypervisor' | 'disks' | 'guests' | 'systems' | 'locks'>;
  readonly underLock: UnderLock;
  readonly runner: Runner;
}

/** The way to the sending end. */
interface Connection {
  readonly input: Readable;
  readonly output: Writable;
}

/** Whether there is anything of this path. */
async function isThere(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return false;
    throw error;
  }
}

/** Makes sure that nothing on the node has the VPS's name. Error: `disks_exist`, `vps_running`, saying what to do. */
async function requireNothing(
  { hypervisor, disks, guests }: ReceiverOptions['ports'],
  vps: VpsId,
): Promise<void> {
  await requireStopped(hypervisor, vps, CANNOT);
  const installed = await guests.exists(vps);
  for (const store of [disks.lvm, disks.vbd]) {
    const found = await findIfThere(store, vps);
    if (!found) continue;
    const all = [...Object.values(await store.roots(vps)), found.swap];
    const paths = all.flatMap((disk) => (disk ? [disk.path] : []));
    if (paths.length === 0) continue;
    const what = installed
      ? 'This node has a VPS of that name'
      : 'This node has disks of that name without a configuration, as a move that was cut off leaves them';
    throw new AgentError(
      'disks_exist',
      `${vps.name} ${CANNOT}: ${what} (${paths.join(', ')}). Nothing was touched; if nobody needs it: dtc_kill_vps_disk ${vps.name} ${store.type}`,
    );
  }
  if (!installed) return;
  throw new AgentError(
    'disks_exist',
    `${vps.name} ${CANNOT}: there is ${guests.path(vps)}, without disks. Nothing was touched; if nobody needs it: dtc_kill_vps_disk ${vps.name}`,
  );
}

/** The configuration as it is here: with this node's name of the VPS, and paths of its disks. */
function configHere({ config, paths }: Header, vps: VpsId, disks: BothDisks): GuestFile {
  const here = ROLES.flatMap((role) => paths[role].map((path): [string, string] => [path, disks[role].path]));
  return { text: renameGuest(config.text, vps.name, new Map(here)), mode: config.mode, autostart: false };
}

/** Takes a disk's bytes off the connection; room behind them is emptied of what its last owner left. */
async function fill(
  frames: FrameReader,
  disk: DiskWriter,
  size_bytes: number,
  disk_bytes: number,
): Promise<void> {
  let at = 0;
  while (at < size_bytes) {
    const frame = await frames.next();
    const length = frame.kind === 'zeros' ? frame.count : frame.bytes.length;
    if (frame.kind === 'message' || at + length > size_bytes) {
      throw new AgentError('program_output', 'The connection brought something else than the disk.');
    }
    await (frame.kind === 'zeros' ? disk.zeros(length) : disk.data(frame.bytes));
    at += length;
  }
  await disk.zeros(disk_bytes - size_bytes);
}

const gone = (cause?: unknown) => new AgentError('program_failed', 'The connection has ended.', { cause });

/** Removes what was made in vain; where that fails, the error says what is left. */
async function takeBack(
  { guests }: ReceiverOptions['ports'],
  store: DiskStore,
  vps: VpsId,
  failure: unknown,
) {
  try {
    await guests.remove(vps);
    await store.remove(vps);
  } catch (error) {
    if (!(error instanceof AgentError && failure instanceof AgentError)) throw error;
    const left = `its new disks are left over: ${error.message.replace(/\.?$/, '.')} Then: dtc_kill_vps_disk ${vps.name} ${store.type}`;
    throw new AgentError(failure.code, `${failure.message.replace(/\.$/, '')}; and ${left}`, {
      cause: failure,
    });
  }
}

/** Receives one VPS, which nothing here has the name of. */
function createReception({ ports, runner }: ReceiverOptions, vps: VpsId, { input, output }: Connection) {
  const frames = createFrameReader(input, SILENCE_MS);
  const reply = (answer: Reply) => output.write(`${JSON.stringify(answer)}\n`);
  const differs = (what: string) =>
    new AgentError('program_failed', `${vps.name} ${CANNOT}: ${what} is not what was sent.`);

  /** What an admin should look at before the VPS is started here. */
  async function warnings({ config, size_bytes }: Header, disks: BothDisks): Promise<string[]> {
    const told: string[] = [];
    for (const path of describeGuest(config.text).boot_files) {
      if (!(await isThere(path)))
        told.push(`${path} is not there: put it there, or name another one in ${ports.guests.path(vps)}.`);
    }
    for (const role of ROLES) {
      const more_bytes = disks[role].size_bytes - size_bytes[role];
      if (more_bytes > 0)
        told.push(`the ${role} disk is ${more_bytes} bytes larger there: disks are made in whole units.`);
    }
    return told;
  }

  async function sumOf(role: (typeof ROLES)[number], disk: Disk, sum_bytes: number): Promise<string> {
    let told_ms = performance.now();
    return sumOfDisk(runner, disk.path, { sum_bytes, disk_bytes: disk.size_bytes }, (bytes) => {
      if (input.destroyed) throw input.errored ?? gone();
      if (performance.now() - told_ms < REPLY_INTERVAL_MS) return;
      told_ms = performance.now();
      reply({ reply: 'verifying', disk: role, bytes });
    });
  }

  return {
    reply,
    header: () => frames.message(headerSchema, 'the header'),

    /** Fills the disks, and makes sure that they hold what was sent. */
    async copy(header: Header, header_bytes: Buffer, disks: BothDisks): Promise<void> {
      reply({ reply: 'ready', warnings: await warnings(header, disks) });
      for (const role of ROLES) {
        const { path, size_bytes } = disks[role];
        await writeDisk(path, (disk) => fill(frames, disk, header.size_bytes[role], size_bytes));
      }
      const { sha256 } = (await frames.message(sumsSchema, 'the sums')).message;
      if (createHash('sha256').update(header_bytes).digest('hex') !== sha256.header)
        throw differs('the header that came');
      for (const role of ROLES) {
        if ((await sumOf(role, disks[role], header.size_bytes[role])) !== sha256[role])
          throw differs(`what its ${role} disk holds now`);
      }
      reply({ reply: 'verified' });
      await frames.message(commitSchema, 'the commit');
    },

    /** The autostart link comes when the sending end has let go of its own. */
    async takeOver(): Promise<void> {
      reply({ reply: 'stored' });
      if ((await frames.message(handoverSchema, 'the handover')).message.autostart)
        await ports.guests.enableAutostart(vps);
      reply({ reply: 'done' });
    },
  };
}

async function receive(options: ReceiverOptions, vps: VpsId, connection: Connection): Promise<void> {
  const { ports, underLock } = options;
  const reception = createReception(options, vps, connection);
  const { message: header, bytes } = await reception.header();
  await underLock(vps, `dtc-xen_migrate from ${header.node}`, async () => {
    await requireNothing(ports, vps);
    const store = ports.disks[header.type];
    const size = {
      root_mb: Math.ceil(header.size_bytes.root / MB),
      swap_mb: Math.ceil(header.size_bytes.swap / MB),
    };
    await whileStopped(ports, vps, CANNOT, async () => {
      await makeDisks({ store, systems: ports.systems }, vps, { root: undefined, swap: undefined }, size);
      try {
        const disks = await requireBothDisks(ports.disks, vps, header.type, CANNOT);
        const config = configHere(header, vps, disks);
        await reception.copy(header, bytes, disks);
        await ports.guests.put(vps, config);
      } catch (error) {
        await takeBack(ports, store, vps, error);
        throw error;
      }
    });
    await reception.takeOver();
  });
}

/** See `Moves.receive`. */
export async function receiveVps(
  options: ReceiverOptions,
  vps: VpsId,
  connection: Connection,
): Promise<void> {
  const { input, output } = connection;
  // It is told where it is read.
  input.on('error', () => undefined);
  output.on('error', (error) => input.destroy(gone(error)));
  try {
    await receive(options, vps, connection);
  } catch (error) {
    const refused: Reply = { reply: 'refused', message: asAgentError(error).message };
    await new Promise<void>((resolve) => output.write(`${JSON.stringify(refused)}\n`, () => resolve()));
    throw error;
  } finally {
    input.destroy();
  }
}
