// How long a reinstall takes, cold and warm, beside what else makes the same system: `debootstrap` alone, and xen-tools'
// `xen-create-image` with its cache warm. All on one disk, in image files, in one run; what is measured ends with the file
// system unmounted. Prints a table, and puts it into docs/performance.md.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type AgentClient, createAgentClient } from '../../src/client/agent-client.ts';
import type { JobStatus } from '../../src/core/ports.ts';
import { makeDaemonFolder, readCa, startDaemon } from '../../tests/daemon.ts';
import { createFakeNode } from '../../tests/fakes/fake-node.ts';
import { writeMeasured } from './measured.ts';

const ROOT = join(import.meta.dirname, '../..');
const SCRIPTS = join(ROOT, 'scripts');
const RELEASE = 'trixie';
const SIZE_MB = 2048;
const WARM_RUNS = 5;
const JOB_LIMIT_MS = 20 * 60_000;

const say = (text: string) => process.stdout.write(`${text}\n`);
const run = (program: string, args: readonly string[]) =>
  execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], maxBuffer: 1 << 28 });
const mirror = run(join(SCRIPTS, 'lib/apt-mirror'), []).trim();

/** The packages that reinstall-bootstrap gives every guest. */
function packages(): string {
  const line = /^include=(.+)$/m.exec(readFileSync(join(SCRIPTS, 'reinstall-bootstrap'), 'utf8'))?.[1];
  if (!line) throw new Error('reinstall-bootstrap has no list of packages.');
  return line;
}

/** Seconds that `work` takes; what others left to be written goes to the disk first. */
function timed(work: () => void): number {
  run('sync', []);
  const started = performance.now();
  work();
  return (performance.now() - started) / 1000;
}

/** One reinstall through the agent. */
interface Reinstall {
  readonly seconds: number;
  readonly steps: readonly { readonly name: string; readonly seconds: number }[];
}

const seconds = (from: string, to: string) => (Date.parse(to) - Date.parse(from)) / 1000;

async function reinstall(client: AgentClient, folder: string, vpsname: string): Promise<Reinstall> {
  await client.call('setupLVMDisks', [vpsname, String(SIZE_MB), '128', 'vbd']);
  run('sync', []);
  const nics = '192.0.2.10,255.255.255.0,192.0.2.255';
  await client.call('reinstallVPSos', [
    vpsname,
    'debian',
    '512',
    'a password',
    nics,
    '192.0.2.1',
    '192.0.2.2',
  ]);
  const states = join(folder, 'state/states', vpsname);
  for (const deadline = Date.now() + JOB_LIMIT_MS; Date.now() < deadline; await sleep(50)) {
    const job = readdirSync(states, { withFileTypes: true }).find((entry) => entry.isDirectory())?.name ?? '';
    const status = JSON.parse(readFileSync(join(states, job, 'status.json'), 'utf8')) as JobStatus;
    const { state, created, ended, message, steps } = status;
    if (ended === undefined) continue;
    if (state !== 'succeeded') throw new Error(message);
    const first = { name: "the job's process", seconds: seconds(created, steps[0]?.started ?? ended) };
    const each = steps.map((step) => ({
      name: step.name,
      seconds: seconds(step.started, step.ended ?? ended),
    }));
    return { seconds: seconds(created, ended), steps: [first, ...each] };
  }
  throw new Error(`the reinstall of ${vpsname} did not end within ${JOB_LIMIT_MS / 60_000} minutes.`);
}

async function withAgent(): Promise<{ cold: Reinstall; warm: Reinstall }> {
  const folder = makeDaemonFolder();
  const node = await createFakeNode({ root: join(folder.path, 'node') });
  const daemon = await startDaemon({
    fakeNode: node,
    folder,
    config: { KERNELPATH: node.kernel, INITRDPATH: node.initrd, debian_release: RELEASE, log_level: 'info' },
  });
  try {
    const { url, user, password } = daemon;
    const client = await createAgentClient({ url, user, password, ca: readCa(daemon) });
    const cold = await reinstall(client, folder.path, 'xen01');
    say(`cold reinstall: ${cold.seconds.toFixed(1)} s`);
    const warm: Reinstall[] = [];
    for (let i = 0; i < WARM_RUNS; i += 1) {
      const one = await reinstall(client, folder.path, `xen1${i}`);
      say(`warm reinstall: ${one.seconds.toFixed(1)} s`);
      warm.push(one);
      await client.call('killVPS', [`xen1${i}`, 'vbd']);
    }
    warm.sort((a, b) => a.seconds - b.seconds);
    return { cold, warm: warm[Math.floor(WARM_RUNS / 2)] as Reinstall };
  } finally {
    await daemon.stop();
    folder.remove();
  }
}

function debootstrapAlone(folder: string): number {
  const disk = join(folder, 'disk.img');
  const root = join(folder, 'root');
  mkdirSync(root);
  run('fallocate', ['--length', `${SIZE_MB}M`, disk]);
  const took = timed(() => {
    run(join(SCRIPTS, 'reinstall-mkfs'), ['--root', disk]);
    run('mount', ['-o', 'loop,noatime', disk, root]);
    try {
      run('debootstrap', ['--variant=minbase', `--include=${packages()}`, RELEASE, root, mirror]);
    } finally {
      run('umount', ['--recursive', root]);
    }
  });
  rmSync(disk);
  say(`debootstrap alone: ${took.toFixed(1)} s`);
  return took;
}

/** xen-tools installs its own packages; a role, which is its way for more, adds those that are missing. */
function xenCreateImage(folder: string, name: string): number {
  const roles = join(folder, 'roles');
  mkdirSync(roles, { recursive: true });
  const role = `#!/bin/sh\nset -e\nDEBIAN_FRONTEND=noninteractive chroot "$1" apt-get install -y -q --no-install-recommends ${packages().replaceAll(',', ' ')}\n`;
  writeFileSync(join(roles, 'same'), role, { mode: 0o755 });
  for (const file of ['vmlinuz', 'initrd']) writeFileSync(join(folder, file), '');
  const took = timed(() => {
    run('xen-create-image', [
      ...[
        `--hostname=${name}`,
        `--dir=${folder}`,
        `--output=${folder}`,
        `--size=${SIZE_MB}Mb`,
        '--swap=128Mb',
      ],
      ...['--image=full', '--fs=ext4', '--memory=512Mb', `--dist=${RELEASE}`, `--mirror=${mirror}`],
      ...['--ip=192.0.2.10', '--netmask=255.255.255.0', '--gateway=192.0.2.1', '--broadcast=192.0.2.255'],
      ...['--install-method=debootstrap', '--cache=yes', `--cachedir=${join(folder, 'cache')}`, '--nohosts'],
      ...[`--kernel=${join(folder, 'vmlinuz')}`, `--initrd=${join(folder, 'initrd')}`, `--modules=${roles}`],
      ...['--password=secret', '--role=same', `--roledir=${roles}`, '--nopygrub', '--force', '--noboot'],
    ]);
  });
  rmSync(join(folder, 'domains'), { recursive: true });
  say(`xen-create-image: ${took.toFixed(1)} s`);
  return took;
}

function stepTable({ cold, warm }: { cold: Reinstall; warm: Reinstall }): string[] {
  const rows = cold.steps.map(({ name, seconds: took }, i) => {
    const in_warm = warm.steps[i]?.seconds ?? 0;
    return `| ${name} | ${took.toFixed(2)} | ${in_warm.toFixed(2)} |`;
  });
  return ['| step | cold, s | warm, s |', '|---|---|---|', ...rows];
}

async function bench(): Promise<void> {
  const load = loadavg()[0] ?? 0;
  const folder = makeDaemonFolder();
  const where = `${cpus().length} CPUs (${cpus()[0]?.model.trim()}), load ${load.toFixed(1)} before it began`;
  say(`${new Date().toISOString()}: ${where}`);
  try {
    const agent = await withAgent();
    const debootstrap = debootstrapAlone(folder.path);
    mkdirSync(join(folder.path, 'cache'));
    const xen_cold = xenCreateImage(folder.path, 'bench1');
    const xen_warm = xenCreateImage(folder.path, 'bench2');
    const { cold, warm } = agent;
    const row = (what: string, took: number) =>
      `| ${what} | ${took.toFixed(1)} | ${(debootstrap / took).toFixed(2)} | ${(xen_warm / took).toFixed(2)} |`;
    const table = [
      `Measured on ${new Date().toISOString().slice(0, 10)} on ${where}: ${RELEASE} with ${packages().replaceAll(',', ', ')}, on`,
      `an ext4 of ${SIZE_MB} MiB in an image file; from the order to the unmounted disk. Warm: the median of ${WARM_RUNS}.`,
      '',
      '| | seconds | times as fast as debootstrap | times as fast as xen-create-image, warm |',
      '|---|---|---|---|',
      row('reinstallVPSos, warm (a base is kept)', warm.seconds),
      row('reinstallVPSos, cold (the base is made first)', cold.seconds),
      row('debootstrap alone', debootstrap),
      row('xen-create-image, cache cold', xen_cold),
      row('xen-create-image, cache warm', xen_warm),
      '',
      'Where the time of a reinstall goes:',
      '',
      ...stepTable(agent),
    ];
    say(`\n${table.join('\n')}`);
    writeMeasured('performance.md', 'bench-reinstall', table);
  } finally {
    folder.remove();
  }
}

if (process.getuid?.() !== 0) {
  process.stderr.write(
    'make bench-reinstall: run it as root; it makes and mounts file systems in a folder of its own.\n',
  );
  process.exitCode = 1;
} else {
  await bench();
}
