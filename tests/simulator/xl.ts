// xl(1): create, restore, save, and what its process for each guest does when the guest reboots.
import { AT, machine } from './machine.ts';
import { Program, type Work } from './program.ts';
import { type Domain, type GuestSpec, type Memory, parseSpec } from './xen.ts';

const GONE = 'libxl: error: libxl_create.c:1900:domcreate_complete: Domain was destroyed meanwhile';
const parsing = (path: string) => `Parsing config from ${path}\n`;
const failed = (exit: number, stderr: string) => ({ exit, stderr: `${stderr}\n` });

/** Makes a domain and its disks; the steps of `xl create`, and of a reboot. Ends with the domain, or xl's words. */
function* build(
  by: Program,
  spec: GuestSpec,
  memory: Memory | undefined,
  keeper?: Program,
): Generator<number, Domain | string, void> {
  const { xen } = machine;
  if (xen.find(spec.name)) return `libxl: error: Domain with name "${spec.name}" already exists.`;
  const domain = xen.make(spec, memory);
  domain.by_xendomains = by.by_xendomains;
  domain.by_hand = !by.by_xendomains && by.starter === undefined;
  let is_whole = false;
  try {
    domain.keeper = keeper;
    yield 900;
    if (!xen.domains.includes(domain)) return GONE;
    const refused = xen.attach(domain, by);
    if (refused !== undefined) {
      yield 500;
      return refused;
    }
    yield 4000;
    if (!xen.domains.includes(domain)) return GONE;
    is_whole = true;
    return domain;
  } finally {
    if (!is_whole) xen.remove(domain);
  }
}

const logOf = ({ spec }: Domain) => ({ log: `${AT.xen_log}/xl-${spec.name}.log` });
const waiting = ({ spec, domid }: Domain, { pid }: Program) =>
  `Waiting for domain ${spec.name} (domid ${domid}) to die [pid ${pid}]`;

/** Adds to what xl says of a guest in its log. */
function say(domain: Domain, ...lines: readonly string[]): void {
  const inode = machine.mounts.put(logOf(domain).log, 'file');
  inode.text += lines.map((line) => `${line}\n`).join('');
  inode.mtime_ms = machine.wall_ms();
}

/** xl's process that stays for a guest. */
function stay(domain: Domain, like: Program): void {
  const keeper = new Program({ argv: like.cmdline });
  const { log } = logOf(domain);
  keeper.files.push(log);
  domain.keeper = keeper;
  machine.mounts.remove(log);
  say(domain, waiting(domain, keeper));
}

function* make(by: Program, spec: GuestSpec, memory: Memory | undefined, paused: boolean): Work {
  const built = yield* build(by, spec, memory);
  if (typeof built === 'string') return failed(3, built);
  stay(built, by);
  // xendomains deletes the memory when its guest is back: what lies between is not the agent's doing.
  if (by.by_xendomains && memory) forget(by.cmdline.at(-1) ?? '');
  if (paused) built.state = 'paused';
  else machine.xen.go(built);
  return { exit: 0 };
}

function forget(path: string): void {
  if (!machine.mounts.isThere(path)) return;
  const { fs, folder, name } = machine.mounts.find(path, 'xendomains');
  fs.change({ folder, name, to: undefined });
  fs.sync(folder);
}

function* create(by: Program, args: readonly string[]): Work {
  const path = args.at(-1) ?? '';
  yield 20;
  const text = machine.mounts.read(path);
  if (text === undefined) return failed(1, `Failed to read config file: ${path}: No such file or directory`);
  const spec = parseSpec(text);
  if (!spec) return failed(1, `${path}:1: config parsing error near \`': syntax error`);
  yield 300;
  const end = yield* make(by, spec, undefined, args.includes('-p'));
  return { ...end, stderr: `${parsing(path)}${end.stderr ?? ''}` };
}

function* restore(by: Program, args: readonly string[]): Work {
  const path = args.at(-1) ?? '';
  yield 100;
  const { inode } = machine.mounts.isThere(path) ? machine.mounts.find(path, 'open') : { inode: undefined };
  if (!inode) return failed(2, `Can't open restore file: No such file or directory`);
  const memory = machine.xen.memories.get(inode);
  if (!memory || inode.text !== 'memory')
    return failed(3, 'File has wrong magic number - corrupt or for a different tool?');
  yield 300;
  return yield* make(by, memory.spec, memory, args.includes('-p'));
}

function* save([name = '', path = '']: readonly string[]): Work {
  const domain = machine.xen.find(name);
  if (!domain) return failed(1, `${name} is an invalid domain identifier (rc=-6)`);
  if (domain.state !== 'running') return failed(1, 'Failed to save domain');
  const memory = machine.xen.memoryOf(domain);
  domain.state = 'saving';
  let is_whole = false;
  try {
    const inode = machine.mounts.put(path, 'file', 'half');
    const ended = [`Domain ${domain.domid} has shut down, reason code 2 0x2`, 'Domain has suspended.'];
    say(domain, ...ended, `Continue waiting for domain ${domain.domid}`);
    machine.xen.memories.set(inode, memory);
    yield 3000;
    if (!machine.xen.domains.includes(domain)) return failed(1, 'Failed to save domain');
    inode.text = 'memory';
    inode.synced = 'memory';
    inode.mtime_ms = machine.wall_ms();
    is_whole = true;
    say(domain, `Domain ${domain.domid} has been destroyed.`);
    end(domain);
    return { exit: 0 };
  } finally {
    if (!is_whole && domain.state === 'saving') domain.state = 'running';
  }
}

/** The domain ends, and xl's process for it. */
export function end(domain: Domain): void {
  machine.xen.remove(domain);
  domain.keeper?.kill();
}

/** The guest reboots itself: for some seconds Xen has no domain of it, and xl's process alone knows that there will be one. */
export function reboot(domain: Domain, is_lost: boolean): void {
  const { keeper } = domain;
  if (domain.state !== 'running' || !keeper) return;
  domain.state = 'rebooting';
  keeper.begin(reboots(keeper, domain, is_lost));
}

function* reboots(keeper: Program, domain: Domain, is_lost: boolean): Work {
  yield 200;
  machine.xen.remove(domain);
  say(
    domain,
    `Domain ${domain.domid} has shut down, reason code 1 0x1`,
    'Action for shutdown reason code 1 is restart',
  );
  say(domain, `Domain ${domain.domid} needs to be cleaned up: destroying the domain`, 'Done. Rebooting now');
  yield 2500;
  const built = is_lost
    ? 'libxl: error: libxl_create.c:1900:domcreate_complete: unable to add disk devices'
    : yield* build(keeper, domain.spec, undefined, keeper);
  if (typeof built === 'string') {
    say(domain, built);
    // A guest that is up for less is seen by nobody who looks every half minute.
    const was_seen = machine.engine.now - domain.running_since_ms > 45_000;
    if (is_lost && was_seen) machine.watch.lost(domain.spec.name);
    return { exit: 3 };
  }
  say(built, waiting(built, keeper));
  built.by_reboot = true;
  machine.xen.go(built);
  yield Number.POSITIVE_INFINITY;
  return { exit: 0 };
}

function* shutDown(name: string): Work {
  const domain = machine.xen.find(name);
  if (!domain) return failed(1, `${name} is an invalid domain identifier (rc=-6)`);
  yield 100;
  if (domain.state !== 'running') return failed(1, "libxl: error: guest didn't acknowledge control request");
  machine.engine.at(machine.engine.now + 2000, undefined, () => {
    if (domain.state === 'running') end(domain);
  });
  return { exit: 0, stdout: `Shutting down domain ${domain.domid}\n` };
}

function* destroy(name: string): Work {
  const domain = machine.xen.find(name);
  if (!domain) return failed(1, `${name} is an invalid domain identifier (rc=-6)`);
  yield 1500;
  // xl's process for a guest that reboots goes on with the reboot.
  if (domain.state === 'rebooting' || domain.state === 'building') machine.xen.remove(domain);
  else end(domain);
  return { exit: 0 };
}

function* unpause(name: string): Work {
  const domain = machine.xen.find(name);
  if (!domain) return failed(1, `${name} is an invalid domain identifier (rc=-6)`);
  yield 50;
  if (domain.state === 'paused') machine.xen.go(domain);
  return { exit: 0 };
}

function* list(): Work {
  yield 100;
  return { exit: 0, stdout: machine.xen.list() };
}

function* info(): Work {
  yield 30;
  return { exit: 0, stdout: 'total_memory           : 16384\nfree_memory            : 8192\n' };
}

/** What `xl COMMAND` does; undefined: the model does not know it. */
export function xl(by: Program, [command = '', ...args]: readonly string[]): Work | undefined {
  switch (command) {
    case 'list':
      return list();
    case 'info':
      return info();
    case 'create':
      return create(by, args);
    case 'restore':
      return restore(by, args);
    case 'save':
      return save(args);
    case 'shutdown':
      return shutDown(args.at(-1) ?? '');
    case 'destroy':
      return destroy(args.at(-1) ?? '');
    case 'unpause':
      return unpause(args.at(-1) ?? '');
    default:
      return undefined;
  }
}
