// Xen: domains with the disks that they have open, whatever those are called by now, and memory that was saved.
import type { Disk, DiskUser } from './disk.ts';
import type { Inode } from './file-system.ts';
import { AT, type Machine } from './machine.ts';
import { isLocked } from './open-files.ts';
import type { Program } from './program.ts';

/** A guest's configuration, as xl reads it. */
export interface GuestSpec {
  readonly name: string;
  readonly memory_mb: number;
  readonly disks: readonly { readonly path: string; readonly script: string }[];
}

/** A guest's memory on the node's disk: it goes on with its disks as they were. */
export interface Memory {
  readonly spec: GuestSpec;
  readonly disks: readonly { readonly disk: Disk; readonly version: number }[];
  /** Whether somebody started the guest anew by hand beside it, and not for long: nothing of ours is asked, or sees it. */
  overrun_by_hand: boolean;
}

/** A domain. */
export interface Domain {
  readonly domid: number;
  readonly spec: GuestSpec;
  state: 'building' | 'running' | 'paused' | 'saving' | 'rebooting' | 'off';
  readonly disks: { readonly disk: Disk; readonly user: DiskUser }[];
  /** What it goes on from when it runs. */
  memory: Memory | undefined;
  /** xl's process for it, which makes it anew when it reboots. */
  keeper: Program | undefined;
  running_since_ms: number;
  by_xendomains: boolean;
  by_hand: boolean;
  by_reboot: boolean;
  /** Bytes that its network interface has counted when it is gone. */
  counted: number | undefined;
}

const LETTERS: Readonly<Record<Domain['state'], string>> = {
  building: '--p---',
  running: '-b----',
  paused: '--p---',
  saving: '---s--',
  rebooting: '---sr-',
  off: '---s--',
};
const RATE_BYTES_A_MS = 1;
/** A guest that runs for so long beside its saved memory is seen by the agent. */
const SEEN_MS = 120_000;

/** Reads a configuration file of xl's, as far as stories go. */
export function parseSpec(text: string): GuestSpec | undefined {
  const name = /^name = "([^"]+)"$/m.exec(text)?.[1];
  const memory = /^memory = ([0-9]+)$/m.exec(text)?.[1];
  const list = /^disk = \[(.*)\]$/m.exec(text)?.[1];
  if (name === undefined || memory === undefined || list === undefined) return undefined;
  const disks = [...list.matchAll(/"([^"]+)"/g)].map(([, line = '']) => {
    const script = /(?:^|,)script=([^,]+)/.exec(line)?.[1] ?? 'block';
    const path = /(?:^|,)target=([^,]+)/.exec(line)?.[1] ?? /^phy:([^,]+)/.exec(line)?.[1] ?? '';
    return { path, script };
  });
  return { name, memory_mb: Number(memory), disks };
}

/** The hypervisor, and what its tools keep. */
export class Xen {
  domains: Domain[] = [];
  /** By the inode of the file that holds it, so that it follows every rename. */
  readonly memories = new WeakMap<Inode, Memory>();
  /** Bytes counted by domains that are gone, for each VPS. */
  readonly lives: { vps: string; boot: number; domid: number; bytes: number }[] = [];
  #last_domid = 0;
  readonly #machine: Machine;

  constructor(machine: Machine) {
    this.#machine = machine;
  }

  find(name: string): Domain | undefined {
    return this.domains.find(({ spec }) => spec.name === name);
  }

  make(spec: GuestSpec, memory?: Memory): Domain {
    this.#last_domid += 1;
    const domain: Domain = {
      ...{ domid: this.#last_domid, spec, state: 'building', disks: [], memory, keeper: undefined },
      ...{ running_since_ms: Number.POSITIVE_INFINITY, counted: undefined },
      ...{ by_xendomains: false, by_hand: false, by_reboot: false },
    };
    this.domains.push(domain);
    return domain;
  }

  /** Xen's block script for each of its disks; an error in xl's words where one refuses. */
  attach(domain: Domain, by: Program): string | undefined {
    const { watch, mounts } = this.#machine;
    const user: DiskUser = { what: 'guest', name: `domain ${domain.domid}`, since_ms: by.since_ms };
    for (const { path, script } of domain.spec.disks) {
      if (script.endsWith('/block-dtc-xen')) {
        if (!mounts.isThere(script)) return `libxl: error: hotplug script ${script} not found`;
        if (isLocked(`${AT.run}/lock/${domain.spec.name}.disks`, 'shared'))
          return `libxl: error: libxl_device.c:1111:device_hotplug_child_death_cb: script: ${domain.spec.name}: something works on its disks`;
      }
      const disk = this.#machine.diskAt(path);
      if (!disk) {
        return `libxl: error: libxl_disk.c:131:libxl__device_disk_setdefault: Disk vdev=xvda failed to stat: ${path}: No such file or directory`;
      }
      const users = [...disk.users];
      if (users.some(({ what }) => what === 'guest')) {
        return `libxl: error: script: File ${path} is loopback-mounted, which is mounted in a guest domain, and so cannot be mounted now.`;
      }
      if (users.some(({ what }) => what === 'mount')) {
        return `libxl: error: script: Device ${path} is mounted in the privileged domain, and so cannot be mounted by a guest.`;
      }
      watch.opened(disk, user, path, domain);
      disk.users.add(user);
      domain.disks.push({ disk, user });
    }
    return undefined;
  }

  /** The guest runs from here on: boots, or goes on where its memory was. */
  go(domain: Domain): void {
    const { engine, watch } = this.#machine;
    if (domain.state === 'running') return;
    domain.state = 'running';
    domain.running_since_ms = engine.now;
    if (domain.memory) watch.resumed(domain, domain.memory);
    domain.memory = undefined;
    for (const { disk } of domain.disks) {
      disk.changedBy(`the guest ${domain.spec.name}`);
      if (disk.system) disk.system.precious = true;
    }
    watch.booted(domain);
  }

  bytesOf({ running_since_ms, state, counted }: Domain): number {
    if (counted !== undefined) return counted;
    if (running_since_ms === Number.POSITIVE_INFINITY || state === 'building') return 0;
    return Math.floor((this.#machine.engine.now - running_since_ms) * RATE_BYTES_A_MS);
  }

  /** The domain is no more; its disks are free. */
  remove(domain: Domain): void {
    const at = this.domains.indexOf(domain);
    if (at < 0) return;
    this.domains.splice(at, 1);
    domain.counted = this.bytesOf(domain);
    const { engine, watch } = this.#machine;
    if (engine.now - domain.running_since_ms < SEEN_MS) watch.overrun(domain);
    for (const { disk, user } of domain.disks) disk.users.delete(user);
    domain.disks.length = 0;
  }

  /** Its memory, as `xl save` writes it. */
  memoryOf({ spec, disks }: Domain): Memory {
    return {
      spec,
      disks: disks.map(({ disk }) => ({ disk, version: disk.version })),
      overrun_by_hand: false,
    };
  }

  cutPower(): void {
    for (const domain of [...this.domains]) this.remove(domain);
    this.#last_domid = 0;
  }

  /** What `xl list` prints. */
  list(): string {
    const { engine } = this.#machine;
    const row = (name: string, id: number, mem: number, letters: string, s: number) =>
      `${name.padEnd(40)} ${String(id).padStart(5)} ${String(mem).padStart(5)} ${'1'.padStart(5)}     ${letters}  ${s.toFixed(1).padStart(8)}\n`;
    const rows = this.domains.map((domain) => {
      const { spec, domid, state } = domain;
      return row(
        spec.name,
        domid,
        state === 'building' ? 0 : spec.memory_mb,
        LETTERS[state],
        this.bytesOf(domain) / 1000,
      );
    });
    const heading = 'Name                                        ID   Mem VCPUs\tState\tTime(s)\n';
    return `${heading}${row('Domain-0', 0, 1024, 'r-----', engine.now / 1000)}${rows.join('')}`;
  }

  /** /proc/net/dev. */
  netDev(): string {
    const rows = this.domains.map(
      (domain) =>
        `vif${domain.domid}.0: ${this.bytesOf(domain)} 0 0 0 0 0 0 0 ${this.bytesOf(domain)} 0 0 0 0 0 0 0`,
    );
    return ['Inter-|   Receive', ' face |bytes', ...rows, ''].join('\n');
  }

  /** The counters of block devices; undefined where there is no such file. */
  sysFile(path: string): string | undefined {
    const [, minor, file] = /^\/sys\/block\/dm-([0-9]+)\/dm\/(uuid|name)$/.exec(path) ?? [];
    if (minor !== undefined) return this.#mapped(Number(minor), file === 'uuid');
    const [, domid] =
      /^\/sys\/bus\/xen-backend\/devices\/vbd-([0-9]+)-(?:51712|51728)\/statistics\/(?:rd|wr)_sect$/.exec(
        path,
      ) ?? [];
    const domain = this.domains.find((each) => String(each.domid) === domid);
    return domain && `${Math.floor(this.bytesOf(domain) / 512)}\n`;
  }

  #mapped(minor: number, uuid: boolean): string | undefined {
    const { volumes } = this.#machine;
    const [name, volume] = [...volumes.mapped].find(([, each]) => each.minor === minor) ?? [];
    if (!volume) return undefined;
    return uuid
      ? `LVM-${`${volumes.uuid}${volume.uuid}`.replaceAll('-', '')}\n`
      : `${volumes.name}-${name}\n`;
  }
}
