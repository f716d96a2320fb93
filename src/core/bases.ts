import type { Config } from '../config/schema.ts';
import { AgentError } from './errors.ts';
import type { BaseVolume, HeldLock } from './ports.ts';
import type { Command } from './runner.ts';

/** A Debian to be installed. */
export interface DebianSystem {
  readonly release: string;
  /** Empty: the mirror in dom0's own apt sources. */
  readonly mirror: string;
  /** More packages than every guest gets, in any order. */
  readonly packages: readonly string[];
}

/** An address that mmdebstrap and debootstrap can fetch from; one of IPv6 stands in brackets (RFC 3986). */
const MIRROR =
  /^(?:(?:https?|file|copy):\/[A-Za-z0-9._~:/%@+=-]+|https?:\/\/\[[0-9A-Fa-f:.]+\](?::[0-9]+)?\/[A-Za-z0-9._~:/%@+=-]*)$/;

/** Whether Debian can be fetched from an address of this form. */
export const isMirror = (address: string): boolean => MIRROR.test(address);

/** A mirror's address for people: without the user and password that may stand in it. */
export const tellMirror = (address: string): string => address.replace(/\/\/[^/@]*@/, '//');

/** Error: `invalid_value` where debian_repo is no address that Debian can be fetched from. */
export function requireMirror({ debian_repo }: Pick<Config, 'debian_repo'>): void {
  if (debian_repo === '' || isMirror(debian_repo)) return;
  throw new AgentError(
    'invalid_value',
    `debian_repo in dtc-xen.conf is ${tellMirror(debian_repo)}: Debian is fetched over http and https alone. Set another one, or none, and dom0's own mirror is used.`,
  );
}

/** The Debian that the configuration asks for, or another release of it. */
export function debianSystem(
  config: Pick<Config, 'debian_release' | 'debian_repo' | 'debian_added_debs'>,
  release: string = config.debian_release,
): DebianSystem {
  const packages = config.debian_added_debs.split(/[ ,]+/).filter((name) => name !== '');
  return { release, mirror: config.debian_repo, packages };
}

/** How a script of an installation is run: see {@link Command}. */
export type InstallScriptOptions = Pick<Command, 'timeout_ms' | 'ends_with_caller'>;

/** Where an installation goes on: a step of a job, or a program that an admin called. */
export interface InstallContext {
  /** Aborted where the installation is cancelled. */
  readonly signal: AbortSignal;
  /** Adds a line to the log of the installation. */
  log(line: string): void;
  /** Runs `scripts_dir/name`; its output goes to the same log. Errors: `program_*`. */
  script(name: string, args: readonly string[], options: InstallScriptOptions): Promise<unknown>;
}

/** A system that a template puts onto a disk, the same for every VPS. */
export interface TemplateSystem {
  /** The ostype. */
  readonly os: string;
  /** All that decides what comes out, in any form. */
  readonly made_from: readonly string[];
  readonly needs_kib: number;
  /** Makes a file system with it on this disk. */
  fill(path: string): Promise<unknown>;
}

/** A base on a volume, which stays there at least until it is released. */
export interface HeldVolume {
  readonly volume: BaseVolume;
  readonly lock: HeldLock;
  release(): Promise<void>;
}

/** Bootstrapped systems that are kept, so that a system is bootstrapped once and installed many times. */
export interface Bases {
  /**
   * Puts a Debian on a mounted, empty root: from the base that is kept for it, which is made first where there is none.
   * ssh host keys are new; machine-id is empty.
   *
   * @throws AgentError program_*, timeout (another installation that makes the base does not come to its end)
   */
  install(system: DebianSystem, root: string, context: InstallContext): Promise<void>;
  /**
   * A base as a volume, for a root disk of this size to begin as a copy of it; made first where there is none. Undefined
   * where the node has no thin pool, or the pool no room, or the disk is too small.
   *
   * @throws AgentError as `install`
   */
  volume(
    of: { readonly debian: DebianSystem } | { readonly template: TemplateSystem },
    disk_bytes: number,
    context: InstallContext,
  ): Promise<HeldVolume | undefined>;
}
