import { readFile } from 'node:fs/promises';
import { isIPv6, type Socket, SocketAddress } from 'node:net';
import { endianness } from 'node:os';

/** The two ends of a TCP connection. */
export interface TcpEnds {
  readonly local_port: number | undefined;
  readonly remote_port: number | undefined;
  readonly remote_address: string;
}

/**
 * What the kernel knows of the peer's end of a connection: `open`; `closed` in order, after it had taken all that was sent to
 * it; `unread` where it has not taken all of that yet; `reset`: there is no such connection any more; `unknown` where the kernel
 * does not say.
 */
export type PeerEnd = 'open' | 'unread' | 'closed' | 'reset' | 'unknown';

/** /proc/net/tcp's states of a connection whose peer has sent its FIN: TIME_WAIT, CLOSE_WAIT, LAST_ACK, CLOSING. */
const PEER_CLOSED: ReadonlySet<string> = new Set(['06', '08', '09', '0B']);
const ROW =
  /^ *[0-9]+: [0-9A-F]+:([0-9A-F]{4}) ([0-9A-F]+):([0-9A-F]{4}) ([0-9A-F]{2}) ([0-9A-F]{8}):[0-9A-F]{8} /;

/** Names a connection, as long as it is there. */
export function tcpEnds({ localPort, remotePort, remoteAddress }: Socket): TcpEnds {
  return {
    local_port: localPort,
    remote_port: remotePort,
    remote_address: (remoteAddress ?? '').split('%', 1)[0] ?? '',
  };
}

/** The address of a row, as Node.js writes it: the kernel prints 32-bit words in its own byte order. */
function addressOfRow(hex: string): string {
  const bytes = Buffer.from(hex, 'hex');
  if (endianness() === 'LE') bytes.swap32();
  if (bytes.length === 4) return bytes.join('.');
  const address = bytes.toString('hex').replace(/(.{4})(?!$)/g, '$1:');
  return new SocketAddress({ address, family: 'ipv6' }).address;
}

/**
 * Asks the kernel about the peer's end. TLS cannot tell: its own end (close_notify) may be followed by a FIN or by the reset of
 * a client that left data unread, and Node.js tells no FIN that comes after it.
 */
export async function peerEnd(ends: TcpEnds): Promise<PeerEnd> {
  let table: string;
  try {
    table = await readFile(isIPv6(ends.remote_address) ? '/proc/net/tcp6' : '/proc/net/tcp', 'utf8');
  } catch {
    return 'unknown';
  }
  for (const line of table.split('\n')) {
    const [, local = '', address = '', remote = '', state = '', unacknowledged = ''] = ROW.exec(line) ?? [];
    if (Number.parseInt(remote, 16) !== ends.remote_port) continue;
    if (Number.parseInt(local, 16) !== ends.local_port) continue;
    if (addressOfRow(address) !== ends.remote_address) continue;
    // A FIN of ours counts as one byte; who sent the last two kinds of FIN crosswise is known a moment later.
    if (Number.parseInt(unacknowledged, 16) > 0) return 'unread';
    return PEER_CLOSED.has(state) ? 'closed' : 'open';
  }
  return 'reset';
}
