/** A domain of the fake, as far as tests look into it. */
export interface FakeDomain {
  readonly id: number;
  readonly name: string;
  readonly phase: 'building' | 'up' | 'off';
  readonly memory_mib: number;
  readonly pauses: number;
  cpu_s: number;
  readonly disks: FakeDisk[];
  readonly nics: FakeNic[];
}
export interface FakeDisk {
  readonly path: string;
  readonly vdev: string;
  readonly backend: 'vbd' | 'qdisk';
  readonly minor?: number;
  rd_req: number;
  rd_sect: number;
  wr_req: number;
  wr_sect: number;
}
export interface FakeNic {
  readonly ifname: string;
  readonly mac: string;
  readonly bridge: string;
  rx_bytes: number;
  rx_packets: number;
  tx_bytes: number;
  tx_packets: number;
}
export interface FakeVolume {
  name: string;
  minor: number;
  active: boolean;
  segments: [start: number, length: number][];
  io: { rd_req: number; rd_sect: number; wr_req: number; wr_sect: number };
  /** Of a thin volume: its size in extents, and its pool. */
  virtual?: number;
  pool?: string;
  /** Of a pool, where a test sets them: what LVM would find. */
  health?: string;
  metadata_percent?: string;
  no_zeroing?: boolean;
}
/** The whole fake host. */
export interface World {
  host: {
    name: string;
    started_ms: number;
    memory_mib: number;
    dom0_mib: number;
    dom0_vcpus: number;
    dom0_cpu_s: number;
    overhead_mib: number;
    bridges: string[];
    powered_off?: 'poweroff' | 'reboot';
  };
  timing: Record<string, number>;
  next_domid: number;
  domains: FakeDomain[];
  guests: Record<string, { acknowledges?: boolean; powers_off?: boolean }>;
  vgs: Record<string, { uuid: string; extents: number; lvs: FakeVolume[] }>;
  ended: Record<string, number | 'destroyed'>;
}
export function withState<T>(
  root: string,
  change: (state: World, now_ms: number) => T | Promise<T>,
): Promise<T>;
export function withLock<T>(root: string, work: () => T | Promise<T>): Promise<T>;
export function replaceFile(path: string, text: string): void;
