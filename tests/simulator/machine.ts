// The node: its clock, file systems, volume group, processes and Xen, as the real code meets them.
import { Chance } from './chance.ts';
import type { Disk, DiskUser } from './disk.ts';
import { Engine, type Process } from './engine.ts';
import { FileSystem } from './file-system.ts';
import type { OpenFile } from './open-files.ts';
import { Mounts } from './paths.ts';
import type { Program } from './program.ts';
import { VolumeGroup } from './volumes.ts';
import { Watch } from './watch.ts';
import { Xen } from './xen.ts';

/** Where things are on the node. */
export const AT = {
  state: '/var/lib/dtc-xen',
  images: '/srv/images',
  samples: '/var/lib/dtc-xen/perfdata',
  run: '/run/dtc-xen',
  xen: '/etc/xen',
  saved: '/var/lib/xen/save',
  xen_log: '/var/log/xen',
  scripts: '/usr/share/dtc-xen/scripts',
  config: '/etc/dtc-xen/dtc-xen.conf',
} as const;

/** What is mounted by a job, in mounts of its own, or by a script. */
export interface RootMount {
  readonly at: string;
  readonly disk: Disk;
  readonly user: DiskUser;
  /** Whose mounts it is among; undefined: everybody's. */
  readonly owner: Process | undefined;
}

/** When the wall clock begins. */
const EPOCH_MS = Date.UTC(2026, 10, 20, 8, 0, 0);

/** The node. */
export class Machine {
  readonly engine = new Engine();
  readonly chance: Chance;
  readonly watch: Watch;
  readonly xen: Xen;
  readonly mounts: Mounts;
  volumes: VolumeGroup;
  images: FileSystem;
  readonly samples: FileSystem;
  readonly processes = new Map<number, Process>();
  readonly programs = new Map<number, Program>();
  /** Files that are open by a descriptor, which locks belong to. */
  readonly open_files = new Map<number, OpenFile>();
  readonly root_mounts: RootMount[] = [];
  /** What the agent's processes have logged. */
  readonly log: string[] = [];
  boot = 1;
  booted_ms = 0;
  clock_ms = EPOCH_MS;
  /** Whether an EIO or a full disk was made: what the agent says then is the fault's own. */
  faulty = false;
  /** xendomains as systemd tells it. */
  xendomains: 'waiting' | 'starting' | 'saving' | 'done' = 'done';
  #last_pid = 100;
  #copies = 0;

  constructor(seed: number, size: { readonly images_mib: number; readonly volumes_mib: number }) {
    this.chance = new Chance(seed);
    this.watch = new Watch(this);
    this.xen = new Xen(this);
    this.mounts = new Mounts(this.fileSystem('root', 4096));
    this.images = this.fileSystem('images', size.images_mib);
    this.samples = this.fileSystem('samples', 64);
    this.mounts.put(AT.samples, 'folder', '', 0o700);
    this.mounts.mount(AT.samples, this.samples);
    this.volumes = new VolumeGroup('vg-uuid-1', size.volumes_mib);
    this.mounts.put(AT.images, 'folder', '', 0o755);
    this.mounts.mount(AT.images, this.images);
    this.mounts.put('/run', 'folder');
    this.mounts.mount('/run', this.fileSystem('run', 64));
  }

  fileSystem(label: string, capacity_mib: number): FileSystem {
    return new FileSystem(label, capacity_mib, {
      now: () => this.wall_ms(),
      onGone: (disk) => this.watch.deleted(disk),
    });
  }

  /** What the wall clock says. */
  wall_ms(): number {
    return this.clock_ms + this.engine.now;
  }

  uptime_ms(): number {
    return this.engine.now - this.booted_ms;
  }

  boot_id(): string {
    return `00000000-0000-4000-8000-${String(this.boot).padStart(12, '0')}`;
  }

  pid(): number {
    this.#last_pid += 1;
    return this.#last_pid;
  }

  /** The disk that a path leads to: a volume's device, or an image file. */
  diskAt(path: string): Disk | undefined {
    const [, name] = /^\/dev\/vg0\/(.+)$/.exec(path) ?? [];
    if (name !== undefined) return this.volumes.is_there ? this.volumes.mapped.get(name)?.disk : undefined;
    return this.mounts.isThere(path) ? this.mounts.find(path, 'open').inode?.disk : undefined;
  }

  /** Closes a process's or program's files: a lock goes when the last one has closed its file. */
  letGo(holder: object): void {
    for (const [fd, file] of this.open_files) {
      file.holders.delete(holder);
      if (file.holders.size === 0) this.open_files.delete(fd);
    }
  }

  unmount(mount: RootMount): void {
    const at = this.root_mounts.indexOf(mount);
    if (at >= 0) this.root_mounts.splice(at, 1);
    mount.disk.users.delete(mount.user);
  }

  /** Ends a process of the agent as SIGKILL does; of one with namespaces of its own, all that it started and mounted. */
  kill(process: Process): void {
    if (!process.alive) return;
    process.alive = false;
    this.processes.delete(process.pid);
    for (const companion of process.companions) companion.kill();
    if (process.contained) {
      for (const program of [...this.programs.values()]) if (program.inside === process) program.kill();
      for (const mount of this.root_mounts.filter(({ owner }) => owner === process)) this.unmount(mount);
    }
    this.letGo(process);
    process.onEnd();
  }

  /** The power fails. */
  cutPower(): void {
    for (const process of [...this.processes.values()]) this.kill(process);
    for (const program of [...this.programs.values()]) program.kill();
    for (const mount of [...this.root_mounts]) this.unmount(mount);
    this.xen.cutPower();
    this.open_files.clear();
    const file_systems = new Set([...this.mounts.all().map(([, fs]) => fs), this.images, this.samples]);
    for (const fs of file_systems) fs.crash(this.chance);
    this.volumes.crash(this.chance);
    this.#begin();
  }

  /** An orderly reboot, when all has ended that was to end. */
  restart(): void {
    for (const process of [...this.processes.values()]) this.kill(process);
    for (const program of [...this.programs.values()]) program.kill();
    for (const mount of [...this.root_mounts]) this.unmount(mount);
    this.xen.cutPower();
    this.open_files.clear();
    for (const [, fs] of this.mounts.all()) fs.syncAll();
    this.images.syncAll();
    this.samples.syncAll();
    this.volumes.reboot();
    this.#begin();
  }

  #begin(): void {
    this.boot += 1;
    this.booted_ms = this.engine.now;
    this.mounts.mount('/run', this.fileSystem('run', 64));
    this.xendomains = 'waiting';
  }

  /** The folder of images is copied to another disk (`cp -a`), which is mounted in its place. */
  moveImages(): void {
    this.#copies += 1;
    const fresh = this.fileSystem(`images${this.#copies}`, this.images.capacity_bytes / 1024 / 1024 + 2000);
    this.images.copyTo(fresh, this.chance);
    this.images = fresh;
    if (this.mounts.at(AT.images)) this.mounts.mount(AT.images, fresh);
  }

  /** Takes a store away, or brings it back. */
  setStore(store: 'images' | 'volumes' | 'samples', is_there: boolean): void {
    if (store === 'volumes') this.volumes.is_there = is_there;
    else if (store === 'samples') {
      if (is_there) this.mounts.mount(AT.samples, this.samples);
      else this.mounts.unmount(AT.samples);
    } else if (is_there) this.mounts.mount(AT.images, this.images);
    else this.mounts.unmount(AT.images);
  }
}

/** The node of the story that is told now. */
export let machine: Machine;

/** Begins another story. */
export function setMachine(fresh: Machine): void {
  machine = fresh;
}
