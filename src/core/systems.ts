import type { GuestFile } from './guest-configs.ts';
import type { BaseVolume, Disk, ImageType } from './ports.ts';
import type { VpsId } from './vps.ts';

/**
 * How a reinstall treats the system that is there: `swap` builds beside it and then exchanges the names, `in-place` builds
 * over it.
 */
export type ReinstallMode = 'swap' | 'in-place';

/** How a reinstall will be done, decided by configuration and room. */
export interface ReinstallChoice {
  readonly mode: ReinstallMode;
  /** The old system of an earlier reinstall goes before the new one is begun: only its room makes that possible. */
  readonly old_goes_first: boolean;
  /** What becomes of the system that is there, in a sentence; undefined where there is none. */
  readonly told: string | undefined;
}

/** A system that is whole on the disk of {@link Systems.begin}, and the configuration that it is started with. */
export interface NewSystem {
  readonly type: ImageType;
  readonly config: GuestFile;
  /** The id of the job that made it. */
  readonly job: string;
}

/**
 * The systems of a VPS: the one that it runs, the one that is being made (xenNN.new), and the one before (xenNN.old), which
 * stays for reinstall_keep_hours. Every caller holds the VPS's lock. Errors: `vps_running`, `disks_in_use`, `disks_missing`,
 * `no_space`, `no_volume_group`, `program_*`.
 */
export interface Systems {
  /** Decides how a reinstall is done. Error: `no_space` where reinstall_mode is swap, and there is no room. */
  choose(vps: VpsId, type: ImageType): Promise<ReinstallChoice>;
  /** Makes the disk of the system to come, empty or a copy of a base; what an earlier attempt left goes. */
  begin(vps: VpsId, type: ImageType, choice: ReinstallChoice, base?: BaseVolume): Promise<Disk>;
  /** Says that the new system is whole. From now on {@link settle} puts it in its place, whatever happens. */
  approve(vps: VpsId, fresh: NewSystem): Promise<void>;
  /**
   * Finishes what was begun: an approved system takes its place, an unfinished one goes; a deletion that has come to nothing is
   * forgotten, and another one is left to who ordered it. Nothing begun is fine.
   *
   * @returns what was done, in a sentence; undefined where there was nothing to do
   * @throws AgentError vps_running, disks_in_use: nothing was touched, and a later call goes on
   */
  settle(vps: VpsId): Promise<string | undefined>;
  /** Exchanges the system and the old one, with their configurations. Error: `not_found`, saying when the old one went. */
  rollback(vps: VpsId): Promise<void>;
  /** Deletes the old system where it has had its time; with reinstall_keep_hours = 0 at once. */
  dropExpired(vps: VpsId): Promise<string | undefined>;
  /** Deletes old systems of other VPSes, the oldest first and no more than are needed for this room, where that helps. */
  makeRoom(type: ImageType, needed_bytes: number, wanted_for: VpsId): Promise<void>;
  /** Makes sure that no killVPS of the VPS was cut off. Error: `vps_busy`. */
  requireWhole(vps: VpsId): Promise<void>;
  /** Notes that all of the VPS is deleted from now on, its configuration first: the name is given to nobody before {@link forget}. */
  beginDeletion(vps: VpsId): Promise<void>;
  /** Takes that back, where nothing has gone. */
  stopDeletion(vps: VpsId): Promise<void>;
  /** Forgets what is noted of the VPS's systems: the end of their deletion. */
  forget(vps: VpsId): Promise<void>;
}
