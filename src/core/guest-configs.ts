// Guests' configurations: what goes into them, and who keeps them.
import type { ImageType } from './disks.ts';
import type { Nic } from './ports.ts';
import type { Screen } from './screens.ts';
import type { VpsId } from './vps.ts';

/** What /etc/xen/xenNN is written from. */
export interface GuestConfig {
  readonly vps: VpsId;
  readonly memory_mb: number;
  /** Of {@link GuestConfigStore.mac}. */
  readonly mac: string;
  readonly nics: readonly Nic[];
  readonly disks: { readonly type: ImageType; readonly root: string; readonly swap: string };
  readonly kernel: string;
  readonly initrd: string | undefined;
}

/** What the configuration of a guest that installs itself is written from. */
interface OwnInstallation {
  readonly vps: VpsId;
  readonly memory_mb: number;
  /** Of {@link GuestConfigStore.mac}. */
  readonly mac: string;
  readonly ips: readonly string[];
  readonly disks: { readonly type: ImageType; readonly root: string; readonly swap: string };
}

/** Drives for CD images that a fully virtualized guest has beside its two disks: qemu emulates four IDE drives. */
export const CD_DRIVES = 2;

/** A fully virtualized guest (xl.cfg(5), type="hvm"). */
export interface HvmConfig extends OwnInstallation {
  /** Undefined: no screen. */
  readonly screen: Screen | undefined;
  /** CD images in its drives, {@link CD_DRIVES} at most. */
  readonly isos: readonly string[];
  /** Boots from the first of them, and else from the disk. */
  readonly boots_iso: boolean;
}

/** A BSD guest, paravirtual, with a kernel of its own. */
export interface BsdConfig extends OwnInstallation {
  readonly kernel: string;
}

/** A guest's configuration as it stands in its file. */
export interface GuestFile {
  /** Every byte as one character (latin1), whatever an admin wrote. */
  readonly text: string;
  readonly mode: number;
  /** Whether the autostart link is there. */
  readonly autostart: boolean;
}

/** The files /etc/xen/xenNN and /etc/xen/auto/xenNN. */
export interface GuestConfigStore {
  /** Path of the VPS's configuration file, whether it exists or not. */
  path(vps: VpsId): string;
  exists(vps: VpsId): Promise<boolean>;
  /**
   * The MAC address that the VPS has for life: of its configuration, or of the one that was {@link withdraw}n; where there is none,
   * a new one, that no other configuration on the node has. Error: `invalid_value` where vps_mac_prefix cannot be used.
   */
  mac(vps: VpsId): Promise<string>;
  /** Makes sure that no other VPS of the node has an address. Error: `invalid_value`, which names who has it. */
  requireFreeMac(vps: VpsId, mac: string): Promise<void>;
  /** Renders a paravirtual guest, and checks every value that goes in. Error: `invalid_value`. */
  render(config: GuestConfig): GuestFile;
  /** Renders a paravirtual guest as {@link render} does, and writes it atomically. */
  write(config: GuestConfig): Promise<void>;
  /** The same for a fully virtualized guest; only root may read it, for the password in it. */
  writeHvm(config: HvmConfig): Promise<void>;
  /** The same for a BSD guest. */
  writeBsd(config: BsdConfig): Promise<void>;
  /** Makes the autostart link; there already is fine. */
  enableAutostart(vps: VpsId): Promise<void>;
  /** Removes the autostart link; gone already is fine. */
  disableAutostart(vps: VpsId): Promise<void>;
  /** The configuration as it is now; undefined where there is none. */
  read(vps: VpsId): Promise<GuestFile | undefined>;
  /** Makes file and link what a {@link GuestFile} says; undefined removes both. */
  put(vps: VpsId, file: GuestFile | undefined): Promise<void>;
  /** Removes the configuration and the autostart link; gone already is fine. */
  remove(vps: VpsId): Promise<void>;
  /** The same while a system is built in place: what the VPS keeps for life is remembered until the next configuration is written. */
  withdraw(vps: VpsId): Promise<void>;
  /** Lets go of what was remembered: the VPS is deleted, and its number may be another's. */
  forget(vps: VpsId): Promise<void>;
}
