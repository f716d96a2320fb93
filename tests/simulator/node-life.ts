// What happens on the node without the agent: guests, an admin, xendomains, the power, disks that come late.
import type { Settings } from './agent.ts';
import { type Caller, startDaemon } from './agent.ts';
import { AT, machine } from './machine.ts';
import type { Work } from './program.ts';
import { Program } from './program.ts';
import { startProgram } from './programs.ts';
import type { EventName } from './story.ts';
import { end, reboot } from './xl.ts';

const HOUR_MS = 3_600_000;
const RESTART_MS = 2_000;

/** The daemon as systemd keeps it, and all that happens around it. */
export class NodeLife {
  daemon: Caller | undefined;
  /** How often it was started in this boot and failed: systemd gives up after some. */
  readonly settings: Settings;
  starts_failed: unknown[] = [];
  /** Whether the node goes down: nobody starts anything then. */
  #is_ending = false;
  #of_xendomains: Program | undefined;
  constructor(settings: Settings) {
    this.settings = settings;
  }

  /** What systemd does at the node's start: the agent, then xendomains (`Before=` in the unit). */
  boot(): void {
    this.#is_ending = false;
    const { engine, boot } = machine;
    engine.at(engine.now + 500, undefined, () => this.startAgent());
    const xendomains = () => {
      if (machine.boot !== boot || this.#is_ending) return;
      const is_up = this.daemon?.end !== undefined;
      if (!is_up && machine.uptime_ms() < 180_000) {
        engine.at(engine.now + 500, undefined, xendomains);
        return;
      }
      this.#xendomains(startXendomains);
    };
    engine.at(engine.now + 700, undefined, xendomains);
  }

  #xendomains(work: (by: Program) => Work, onEnd: () => void = () => undefined): void {
    const program = new Program({ argv: ['/usr/lib/xen-4.20/bin/xendomains'], onEnd });
    this.#of_xendomains = program;
    program.begin(work(program));
  }

  startAgent(): void {
    if (this.#is_ending || this.daemon?.process.alive) return;
    const daemon = startDaemon(this.settings);
    this.daemon = daemon;
    const { boot, engine } = machine;
    const look = () => {
      if (machine.boot !== boot || this.daemon !== daemon) return;
      if (daemon.end !== undefined && daemon.end !== 'ready') this.starts_failed.push(daemon.end.failed);
      if (daemon.process.alive) engine.at(engine.now + 1000, undefined, look);
      else engine.at(engine.now + RESTART_MS, undefined, () => machine.boot === boot && this.startAgent());
    };
    engine.at(engine.now + 1000, undefined, look);
  }

  /** Runs what the daemon does by the clock. */
  tick(expression: string): void {
    const daemon = this.daemon?.process;
    if (!daemon?.alive) return;
    machine.engine.as(daemon, () => {
      for (const schedule of daemon.schedules) {
        if (schedule.expression === expression) void schedule.run();
      }
    });
  }

  powerFails(stores_late: boolean): void {
    machine.cutPower();
    if (stores_late) {
      machine.setStore('images', false);
      machine.setStore('volumes', false);
      machine.setStore('samples', false);
    }
    this.boot();
  }

  /**
   * An orderly reboot: jobs and the agent end, xendomains saves all guests. One that is still starting them is killed with all its xl,
   * and saves none: systemd stops a oneshot that has not started so (systemd.service(5), ExecStop=).
   */
  restart(): void {
    if (this.#is_ending) return;
    this.#is_ending = true;
    const was_up = machine.xendomains === 'done';
    machine.xendomains = 'saving';
    const { boot } = machine;
    const finish = () => {
      if (machine.boot !== boot) return;
      machine.restart();
      this.boot();
    };
    // What runs gets its SIGTERM, then half a minute, then SIGKILL.
    for (const process of machine.processes.values()) {
      const handler = process.handlers.get('SIGTERM');
      if (handler) machine.engine.as(process, handler);
      else machine.kill(process);
    }
    // The node goes down whether it could save them or was killed itself.
    const goDown = () => machine.engine.at(machine.engine.now + 35_000, undefined, finish);
    if (was_up) {
      this.#xendomains(stopXendomains, goDown);
      return;
    }
    for (const program of [...machine.programs.values()]) if (program.by_xendomains) program.kill();
    this.#of_xendomains?.kill();
    goDown();
  }

  happens(event: EventName, vps: string): void {
    const domain = machine.xen.find(vps);
    switch (event) {
      case 'guest starts by hand':
        startProgram({ argv: ['xl', 'create', `${AT.xen}/${vps}`] });
        return;
      case 'guest reboots itself':
      case 'guest is lost at its reboot':
        if (domain) reboot(domain, event === 'guest is lost at its reboot');
        return;
      case 'guest powers off':
        if (domain?.state === 'running') end(domain);
        return;
      case 'guest is saved':
        if (domain?.state === 'running') startProgram({ argv: ['xl', 'save', vps, `${AT.saved}/${vps}`] });
        return;
      case 'agent dies':
        if (this.daemon) machine.kill(this.daemon.process);
        return;
      case 'power fails':
        this.powerFails(false);
        return;
      case 'power fails, stores come late':
        this.powerFails(true);
        return;
      case 'node reboots':
        this.restart();
        return;
      case 'images go away':
        if (isIdle('images')) machine.setStore('images', false);
        return;
      case 'samples go away':
        machine.setStore('samples', false);
        return;
      case 'samples come back':
        machine.setStore('samples', true);
        return;
      case 'images come back':
        machine.setStore('images', true);
        return;
      case 'volumes go away':
        if (isIdle('volumes')) machine.setStore('volumes', false);
        return;
      case 'volumes lack a disk':
        machine.volumes.lacks_disk = true;
        return;
      case 'a record is damaged':
        machine.faulty = true;
        machine.mounts.put(`${AT.state}/states/${vps}/names.json`, 'file').text = '{ "phase": ';
        return;
      case 'a root disk is removed by hand':
        removeRoot(vps);
        return;
      case 'volumes come back':
        machine.volumes.lacks_disk = false;
        machine.setStore('volumes', true);
        return;
      case 'images are moved':
        if (isIdle('images') && machine.mounts.at(AT.images)) machine.moveImages();
        return;
      case 'clock to 1970':
        this.#setClock(Date.UTC(1970, 0, 1, 0, 1));
        return;
      case 'clock to 2099':
        this.#setClock(Date.UTC(2099, 5, 1));
        return;
      case 'clock a week ahead':
        machine.clock_ms += 8 * 24 * HOUR_MS;
        return;
      case 'clock right':
        this.#setClock(Date.UTC(2026, 10, 20, 8) + machine.engine.now);
        return;
      default:
        return;
    }
  }

  #setClock(wall_ms: number): void {
    machine.clock_ms = wall_ms - machine.engine.now;
  }
}

/** Nothing has one of the store's disks open, and no job or program works: an admin who takes it away has seen to that. */
function isIdle(store: 'images' | 'volumes'): boolean {
  const disks =
    store === 'images'
      ? machine.images.disks().map(({ disk }) => disk)
      : [...machine.volumes.names.values()].map(({ disk }) => disk);
  const is_busy = [...machine.programs.values()].some(({ cmdline }) => cmdline[0] !== 'xl');
  return !is_busy && disks.every(({ users }) => users.size === 0);
}

/** An admin removes one of a VPS's root disks, which nothing has open. */
function removeRoot(vps: string): void {
  const { watch, chance, images, volumes, mounts } = machine;
  const found = watch.everyRoot().filter(({ disk }) => disk.vps === vps && disk.users.size === 0);
  const busy = !isIdle('images') || !isIdle('volumes') || machine.xen.find(vps);
  if (found.length === 0 || busy || !mounts.at(AT.images) || !volumes.is_there) return;
  const { name, disk } = chance.pick(found);
  watch.removedByHand(disk);
  if (volumes.names.get(name)?.disk === disk) {
    volumes.mapped.delete(name);
    volumes.commit((names) => names.delete(name));
    volumes.flush();
    return;
  }
  images.change({ folder: images.root, name: `${name}.img`, to: undefined });
  images.sync(images.root);
}

/** One xl of xendomains', to its end. */
function* xl(by: Program, argv: readonly string[]): Generator<number, boolean, void> {
  let ended: number | undefined;
  startProgram({
    argv: ['xl', ...argv],
    by_xendomains: true,
    onEnd: (ending) => {
      ended = ending?.exit ?? 137;
      by.wake();
    },
  });
  while (ended === undefined) yield Number.POSITIVE_INFINITY;
  return ended === 0;
}

function* startXendomains(by: Program): Work {
  machine.xendomains = 'starting';
  try {
    return yield* startAll(by);
  } finally {
    if (machine.xendomains === 'starting') machine.xendomains = 'done';
  }
}

function* startAll(by: Program): Work {
  yield 300;
  const { mounts, xen } = machine;
  const saved = mounts.isThere(AT.saved)
    ? [...mounts.get(AT.saved, 'xendomains').inode.entries.keys()].sort()
    : [];
  for (const name of saved.filter((each) => !each.startsWith('.'))) {
    const place = mounts.find(`${AT.saved}/${name}`, 'xendomains');
    if (place.inode?.text !== 'memory') continue;
    yield* xl(by, ['restore', `${AT.saved}/${name}`]);
  }
  const auto = `${AT.xen}/auto`;
  const links = mounts.isThere(auto) ? [...mounts.get(auto, 'xendomains').inode.entries.keys()].sort() : [];
  for (const name of links.filter((each) => /^xen[0-9]+$/.test(each))) {
    if (!xen.find(name)) yield* xl(by, ['create', `${auto}/${name}`]);
  }
  return { exit: 0 };
}

function* stopXendomains(by: Program): Work {
  yield 300;
  for (const { spec } of [...machine.xen.domains]) {
    yield* xl(by, ['save', spec.name, `${AT.saved}/${spec.name}`]);
  }
  return { exit: 0 };
}
