// What may never happen, seen at the moment when it does.
import { Bill, isSample } from './bill.ts';
import type { Disk, DiskUser, System } from './disk.ts';
import type { Inode } from './file-system.ts';
import { AT, type Machine } from './machine.ts';
import type { Program } from './program.ts';
import type { Domain, Memory } from './xen.ts';

/** The promises of the issue: what is broken is told by one of these. */
export type Invariant =
  | 'deleted without an order'
  | 'told as installed, and gone'
  | 'two users of one disk'
  | 'memory thrown away'
  | 'another owner'
  | 'not nameable'
  | 'the bill'
  | 'a defect';

/** A broken promise. */
export interface Violation {
  readonly invariant: Invariant;
  readonly told: string;
}

/** What somebody has the right to expect deletions from. */
export interface Order {
  readonly what: 'kill' | 'reinstall' | 'room';
  readonly vps: string;
  readonly since_ms: number;
  /** When it was answered. */
  until_ms: number;
  /** Whether the answer was a refusal: nobody wants it any more. */
  refused: boolean;
}

const HOUR_MS = 3_600_000;
const roleOf = (name: string) => /\.(old|new|passing)(?:\.img)?$/.exec(name)?.[1] ?? 'current';
const baseName = (path: string) => path.slice(path.lastIndexOf('/') + 1);

/** The watch over a story. */
export class Watch {
  readonly violations: Violation[] = [];
  readonly bill = new Bill((told) => this.report('the bill', told));
  readonly orders: Order[] = [];
  /** Systems that may only go by an order, and whether they went so. */
  readonly precious = new Map<System, { vps: string; gone: boolean }>();
  /** Jobs whose system was told as installed. */
  readonly told = new Set<string>();
  /** What each job has made. */
  readonly made = new Map<string, { system: System; vps: string }>();
  keep_hours = 24;
  readonly #machine: Machine;
  constructor(machine: Machine) {
    this.#machine = machine;
  }

  /** Guests that were lost at their own reboot, and since when. */
  readonly lost_since = new Map<string, number>();

  /** Guests that are stopped by order, until somebody starts them; and how many orders to start each are open. */
  readonly left_stopped = new Set<string>();
  /** When a VPS got its next owner: it was killed by order, was without a configuration then, and had its disks made. */
  readonly handed_over = new Map<string, number>();
  /** VPSes of which an admin has removed a root disk. */
  readonly removed_by_hand = new Set<string>();
  readonly #starts = new Map<string, number>();

  startAsked(vps: string): () => void {
    const count = (by: number) => this.#starts.set(vps, (this.#starts.get(vps) ?? 0) + by);
    count(1);
    this.left_stopped.delete(vps);
    return () => {
      count(-1);
      this.left_stopped.delete(vps);
    };
  }

  leftStopped(vps: string): void {
    if ((this.#starts.get(vps) ?? 0) === 0 && !this.#machine.xen.find(vps)) this.left_stopped.add(vps);
  }

  handedOver(vps: string): void {
    const killed = this.orders.filter(
      (order) => order.what === 'kill' && order.vps === vps && !order.refused,
    );
    const last = killed.at(-1);
    if (last && !this.#machine.mounts.isThere(`${AT.xen}/${vps}`)) this.handed_over.set(vps, last.since_ms);
  }

  /** An admin removes a disk: what was on it is gone by his will. */
  removedByHand(disk: Disk): void {
    this.removed_by_hand.add(disk.vps);
    const { system } = disk;
    if (!system) return;
    this.treasure(system, disk.vps);
    const entry = this.precious.get(system);
    if (entry) entry.gone = true;
    system.precious = false;
  }

  lost(vps: string): void {
    this.lost_since.set(vps, this.#machine.engine.now);
  }

  report(invariant: Invariant, told: string): void {
    this.violations.push({ invariant, told });
  }

  treasure(system: System, vps: string): void {
    system.precious = true;
    if (!this.precious.has(system)) this.precious.set(system, { vps, gone: false });
  }

  /** The memory of guests that somebody may go on with. */
  #saved(): { name: string; memory: Memory }[] {
    const { mounts, xen } = this.#machine;
    if (!mounts.isThere(AT.saved)) return [];
    return [...mounts.get(AT.saved, 'watch').inode.entries].flatMap(([name, inode]) => {
      const memory = inode.text === 'memory' ? xen.memories.get(inode) : undefined;
      return memory && !/\.(?:left-behind|resuming)$/.test(name) ? [{ name, memory }] : [];
    });
  }

  /** What goes on with a disk; nothing does any more where a guest has run on that since, whoever started it. */
  #memoryOf(disk: Disk): string | undefined {
    return this.#saved().find(({ memory }) =>
      memory.disks.some((each) => each.disk === disk && each.version === disk.version),
    )?.name;
  }

  /** A disk is deleted: its last name, or its volume. */
  deleted(disk: Disk): void {
    for (const user of disk.users) {
      this.report('two users of one disk', `the ${disk.told} was deleted while ${user.name} has it open`);
    }
    const { system } = disk;
    if (!system?.precious) return;
    const order = this.#orderFor(disk);
    const entry = this.precious.get(system);
    if (order) {
      if (entry) entry.gone = true;
      return;
    }
    const age_h =
      disk.old_since_ms === undefined ? 0 : (this.#machine.engine.now - disk.old_since_ms) / HOUR_MS;
    const why =
      disk.old_since_ms === undefined ? 'nobody ordered it' : `it was old for ${age_h.toFixed(1)} h alone`;
    this.report('deleted without an order', `the ${disk.told} was deleted: ${why}`);
    if (entry) entry.gone = true;
  }

  /** Why a disk may be deleted; undefined where it may not. */
  #orderFor(disk: Disk): string | undefined {
    const { now } = this.#machine.engine;
    const ordered = (what: Order['what'], since_ms: number, vps?: string) =>
      this.orders.some(
        (order) =>
          order.what === what &&
          !order.refused &&
          (vps === undefined || order.vps === vps) &&
          order.until_ms >= since_ms,
      );
    if (ordered('kill', disk.made_ms, disk.vps)) return 'kill';
    const since = disk.old_since_ms;
    if (since === undefined) return undefined;
    if (ordered('reinstall', since, disk.vps)) return 'reinstall';
    if (!this.#hasCurrent(disk.vps)) return undefined;
    if (now - since >= this.keep_hours * HOUR_MS - 1000) return 'age';
    return ordered('room', since) ? 'room' : undefined;
  }

  /** Whether a VPS has a system that it can start: an empty disk is none. */
  #hasCurrent(vps: string): boolean {
    return this.everyRoot().some(({ name, disk }) => name === vps && disk.system?.whole === true);
  }

  /** What was on a disk is overwritten by another system: a reinstall in place, if anything was there. */
  overwritten(disk: Disk, by: Program): void {
    const { system } = disk;
    if (!system?.precious) return;
    const entry = this.precious.get(system);
    const in_place = this.orders.some(
      ({ what, vps, refused }) => what === 'reinstall' && vps === disk.vps && !refused,
    );
    if (!in_place) this.report('deleted without an order', `the ${disk.told} was overwritten by ${by.told}`);
    if (entry) entry.gone = true;
  }

  /** A disk gets another name. */
  renamed(disk: Disk, from: string, to: string): void {
    const role = roleOf(to);
    if (role === 'old') disk.old_since_ms ??= this.#machine.engine.now;
    else if (role === 'current') disk.old_since_ms = undefined;
    if (!/^xen[0-9]+/.test(baseName(from))) return;
    for (const user of disk.users) {
      if (user.what !== 'guest') continue;
      this.report(
        'two users of one disk',
        `the ${disk.told} was renamed from ${baseName(from)} to ${baseName(to)} while ${user.name} has it`,
      );
    }
    const saved = this.#memoryOf(disk);
    if (saved !== undefined) {
      this.report(
        'two users of one disk',
        `the ${disk.told} was renamed from ${baseName(from)} to ${baseName(to)} while the memory ${saved} is to go on with it`,
      );
    }
  }

  /** A program of the node writes to a disk. */
  written(disk: Disk, by: Program, as?: DiskUser): void {
    for (const user of disk.users) {
      if (user === as || user.what !== 'guest' || user.is_admins_own) continue;
      this.report('two users of one disk', `${by.told} writes to the ${disk.told} while ${user.name} has it`);
    }
    const saved = this.#memoryOf(disk);
    if (saved !== undefined) {
      this.report(
        'two users of one disk',
        `${by.told} writes to the ${disk.told} while the memory ${saved} is to go on with it`,
      );
    }
  }

  /** A guest's disk is opened for a domain. */
  opened(disk: Disk, user: DiskUser, path: string, domain: Domain): void {
    for (const other of disk.users) {
      if (other.what !== 'program') continue;
      if (this.#isAdminsOwn(user, other, domain)) {
        user.is_admins_own = true;
        continue;
      }
      this.report(
        'two users of one disk',
        `${domain.spec.name} was started on ${path} while ${other.name} works on it`,
      );
    }
  }

  /**
   * Whether an admin's own hands did it: a guest whose configuration is not ours was started by hand after the work on its disk
   * had begun, which nothing of ours is asked about.
   */
  #isAdminsOwn(user: DiskUser, other: DiskUser, domain: Domain): boolean {
    const is_ours = domain.spec.disks.every(({ script }) => script.endsWith('/block-dtc-xen'));
    const LOOK_MS = 600;
    return !is_ours && user.since_ms > other.since_ms - LOOK_MS && !domain.by_xendomains;
  }

  /** A domain that was started runs from here on. */
  booted({ disks, spec, by_reboot, by_hand, by_xendomains }: Domain): void {
    const is_agents = !by_reboot && !by_hand && !by_xendomains;
    if (is_agents && this.left_stopped.has(spec.name))
      this.report('not nameable', `${spec.name} was stopped by order, and the agent started it`);
    this.left_stopped.delete(spec.name);
    const root = disks.find(({ disk }) => disk.kind === 'root')?.disk;
    if (!root) return;
    const { system } = root;
    if (!system) {
      if (!this.removed_by_hand.has(root.vps))
        this.report('not nameable', `${spec.name} runs on a disk with nothing on it`);
      return;
    }
    this.treasure(system, root.vps);
    if (system.made_ms <= (this.handed_over.get(root.vps) ?? -1))
      this.report('another owner', `${spec.name} runs the system ${system.made_by} of the owner before`);
    if (!system.whole)
      this.report('not nameable', `${spec.name} runs on the unfinished system ${system.made_by}`);
    if (system.memory_mb !== spec.memory_mb) {
      const how = by_reboot ? 'after its own reboot' : 'after a start';
      this.report(
        'not nameable',
        `${spec.name} runs the system ${system.made_by} with another one's configuration (${spec.memory_mb} MB), ${how}`,
      );
    }
  }

  /** A guest was started beside its saved memory, and is gone again before anybody could see it. */
  overrun({ disks, by_hand }: Domain): void {
    if (!by_hand) return;
    for (const { memory } of this.#saved()) {
      if (memory.disks.some((saved) => disks.some(({ disk }) => disk === saved.disk)))
        memory.overrun_by_hand = true;
    }
  }

  /** The agent takes saved memory for one that a guest has left behind. */
  putAside(inode: Inode, path: string): void {
    const memory = this.#machine.xen.memories.get(inode);
    if (!memory?.disks.every(({ disk, version }) => disk.version === version)) return;
    this.report('memory thrown away', `nothing has run on the disks of ${path} since it was saved`);
  }

  /** A guest goes on from its saved memory. */
  resumed(domain: Domain, memory: Memory): void {
    if (memory.overrun_by_hand) return;
    for (const { disk, version } of memory.disks) {
      const now = domain.disks.find((each) => each.disk.kind === disk.kind)?.disk;
      if (now !== disk) {
        this.report(
          'two users of one disk',
          `${domain.spec.name} goes on from its saved memory with another disk: the ${now?.told} instead of the ${disk.told}`,
        );
      } else if (disk.version !== version) {
        this.report(
          'two users of one disk',
          `${domain.spec.name} goes on from its saved memory, and meanwhile its ${disk.kind} disk was changed by ${disk.changed_by}`,
        );
      }
    }
  }

  /** A file has its content: a job's status may tell of a system as installed. */
  fileNamed(path: string, text: string): void {
    if (isSample(path)) this.bill.stored(text);
    const [, vps = '', job] = /\/states\/(xen[0-9]+)\/([^/]+)\/status\.json$/.exec(path) ?? [];
    if (job === undefined || !text.includes('"kind": "reinstall"')) return;
    // One that failed at the last moment tells that its system is whole, and is put in its place.
    const { state, fate } = JSON.parse(text) as { state: string; fate?: { state: string } };
    if (state !== 'succeeded' && !(state === 'failed' && fate?.state === 'succeeded')) return;
    this.told.add(job);
    const found = this.everyRoot().find(({ disk }) => disk.system?.made_by === job);
    if (found?.disk.system) this.treasure(found.disk.system, vps);
  }

  /** A file is deleted by the agent. */
  fileDeleted(path: string, text: string): void {
    if (isSample(path)) this.bill.deleted(text);
  }

  /** All root disks that have a name, in both stores, mounted or not. */
  everyRoot(): { name: string; disk: Disk }[] {
    const { images, volumes } = this.#machine;
    const files = images.disks().map(({ name, disk }) => ({ name: name.replace(/\.img$/, ''), disk }));
    const all = [...files, ...[...volumes.names].map(([name, { disk }]) => ({ name, disk }))];
    return all.filter(
      ({ name, disk }) => disk.kind === 'root' && /^xen[0-9]+(?:\.(?:old|new|passing))?$/.test(name),
    );
  }
}
