import { createHash } from 'node:crypto';
import { realpath } from 'node:fs/promises';
import type { Ports } from '../core/context.ts';
import { AgentError } from '../core/errors.ts';
import type { GuestFile } from '../core/guest-configs.ts';
import type { Move, MoveWatch } from '../core/moves.ts';
import type { Runner } from '../core/runner.ts';
import type { UnderLock } from '../core/under-lock.ts';
import type { VpsId } from '../core/vps.ts';
import {
  type BothDisks,
  requireBothDisks,
  requireStopped,
  requireUnused,
  whileStopped,
} from '../core/vps-checks.ts';
import { isZero, readDisk, writeMark } from './disk-io.ts';
import { describeGuest } from './guest-config.ts';
import { connect, type Peer, Refusal } from './peer.ts';
import { type Header, PROTOCOL, ROLES, type Role, ZEROS_BYTES } from './wire.ts';

const MB = 1024 * 1024;
const CANNOT = 'cannot be moved';

/** What sending needs. */
export interface SenderOptions {
  readonly ports: Pick<Ports, 'hypervisor' | 'disks' | 'guests' | 'locks'>;
  readonly underLock: UnderLock;
  readonly runner: Runner;
  readonly node_name: string;
  /** What ssh needs of the environment. */
  readonly ssh_env: Readonly<Record<string, string>>;
}

/** A stopped VPS, as it is sent. */
interface Found {
  readonly disks: BothDisks;
  /** What tells whether they were written to since ({@link writeMark}). */
  readonly marks: Readonly<Record<Role, string>>;
  readonly config: GuestFile;
  readonly header: Header;
  /** Paths in its configuration that are not its own disks. */
  readonly others: readonly string[];
}

/** The file or device that a path leads to, however it is spelled; the path itself where there is none. */
async function whereto(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return path;
    throw error;
  }
}

async function look({ ports, node_name }: SenderOptions, vps: VpsId): Promise<Found> {
  await requireStopped(ports.hypervisor, vps, CANNOT);
  const disks = await requireBothDisks(ports.disks, vps, undefined, CANNOT);
  await requireUnused(ports.disks[disks.type], vps, CANNOT, disks);
  const marks = { root: await writeMark(disks.root.path), swap: await writeMark(disks.swap.path) };
  const config = await ports.guests.read(vps);
  if (!config) {
    throw new AgentError('vps_not_installed', `${vps.name} ${CANNOT}: it has no configuration in /etc/xen.`);
  }
  const { name, targets } = describeGuest(config.text);
  if (name !== vps.name) {
    const named = name === undefined ? 'no name' : 'another name';
    throw new AgentError('invalid_value', `${vps.name} ${CANNOT}: its configuration gives it ${named}.`);
  }
  const spelled = await Promise.all(targets.map(async (path) => ({ path, leads: await whereto(path) })));
  const own = async ({ path }: { path: string }) => {
    const leads = await whereto(path);
    return [...new Set(spelled.filter((other) => other.leads === leads).map((other) => other.path))];
  };
  const paths = { root: await own(disks.root), swap: await own(disks.swap) };
  if (paths.root.length === 0) {
    throw new AgentError(
      'invalid_value',
      `${vps.name} ${CANNOT}: its configuration does not name its disk ${disks.root.path}.`,
    );
  }
  const header: Header = {
    ...{ protocol: PROTOCOL, node: node_name, vps: vps.name, type: disks.type, paths },
    size_bytes: { root: disks.root.size_bytes, swap: disks.swap.size_bytes },
    config: { text: config.text, mode: config.mode },
  };
  const others = targets.filter((path) => ![...paths.root, ...paths.swap].includes(path));
  return { disks, marks, config, header, others };
}

/** Sends a disk: zeros as their count. Returns its SHA-256, and how much of it was sent as it is. */
async function sendDisk(
  peer: Peer,
  path: string,
  size_bytes: number,
  onBytes: (bytes: number) => void,
): Promise<{ sha256: string; data_bytes: number }> {
  const hash = createHash('sha256');
  let [zeros, data_bytes] = [0, 0];
  async function sendZeros(): Promise<void> {
    const count = zeros;
    zeros = 0;
    if (count > 0) await peer.zeros(count);
  }
  await readDisk(path, size_bytes, (block, at) => {
    hash.update(block);
    onBytes(at + block.length);
    if (!isZero(block)) {
      data_bytes += block.length;
      return sendZeros().then(() => peer.data(block));
    }
    zeros += block.length;
    return zeros < ZEROS_BYTES ? undefined : sendZeros();
  });
  await sendZeros();
  return { sha256: hash.digest('hex'), data_bytes };
}

const asItWas = ({ name }: VpsId) => `${name} here is as it was.`;
const inMb = (bytes: number) => Math.round(bytes / MB);

/** What it means for the VPS that the other node refuses it, or that anything else fails, in sentences. */
interface Fate {
  readonly refused: string;
  readonly failed: string;
}

/** Sends the VPS and has it put in its place; `onFate` is told what a failure from then on means. */
async function hand(
  peer: Peer,
  { guests, hypervisor, disks: stores }: SenderOptions['ports'],
  { vps, host, dest }: Move,
  { disks, marks, config, header, others }: Found,
  { onProgress, onWarning, onFate }: MoveWatch & { onFate(fate: Fate): void },
): Promise<string> {
  const as = dest.name === vps.name ? '' : ` as ${dest.name}`;
  const header_bytes = await peer.message(header);
  const { warnings } = await peer.expect('ready');
  for (const path of others) {
    onWarning(
      `${path} is not a disk of its own and is not moved: copy it to ${host} by hand, or take it out of /etc/xen/${dest.name} there.`,
    );
  }
  for (const warning of warnings) onWarning(`${host}: ${warning}`);

  const sha256 = { header: createHash('sha256').update(header_bytes).digest('hex'), root: '', swap: '' };
  let data_bytes = 0;
  for (const role of ROLES) {
    const { path, size_bytes } = disks[role];
    const started = performance.now();
    const sent = await sendDisk(peer, path, size_bytes, (bytes) => {
      const speed = Math.round(bytes / MB / ((performance.now() - started) / 1000));
      onProgress(`${role}: ${inMb(bytes)} of ${inMb(size_bytes)} MB, ${speed} MB/s`);
    });
    sha256[role] = sent.sha256;
    data_bytes += sent.data_bytes;
  }
  await peer.message({ sha256 });
  await peer.expect('verified', (reply) => {
    if (reply.reply !== 'verifying') return;
    onProgress(
      `${host} reads ${reply.disk} back: ${inMb(reply.bytes)} of ${inMb(disks[reply.disk].size_bytes)} MB`,
    );
  });

  await requireStopped(hypervisor, vps, CANNOT);
  await requireUnused(stores[disks.type], vps, CANNOT);
  for (const role of ROLES) {
    const { path } = disks[role];
    if ((await writeMark(path)) === marks[role]) continue;
    throw new AgentError(
      'disks_in_use',
      `${vps.name} ${CANNOT}: something wrote to ${path} while it was copied (a guest that was started and stopped by hand?); see to it, and try again.`,
    );
  }
  if (JSON.stringify(await guests.read(vps)) !== JSON.stringify(config)) {
    throw new AgentError('invalid_value', `${vps.name} ${CANNOT}: its configuration has changed meanwhile.`);
  }
  const refused = asItWas(vps);
  onFate({
    refused,
    failed: `It is not known whether ${host} has it now: where there is /etc/xen/${dest.name} there, it is whole, and does not start by itself. ${refused}`,
  });
  await hypervisor.leaveStopped(vps);
  await peer.message({ commit: true });
  await peer.expect('stored');
  const whole = `${host} has the whole of ${vps.name}${as}; see here and there which of them has its link in /etc/xen/auto, and start only one.`;
  onFate({ refused: whole, failed: whole });
  await guests.disableAutostart(vps);
  await peer.message({ autostart: config.autostart });
  await peer.expect('done');

  const total = inMb(disks.root.size_bytes + disks.swap.size_bytes);
  return `${host} has ${vps.name}${as}: ${total} MB, ${inMb(data_bytes)} MB of them not zeros, read back there and the same.
${vps.name} here keeps its disks and its configuration, and does not start with the node any more. Do not start both.
Next, on ${host}: dtc-xen-agent call startVPS ${dest.name}
When it runs there, here: dtc_kill_vps_disk ${vps.name} ${disks.type}
Not moved: statistics that the panel has not fetched, the console user's password, keys and files, the SOAP user's password, an older system (${vps.name}.old).
`;
}

/** See `Moves.send`. */
export function sendVps(options: SenderOptions, move: Move, watch: MoveWatch): Promise<string> {
  const { underLock, runner, ports, ssh_env: env } = options;
  const send = async () => {
    const found = await look(options, move.vps);
    let fate: Fate = { refused: asItWas(move.vps), failed: asItWas(move.vps) };
    const onFate = (told: Fate) => {
      fate = told;
    };
    const peer = connect(runner, { ...move, env });
    try {
      return await hand(peer, options.ports, move, found, { ...watch, onFate });
    } catch (error) {
      if (!(error instanceof AgentError)) throw error;
      const told = error instanceof Refusal ? fate.refused : fate.failed;
      const message = `${error.message.replace(/\.?$/, '.')} ${told}`;
      throw new AgentError(error.code, message, { cause: error });
    } finally {
      await peer.close();
    }
  };
  return underLock(move.vps, `dtc-xen_migrate to ${move.host}`, () =>
    whileStopped(ports, move.vps, CANNOT, send),
  );
}
