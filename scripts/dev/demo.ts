// What a panel does with a node, from the first disk to the last check, on a simulated Xen host: the `xl` is simulated; the
// agent, the SOAP calls, the disks, the installed Debian and the file system check are real.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pino } from 'pino';
import { createDrivers, createSampler } from '../../src/app.ts';
import { type AgentClient, createAgentClient } from '../../src/client/agent-client.ts';
import { loadConfig } from '../../src/config/load.ts';
import { makeDaemonFolder, readCa, startDaemon } from '../../tests/daemon.ts';
import { createFakeNode } from '../../tests/fakes/fake-node.ts';

const ROOT = join(import.meta.dirname, '../..');
const VPS = 'xen01';
const JOB_LIMIT_MS = 20 * 60_000;

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

/** Takes the sample of this minute as the daemon's own sampler would at its end, so that nobody has to wait for that. */
async function takeSample(config_file: string): Promise<void> {
  const config = loadConfig(config_file);
  const log = pino({ level: 'silent' });
  await createSampler(config, createDrivers(config, log), log).sampleNow();
}

async function fetchSamples(client: AgentClient): Promise<Record<string, unknown>[]> {
  const { sample } = await client.call('getCollectedPerformanceData', ['0']);
  const rows = sample === undefined ? [] : [sample].flat();
  if (rows.length === 0) throw new Error('there is no sample.');
  return rows as Record<string, unknown>[];
}

/** Mounts the installed root read-only in a name space of its own, and asks dpkg in it what is installed. */
function installedPackages(image: string, mount_point: string): string[] {
  mkdirSync(mount_point, { recursive: true });
  const list = execFileSync(
    'unshare',
    [
      '--mount',
      '--propagation',
      'slave',
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

async function demo(): Promise<void> {
  const folder = makeDaemonFolder();
  const node = await createFakeNode({ root: join(folder.path, 'node') });
  const daemon = await startDaemon({
    fakeNode: node,
    folder,
    config: { KERNELPATH: node.kernel, INITRDPATH: node.initrd },
  });
  try {
    say(`The agent listens at ${daemon.url}; its folder is ${folder.path}.`);
    const { url, user, password } = daemon;
    const client = await createAgentClient({ url, user, password, ca: readCa(daemon) });
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
    await node.traffic(VPS, {
      vif_rx_bytes: 3_000_000_000,
      vif_tx_bytes: 5_000_000_000,
      root_read_sectors: 4_096,
    });
    await call('getNetworkUsage', [VPS]);
    await call('getIOUsage', [VPS]);
    await call('getCPUUsage', [VPS]);
    await takeSample(daemon.config_file);
    say(`getCollectedPerformanceData(0) -> ${JSON.stringify((await fetchSamples(client)).at(-1))}`);
    await call('shutdownVPS', [VPS]);
    await call('fsckVPSpartition', [VPS]);
    say(`  ${await followJob(client, 'check')}`);
    await call('getVPSState', [VPS]);

    const image = join(folder.path, 'mnt', `${VPS}.img`);
    const packages = installedPackages(image, join(folder.path, 'look'));
    if (!packages.includes('systemd-sysv'))
      throw new Error(`the installed system has no systemd-sysv: ${packages.join(' ')}`);
    say(`The installed system has ${packages.length} packages, from ${packages[0]} to ${packages.at(-1)}.`);
  } finally {
    await daemon.stop();
  }
  const left = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .filter((line) => line.includes(folder.path));
  if (left.length > 0) throw new Error(`something is still mounted:\n${left.join('\n')}`);
  say('Done; nothing is mounted. To look into the root file system, and to clean up afterwards:');
  process.stdout.write(`
    mount -o loop,ro ${join(folder.path, 'mnt', `${VPS}.img`)} /mnt
    chroot /mnt dpkg -l
    umount /mnt
    rm -r ${folder.path}
`);
}

if (process.getuid?.() !== 0) {
  process.stderr.write(
    'make demo: run it as root; it makes and mounts file systems in a folder of its own.\n',
  );
  process.exitCode = 1;
} else {
  await demo();
}
