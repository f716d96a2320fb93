// The screens of fully virtualized guests: where each is, and how one reaches it.
import type { Config } from '../config/schema.ts';
import { AgentError } from './errors.ts';
import type { VpsId } from './vps.ts';

/** A guest's VNC screen. Without a password it listens on loopback alone. */
export interface Screen {
  /** xl.cfg(5), vncdisplay: the VPS's number, as DTC-Xen had it. */
  readonly display: number;
  /** IPv4 address on the node; 0.0.0.0: every address. */
  readonly address: string;
  readonly port: number;
  /** What VNC looks at of the password, {@link VNC_PASSWORD_BYTES} at most. */
  readonly password: string | undefined;
}

/** What the node's qemu can do for screens. */
export interface Screens {
  /** False where it is known that dom0's qemu cannot check VNC passwords: a guest with one would not start. */
  checksPasswords(): Promise<boolean>;
}

/** VNC looks at no more of a password (RFC 6143, section 7.2.2). */
const VNC_PASSWORD_BYTES = 8;
const LOOPBACK = '127.0.0.1';
const FIRST_PORT = 5900;
const LAST_PORT = 65_535;

/**
 * Where a VPS's screen is. One that cannot have a password is on loopback, whatever `vnc_listen` says.
 *
 * @throws AgentError invalid_value where the VPS's number gives no port that is free for it
 */
export function screenOf(
  vps: VpsId,
  { vnc_listen, listen_port }: Pick<Config, 'vnc_listen' | 'listen_port'>,
  password: string | undefined,
): Screen {
  const display = Number(vps.number);
  const port = FIRST_PORT + display;
  const refused = (why: string) =>
    new AgentError('invalid_value', `${vps.name} cannot have a screen: ${why}. Order it with no_vnc.`);
  if (port > LAST_PORT) throw refused(`there is no port ${port}, ${FIRST_PORT} and its number`);
  if (port === listen_port)
    throw refused(`port ${port}, ${FIRST_PORT} and its number, is the SOAP server's own`);
  if (password === undefined) return { display, address: LOOPBACK, port, password };
  const looked_at = Buffer.from(password).subarray(0, VNC_PASSWORD_BYTES).toString();
  return { display, address: vnc_listen, port, password: looked_at };
}

/** Says how one reaches a screen, and what its password is worth; `asked` is the password of the order. */
export function tellScreen({ address, port, password }: Screen, asked: string): string {
  const where = address === '0.0.0.0' ? 'every address of the node' : address;
  const tunnel = `ssh -L ${port}:${LOOPBACK}:${port} root@NODE, with a VNC viewer at localhost:${port}`;
  const reached =
    address === LOOPBACK
      ? `Its screen is at port ${port} of ${LOOPBACK} on the node: an admin reaches it by ${tunnel}`
      : `Its screen is at port ${port} of ${where}`;
  if (password === undefined) {
    return `${reached}; it has no password: the node's qemu cannot check one (it has no DES), and whoever has a shell on the node sees it`;
  }
  return Buffer.byteLength(asked) > VNC_PASSWORD_BYTES
    ? `${reached}; VNC looks at the first ${VNC_PASSWORD_BYTES} characters of the password`
    : reached;
}
