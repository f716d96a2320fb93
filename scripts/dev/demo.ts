// What a panel does with a node, from the first disk to the last check, on a simulated Xen host: the `xl` is simulated; the
// agent, the SOAP calls, the disks, the installed Debian and the file system check are real.
import { execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { type AgentClient, createAgentClient } from '../../src/client/agent-client.ts';
import { createFakeNode } from '../../tests/fakes/fake-node.ts';

const ROOT = join(import.meta.dirname, '../..');
const VPS = 'xen01';
const JOB_LIMIT_MS = 20 * 60_000;
const SAMPLE_LIMIT_MS = 150_000;

const started = performance.now();
const say = (text: string) =>
  process.stdout.write(`[${((performance.now() - started) / 1000).toFixed(1).padStart(6)} s] ${text}\n`);

interface JobView {
  state: string;
  last_job?: { state: string; message: string };
}

async function followJob(client: AgentClient, what: string): Promise<string> {
  const deadline = Date.now() + JOB_LIMIT_MS;
  let shown = '';
  while (Date.now() < deadline) {
    const { state, last_job } = (await client.call('getVPSState', [VPS])) as unknown as JobView;
    const now = `${state}: ${last_job?.message ?? ''}`;
    if (now !== shown) say(`  ${what}: ${now}`);
    shown = now;
    if (last_job?.state === 'succeeded') return last_job.message;
    if (last_job?.state === 'failed') {
      const { log } = await client.call('getVPSInstallLog', [VPS, '20']);
      throw new Error(`${what} failed: ${last_job.message}\n${log}`);
    }
    await sleep(1_000);
  }
  throw new Error(`${what} did not end within ${JOB_LIMIT_MS / 60_000} minutes.`);
}

async function awaitSamples(client: AgentClient): Promise<Record<string, unknown>[]> {
  const deadline = Date.now() + SAMPLE_LIMIT_MS;
  while (Date.now() < deadline) {
    const { sample } = await client.call('getCollectedPerformanceData', ['0']);
    const rows = sample === undefined ? [] : [sample].flat();
    if (rows.length > 0) return rows as Record<string, unknown>[];
    await sleep(2_000);
  }
  throw new Error(`no sample within ${SAMPLE_LIMIT_MS / 1000} s.`);
}

/** Mounts the installed root read-only in a name space of its own, and asks dpkg in it what is installed. */
function installedPackages(image: string, mount_point: string): string[] {
  mkdirSync(mount_point, { recursive: true });
  const list = execFileSync(
    'unshare',
    [
      '--mount',
      '--',
      join(ROOT, 'scripts/dev/in-image'),
      image,
      mount_point,
      'dpkg-query',
      '-W',
      '-f',
      // biome-ignore lint/suspicious/noTemplateCurlyInString: dpkg-query's own format
      '${Package}\n',
    ],
    { encoding: 'utf8' },
  );
  return list.split('\n').filter((line) => line !== '');
}

async function demo(folder: string): Promise<void> {
  const password = randomBytes(12).toString('base64url');
  const node = createFakeNode({});
  const etc_dir = join(folder, 'etc');
  const mounts = join(folder, 'mnt');
  for (const path of [etc_dir, mounts, join(folder, 'xen/auto')]) mkdirSync(path, { recursive: true });
  execFileSync('htpasswd', ['-i', '-B', '-c', join(etc_dir, 'htpasswd'), 'dtc-xen'], {
    input: password,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  const kernel = join(folder, 'vmlinuz');
  writeFileSync(kernel, 'the simulated Xen only looks whether it is there\n');
  const settings: Record<string, string> = {
    listen_address: '127.0.0.1',
    listen_port: '0',
    etc_dir,
    xen_dir: join(folder, 'xen'),
    state_dir: join(folder, 'state'),
    run_dir: join(folder, 'run'),
    provisioning_mount_point: mounts,
    scripts_dir: join(ROOT, 'scripts'),
    program_path: `${node.bin}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`,
    dev_dir: node.dev_dir,
    proc_dir: node.proc_dir,
    sys_dir: node.sys_dir,
    KERNELPATH: kernel,
    job_runner: 'detached',
  };
  const conf = join(folder, 'dtc-xen.conf');
  writeFileSync(
    conf,
    Object.entries(settings)
      .map(([key, value]) => `${key}='${value}'\n`)
      .join(''),
  );

  const agent = spawn(process.execPath, [join(ROOT, 'dist/dtc-xen-agent.js'), 'serve', '--config', conf], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const log: string[] = [];
  try {
    const port = await new Promise<number>((resolve, reject) => {
      agent.once('exit', () => reject(new Error(`the agent did not start:\n${log.join('\n')}`)));
      createInterface({ input: agent.stdout }).on('line', (line) => {
        log.push(line);
        const entry = JSON.parse(line) as { msg?: string; port?: number };
        if (entry.msg === 'listening' && entry.port) resolve(entry.port);
      });
    });
    const url = `https://localhost:${port}/`;
    say(`The agent listens at ${url}; its folder is ${folder}.`);
    const ca = readFileSync(join(etc_dir, 'dtc-xen.cert'), 'utf8');
    const client = await createAgentClient({ url, user: 'dtc-xen', password, ca });
    const call = async (operation: string, args: string[]) => {
      const answer = await client.call(operation, args);
      say(
        `${operation}(${args.map((arg) => (arg === password ? '...' : arg)).join(', ')}) -> ${JSON.stringify(answer)}`,
      );
      return answer;
    };

    await call('testVPSServer', []);
    await call('setupLVMDisks', [VPS, '2048', '128', 'vbd']);
    await call('reinstallVPSos', [
      VPS,
      'debian',
      '512',
      password,
      '192.0.2.10,255.255.255.0,192.0.2.255',
      '192.0.2.1',
      '192.0.2.2',
    ]);
    say(`  ${await followJob(client, 'installation')}`);
    await call('startVPS', [VPS]);
    await call('listStartedVPS', []);
    await call('getVPSState', [VPS]);
    node.traffic(VPS, {
      rx_bytes: 3_000_000_000,
      tx_bytes: 5_000_000_000,
      root_sectors: 4_096,
      swap_sectors: 512,
    });
    await call('getNetworkUsage', [VPS]);
    await call('getIOUsage', [VPS]);
    await call('getCPUUsage', [VPS]);
    say('Waiting for the sample of this minute ...');
    say(`getCollectedPerformanceData(0) -> ${JSON.stringify((await awaitSamples(client)).at(-1))}`);
    await call('shutdownVPS', [VPS]);
    await call('fsckVPSpartition', [VPS]);
    say(`  ${await followJob(client, 'check')}`);
    await call('getVPSState', [VPS]);

    const image = join(mounts, `${VPS}.img`);
    const packages = installedPackages(image, join(folder, 'look'));
    if (!packages.includes('systemd-sysv'))
      throw new Error(`the installed system has no systemd-sysv: ${packages.join(' ')}`);
    say(`The installed system has ${packages.length} packages, from ${packages[0]} to ${packages.at(-1)}.`);
    say('Done. To look into its root file system, and to clean up afterwards:');
    process.stdout.write(`
    mount -o loop,ro ${image} /mnt && chroot /mnt dpkg -l | less; umount /mnt
    rm -r ${folder}
`);
  } finally {
    if (agent.exitCode === null) {
      agent.kill('SIGTERM');
      await once(agent, 'exit');
    }
    node.cleanup();
  }
  const left = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .filter((line) => line.includes(folder));
  if (left.length > 0) throw new Error(`something is still mounted:\n${left.join('\n')}`);
}

if (process.getuid?.() !== 0) {
  process.stderr.write(
    'make demo: run it as root; it makes and mounts file systems in a folder of its own.\n',
  );
  process.exitCode = 1;
} else {
  await demo(mkdtempSync(join(tmpdir(), 'dtc-xen-demo-')));
}
