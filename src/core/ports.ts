import type { Disk, ImageType } from './disks.ts';
import type { OwnSettings } from './own-settings.ts';
import type { GuestPresence } from './presence.ts';
import type { Domain, SelfInstalledGuest, VpsId } from './vps.ts';

export type * from './disks.ts';

/** Xen's toolstack. Every answer is Xen's own; nothing is kept here. Errors: `program_*`. */
export interface Hypervisor {
  /** All domains but Domain-0, any state. Concurrent callers share one listing; after any change it is asked anew. */
  list(): Promise<readonly Domain[]>;
  /** The VPS's domain in whatever state, or undefined where Xen lists none. */
  find(vps: VpsId): Promise<Domain | undefined>;
  /** What there is of the VPS's guest: the one answer to whether it is stopped. */
  presence(vps: VpsId): Promise<GuestPresence>;
  /** Boots the guest from its configuration file. */
  create(vps: VpsId, config_path: string): Promise<void>;
  /** Has a saved guest go on where it was; its saved memory is gone before it runs. Error: `vps_not_running` where none is saved. */
  restore(vps: VpsId): Promise<void>;
  /** Lets go of a guest's saved memory, as pulling the plug would; none is fine. */
  forgetSaved(vps: VpsId): Promise<void>;
  /**
   * Brings to an end what was begun with guests' saved memory, and sets aside what no guest can go on from any more. Returns what
   * was done, a sentence each. The caller holds the VPS's lock.
   */
  tidySaved(vps: VpsId): Promise<readonly string[]>;
  /** The VPSes of which there is saved memory, or what is left of its use. */
  savedVpses(): Promise<readonly VpsId[]>;
  /**
   * Asks the guest to power off, and waits at most `wait_ms` until its domain is gone; `stopping` where it is not by then. Once it was
   * asked, `onAsked` is awaited: what follows only looks. Errors: `vps_not_running`, and `program_failed` where the guest cannot be
   * asked, came back, or stays as a dead domain.
   */
  shutdown(vps: VpsId, wait_ms: number, onAsked?: () => Promise<void>): Promise<'stopped' | 'stopping'>;
  /** Whether this process asked the domain to power off, and it may still do so. */
  isAskedToStop(domain: Domain): boolean;
  /** Says that an order wants the stopped guest stopped: where a reboot of its own was lost, it is not made up for. */
  leaveStopped(vps: VpsId): Promise<void>;
  /** Powers the guest off at once and waits until its domain is gone. */
  destroy(vps: VpsId, wait_ms: number): Promise<void>;
  /** Memory that Xen can still give to guests, in MiB (`xl info`, free_memory). */
  freeMemory_mib(): Promise<number>;
}

/** A guest's network interface; the first one is the guest's primary. */
export interface Nic {
  readonly ip: string;
  readonly netmask: string;
  /** 0.0.0.0: the network has none (/31 and /32, RFC 3021). */
  readonly broadcast: string;
}

/**
 * A lock that is held until it is released, or this process dies; and beyond that, for as long as a program lives that was
 * started under it (src/core/held-locks.ts).
 */
export interface HeldLock {
  /** The open file that the lock is on; undefined once it was released. */
  readonly fd: number | undefined;
  /** Makes sure that the lock still keeps others out. Error: `lock_lost` where its file was removed or replaced. */
  requireHeld(): void;
  /** Lets go; once more is fine. */
  release(): Promise<void>;
}

/** flock(2) on files, across processes: who dies lets go. Errors: `program_*`, `lock_lost`. */
export interface FileLocks {
  /**
   * Takes the lock, waiting for it at most `wait_ms`; undefined where somebody else holds it. Any number may hold a `shared`
   * one, and then nobody an exclusive one.
   */
  tryLock(file: string, wait_ms?: number, kind?: 'exclusive' | 'shared'): Promise<HeldLock | undefined>;
}

/** One writer per VPS, across processes (flock on a file in the run directory). Error: `vps_busy`, naming the holder. */
export interface VpsLocks {
  /** Without `wait_ms` a lock that somebody holds is refused at once. */
  acquire(vps: VpsId, holder: string, wait_ms?: number): Promise<HeldLock>;
  /**
   * Claims the VPS's disks for work on them: Xen's block script of ours, which asks for the claim too, then starts no guest on
   * them. `cannot` is what is refused, as in "cannot be checked". Errors: `vps_running` where the guest is being started,
   * `vps_busy` where something works on its disks already.
   */
  claimDisks(vps: VpsId, cannot: string): Promise<HeldLock>;
}

/** Kinds of work that outlive the daemon. */
export type JobKind = 'reinstall' | 'fsck';

/** What a reinstall was asked for; the root password travels apart, as the job's secret (a crypt(3) hash). */
export interface ReinstallRequest {
  readonly os: string;
  readonly memory_mb: number;
  readonly nics: readonly Nic[];
  readonly gateway: string;
  readonly dns: readonly string[];
  readonly image_type: ImageType;
  /** As the caller was answered that it will be done: what is to stay is not built over, whatever has changed since. */
  readonly mode?: 'swap' | 'in-place';
  /** What an admin said by hand for this VPS alone. */
  readonly own?: OwnSettings;
}

/** What a check was asked for. */
export interface FsckRequest {
  readonly image_type: ImageType;
}

/** The request that goes with each kind. */
export interface JobRequests {
  readonly reinstall: ReinstallRequest;
  readonly fsck: FsckRequest;
}

/** A step of a job; times are ISO 8601. */
export interface JobStep {
  readonly name: string;
  /** Its part of the whole job's time, as far as that is known beforehand, in percent. */
  readonly share: number;
  readonly started: string;
  readonly ended?: string;
}

/** What a job comes to where it ends at this moment, however it does. */
export interface JobFate {
  /** `succeeded`: all that counts is done, or will be whatever happens. */
  readonly state: 'succeeded' | 'failed';
  /** What that means for the VPS, and what an admin does about it: a sentence. */
  readonly told: string;
}

/** Where a job stands, as its folder says. */
export interface JobStatus {
  readonly id: string;
  readonly kind: JobKind;
  readonly vps: string;
  readonly state: 'queued' | 'running' | 'succeeded' | 'failed';
  readonly created: string;
  /** Of the kernel that it was made under: with another one, no process of it lives. */
  readonly boot_id?: string;
  readonly ended?: string;
  readonly steps: readonly JobStep[];
  readonly fate?: JobFate;
  /** One sentence, once it has ended: what came of it. */
  readonly message?: string;
}

/** Jobs, in folders that outlive this process (one un-ended job per VPS). */
export interface Jobs {
  /**
   * Starts a job and returns when its process holds the job's lock. The caller holds the VPS's lock; the job takes it over
   * when the caller lets go. `secret` goes into a 0600 file that the job removes. Errors: `vps_busy`, `program_*`.
   */
  start<K extends JobKind>(kind: K, vps: VpsId, request: JobRequests[K], secret?: string): Promise<JobStatus>;
  /** The VPS's un-ended job. One whose process is dead is settled as failed first, and its mounts are taken down. */
  current(vps: VpsId): Promise<JobStatus | undefined>;
  /**
   * Tells the VPS's job to end, and waits until it has and nothing of it is left; one that does not hear is killed. Returns
   * how it ended, by that or by itself; undefined where none ran.
   */
  cancel(vps: VpsId): Promise<JobStatus | undefined>;
  /** The VPS's newest job, ended or not. */
  last(vps: VpsId): Promise<JobStatus | undefined>;
  /** The last lines (0: all, up to a cap) of the VPS's newest reinstall log; undefined where there never was one. */
  installLog(vps: VpsId, lines: number): Promise<string | undefined>;
  /** Forgets the VPS's ended jobs and logs (killVPS). */
  forget(vps: VpsId): Promise<void>;
}

/** Counters of a guest, as the node's kernel has them; bytes from dom0's side (contract, "A performance sample"). */
export interface GuestCounters {
  readonly cpu_seconds: number;
  /** What dom0 received on the guest's first vif: what the guest sent. */
  readonly vif_rx_bytes: number;
  /** What dom0 sent on it: what the guest received. */
  readonly vif_tx_bytes: number;
  readonly root_sectors: number;
  readonly swap_sectors: number;
}

/** Sectors read and written on a disk: counted for this guest alone, or for its volume whoever used it. */
export interface DiskReading {
  readonly sectors: number;
  readonly counted_for: 'guest' | 'volume';
}

/** One VPS's counters with what they belong to; what the kernel does not count at this moment is undefined. */
export interface GuestReading {
  readonly vpsname: string;
  readonly domid: number;
  readonly cpu_seconds: number;
  readonly vif_rx_bytes?: number | undefined;
  readonly vif_tx_bytes?: number | undefined;
  readonly root?: DiskReading | undefined;
  readonly swap?: DiskReading | undefined;
}

/** The counters of one boot of the node. */
export interface NodeReading {
  /** The kernel's boot_id; empty where it tells none. */
  readonly boot_id: string;
  readonly guests: readonly GuestReading[];
}

/** Reads the kernel's counters; one that cannot be read is undefined and never an error. */
export interface CounterReader {
  /** The readings of those domains that are VPSes. */
  read(domains: readonly Domain[]): Promise<NodeReading>;
}

/** One VPS in one sample, names as on the wire (contract, "A performance sample"). */
export interface GuestSample {
  readonly vpsname: string;
  readonly timestamp: number;
  readonly diff_cpu_time: number;
  readonly diff_net_inbytes: number;
  readonly diff_net_outbytes: number;
  readonly diff_filesystem_sectors: number;
  readonly diff_swap_sectors: number;
  readonly cpu_time: number;
  readonly net_inbytes: number;
  readonly net_outbytes: number;
  readonly filesystem_sectors: number;
  readonly swap_sectors: number;
}

/** One minute's sample: every running VPS. */
export interface Sample {
  readonly timestamp: number;
  readonly guests: readonly GuestSample[];
}

/** Samples handed out for delivery: exactly one of the two is called, once. */
export interface SampleDelivery {
  readonly samples: readonly Sample[];
  /** The client has read the answer: the samples are deleted. */
  delivered(): Promise<void>;
  /** It is not known to have: they stay, and come again. */
  kept(): void;
  /** Resolves when another caller waits for this delivery's end. */
  readonly wanted: Promise<void>;
}

/** The sample spool. One delivery at a time: a second caller waits for the first one's end. */
export interface Samples {
  /** The oldest `count` samples (0: all), oldest first. */
  take(count: number): Promise<SampleDelivery>;
  /**
   * Deletes the samples up to the one of this timestamp (seconds, to the millisecond), in the order of taking, or none where none
   * has it; then reads the oldest `count` (0: all), which stay until they are confirmed so.
   */
  confirm(timestamp: number, count: number): Promise<readonly Sample[]>;
  /** A guest's counters now; undefined where it does not run. */
  counters(vps: VpsId): Promise<GuestCounters | undefined>;
}

/** Isos that are kept for a guest, and why the others are not: a clause each. */
export interface PinnedIsos {
  readonly paths: readonly string[];
  readonly left_out: readonly { readonly file: string; readonly why: string }[];
}

/** The console user xenNN of a VPS, and the VPS's SOAP user. Errors: `not_found`, `program_*`. */
export interface Accounts {
  /** Sets the Unix password of the console user, which is made where it is missing. */
  setConsolePassword(vps: VpsId, password: string): Promise<void>;
  /** Replaces the console user's authorized_keys with this one key. */
  setSshKey(vps: VpsId, key: string): Promise<void>;
  /** Sets the SOAP password of user xenNN in htpasswd. */
  setSoapPassword(vps: VpsId, password: string): Promise<void>;
  /**
   * Makes sure that the folder of the console users' homes is there: keys in it that are not seen now are not taken away.
   *
   * @throws AgentError store_away
   */
  requireHomes(): Promise<void>;
  /** Takes every way in from the VPS's owner (killVPS): SOAP user, console password, sessions, and with the account its ssh keys. */
  revoke(vps: VpsId): Promise<void>;
  /** Deletes what the owner has left, once every way in is taken: the home, and pinned isos. */
  forget(vps: VpsId): Promise<void>;
  /** The *.iso files in the console user's home, sorted. */
  isoFiles(vps: VpsId): Promise<readonly string[]>;
  /** Keeps an iso of {@link isoFiles} where its owner cannot exchange it; its path there, or undefined where there is none. */
  pinIso(vps: VpsId, file: string): Promise<string | undefined>;
  /** Keeps isos of {@link isoFiles} as {@link pinIso} does, in their order, `count` at most: those beside `but` that may be used. */
  pinOtherIsos(vps: VpsId, but: string, count: number): Promise<PinnedIsos>;
  /** Lets go of the VPS's pinned isos, but of those at these paths. */
  unpinIsos(vps: VpsId, but: readonly string[]): Promise<void>;
  /** A crypt(3) hash (SHA-512) of a root password, made without an argument list ever seeing it. */
  hashRootPassword(password: string): Promise<string>;
}

/** What is changed inside a stopped guest's root file system, without running anything of it. Errors: `program_*`. */
export interface GuestRoots {
  /** Sets root's password to a crypt(3) hash. The caller has made sure that nothing uses the disk. */
  setRootPassword(disk: Disk, hash: string): Promise<void>;
}

/** Programs of an operating system template, by their paths (contract, "Files, names and programs that stay"). */
export interface TemplatePrograms {
  readonly install_os: string;
  /** Says what `install_os` makes the same system of for every VPS (docs/templates.md). */
  readonly base_inputs?: string;
  readonly custom_os?: string;
  readonly setup_network?: string;
  readonly last_stage_custom?: string;
}

/**
 * An operating system, as it is put onto a VPS: `debian` by the agent itself (release undefined: the configured one),
 * `template` by the programs of a folder, `self-installed` by the guest, from an iso or an install kernel.
 */
export type OperatingSystem =
  | { readonly kind: 'debian'; readonly release: string | undefined }
  | { readonly kind: 'template'; readonly programs: TemplatePrograms }
  | { readonly kind: 'self-installed'; readonly guest: SelfInstalledGuest };

/** What an ostype stands for. */
export interface Installable {
  /** The operating system's name: the ostype, or what the appliance depends on. */
  readonly os: string;
  /** What is installed, for people, where that is not what the ostype says. */
  readonly told_as?: string;
  readonly system: OperatingSystem;
  /** The folder of the appliance that is set up at the guest's first boot, where the ostype is one's name. */
  readonly appliance: string | undefined;
  /** Whether the appliance's setup-script wants the root password itself, which is kept as a hash elsewhere. */
  readonly wants_root_password?: true;
}

/** Operating system templates and appliances. */
export interface Templates {
  /** What getInstallableOS lists: folders, and their variants such as debian-trixie. */
  operatingSystems(): Promise<readonly string[]>;
  applications(): Promise<readonly string[]>;
  /** Finds what an ostype stands for. Error: `unknown_os`, for an appliance whose operating system is not there, too. */
  find(ostype: string): Promise<Installable>;
}

/** The SOAP users and their passwords: htpasswd. Errors: `program_*`, `internal` where the file cannot be read. */
export interface PasswordFile {
  /** A mark of a user's line, or of there being none: another one when that changes, and by no other line. */
  mark(user: string): Promise<string>;
  /** Whether the pair is right; takes the same time for a user who does not exist. */
  verify(user: string, password: Uint8Array): Promise<boolean>;
  /** Sets a user's password; every other line stays as it is. Errors: `invalid_value`, too. */
  setPassword(user: string, password: string): Promise<void>;
  /** Takes a user out; one who is not there is fine. */
  removeUser(user: string): Promise<void>;
}
