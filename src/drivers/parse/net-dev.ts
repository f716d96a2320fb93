/** Bytes of one interface, from dom0's side. */
export interface InterfaceBytes {
  readonly rx_bytes: number;
  readonly tx_bytes: number;
}

const COUNTER_COLUMNS = 16;
const TX_BYTES_COLUMN = 8;

/**
 * Reads /proc/net/dev (proc(5)): interface name -> bytes received and sent.
 * A line that is not an interface with its sixteen counters is passed over.
 */
export function parseNetDev(text: string): ReadonlyMap<string, InterfaceBytes> {
  const interfaces = new Map<string, InterfaceBytes>();
  for (const line of text.split('\n')) {
    const at = line.lastIndexOf(':');
    const name = line.slice(0, Math.max(0, at)).trim();
    const columns = line.slice(at + 1).trim();
    if (!/^\S+$/.test(name) || !/^[0-9 ]+$/.test(columns)) continue;
    const counters = columns.split(/ +/).map(Number);
    const [rx_bytes] = counters;
    const tx_bytes = counters[TX_BYTES_COLUMN];
    if (counters.length !== COUNTER_COLUMNS) continue;
    if (rx_bytes !== undefined && tx_bytes !== undefined) interfaces.set(name, { rx_bytes, tx_bytes });
  }
  return interfaces;
}
