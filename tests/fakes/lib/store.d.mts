/** A domain of the fake, as far as tests look into it. */
export interface FakeDomain {
  readonly id: number;
  readonly name: string;
  readonly phase: 'building' | 'up' | 'off';
  readonly memory_mib: number;
  readonly pauses: number;
  /** The process that xl has left for it. */
  readonly xl?: number;
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
  uuid: string;
  minor: number;
  active: boolean;
  /** Its name in the device mapper, where an lvrename was killed before it came to that. */
  torn_name?: string;
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
/** A process of xl's. */
export interface FakeXl {
  /** The fake's own number for it; no process of the machine's has such a one. */
  readonly pid: number;
  readonly real_pid: number;
  readonly started: string;
  readonly args: readonly string[];
  /** The file in xl's folder of logs that it holds open. */
  readonly log: string | null;
}
/** xendomains.service, as systemctl shows it. */
export interface XendomainsState {
  load_state: string;
  unit_file_state: string;
  active_state: string;
  sub_state: string;
  /** 0 for none. */
  job: number;
}
/** A volume group; `missing_pv`: what lies on a physical volume that is not there. */
export interface FakeGroup {
  uuid: string;
  extents: number;
  lvs: FakeVolume[];
  missing_pv?: { uuid: string; volumes: readonly string[] | 'all' };
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
  vgs: Record<string, FakeGroup>;
  /** Groups none of whose disks is there. */
  away_vgs?: Record<string, FakeGroup>;
  lvm_filter?: string;
  lvm_scan_lvs?: 0 | 1;
  /** What else the node's lvm.conf says: `log/prefix` -> its value. */
  lvm_settings?: Record<string, string>;
  /** How many files LVM's archive of former metadata has, where they are more than it likes. */
  lvm_archives?: number;
  xls: Record<string, FakeXl>;
  xendomains: XendomainsState;
  lost_reboots?: string[];
  ended: Record<string, number | 'destroyed'>;
}
export function withState<T>(
  root: string,
  change: (state: World, now_ms: number) => T | Promise<T>,
): Promise<T>;
export function withLock<T>(root: string, work: () => T | Promise<T>): Promise<T>;
export function replaceFile(path: string, text: string): void;
