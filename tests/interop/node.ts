// The node that the scenario is played on: a fake Xen with disks, a guest that runs, and samples that wait.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pino } from 'pino';
import type { GuestReading, Sample } from '../../src/core/ports.ts';
import { createSamples } from '../../src/stats/samples.ts';
import { createSpoolFolder } from '../../src/stats/spool-folder.ts';
import { type DaemonFolder, makeDaemonFolder, startDaemon } from '../daemon.ts';
import { createFakeNode, type FakeNode } from '../fakes/fake-node.ts';
import type { Stage } from './conversation.ts';

const GROUP = 'vg0';
const GROUP_MB = 16_384;
/** LVM keeps one for itself. */
const EXTENT_MB = 4;
const DISK_MB = 256;
const SWAP_MB = 64;
const NET = { inbytes: 5_000_000_123, outbytes: 324_328_402_389 };
const SECTORS = { root: 123_456, swap: 8 };

/** Two samples of one guest and then of two, made by the agent's own sampler out of made-up counters. */
async function fillSpool(state_dir: string): Promise<readonly Sample[]> {
  const reading = (vpsname: string, grown: number): GuestReading => ({
    vpsname,
    domid: 7,
    cpu_seconds: 51.5 + grown,
    vif_rx_bytes: NET.inbytes + grown * 2 ** 32,
    vif_tx_bytes: 838_375_767 + grown,
    root: { sectors: 4_096 + grown, counted_for: 'guest' },
    swap: { sectors: grown, counted_for: 'guest' },
  });
  const readings = [[reading('xen02', 0)], [reading('xen02', 3), reading('xen05', 100)]];
  const minute_ms = Math.floor(Date.now() / 60_000) * 60_000;
  let taken = 0;
  const samples = createSamples({
    hypervisor: { list: async () => [], find: async () => undefined },
    counters: { read: async () => ({ boot_id: '', guests: readings[taken++] ?? [] }) },
    config: { state_dir, perf_direction: 'dom0', perf_retention: 7 },
    log: pino({ level: 'silent' }),
    now: () => minute_ms - 120_000 + taken * 60_000 + 250,
  });
  await samples.sampleNow();
  await samples.sampleNow();
  const delivery = await samples.take(0);
  delivery.kept();
  return delivery.samples;
}

function installGuest(node: FakeNode, folder: DaemonFolder, name: string, memory_mb: number): string {
  for (const [volume, size_mb] of [
    [name, DISK_MB],
    [`${name}swap`, SWAP_MB],
  ] as const) {
    execFileSync(join(node.bin, 'lvcreate'), ['-y', '-L', `${size_mb}M`, '-n', volume, GROUP], {
      stdio: 'pipe',
    });
  }
  const config = join(folder.path, 'xen', name);
  const disks = [
    `phy:${node.dev_dir}/${GROUP}/${name},xvda,w`,
    `phy:${node.dev_dir}/${GROUP}/${name}swap,xvdb,w`,
  ];
  writeFileSync(
    config,
    `name = "${name}"
kernel = "${node.kernel}"
memory = ${memory_mb}
vcpus = 1
vif = [ "mac=02:00:00:00:00:0${name.at(-1)},bridge=xenbr0" ]
disk = [ ${disks.map((disk) => `"${disk}"`).join(', ')} ]
`,
  );
  return config;
}

/** Puts one more sample into the spool of a daemon that runs, as its sampler would, and tells whether it is there. */
async function addSample(state_dir: string, like: Sample): Promise<() => boolean> {
  const dir = join(state_dir, 'perfdata');
  const serial = Date.now();
  const sample = { ...like, timestamp: serial / 1000 };
  await createSpoolFolder(dir, pino({ level: 'silent' })).writeSample({
    serial,
    state: { boot_id: '', guests: {} },
    sample,
  });
  return () => readdirSync(dir).some((name) => name.includes(String(serial)));
}

/** Sets the stage (scenario.ts says which) and starts the daemon on it. */
export async function openStage(): Promise<Stage> {
  const node = await createFakeNode({ volume_group: GROUP, size_mib: GROUP_MB });
  const folder = makeDaemonFolder();
  for (const name of ['os/centos', 'os/archlinux', 'app/roundcube']) {
    mkdirSync(join(folder.path, name), { recursive: true });
  }
  installGuest(node, folder, 'xen01', 512);
  const running = installGuest(node, folder, 'xen02', 256);
  execFileSync(join(node.bin, 'xl'), ['create', running], { stdio: 'pipe' });
  await node.traffic('xen02', {
    vif_rx_bytes: NET.inbytes,
    vif_tx_bytes: NET.outbytes,
    root_read_sectors: SECTORS.root - 1_000,
    root_written_sectors: 1_000,
    swap_written_sectors: SECTORS.swap,
  });
  const samples = await fillSpool(join(folder.path, 'state'));
  const daemon = await startDaemon({ fakeNode: node, folder });
  return {
    endpoint: daemon,
    facts: {
      free_disk_mb: GROUP_MB - EXTENT_MB - 2 * (DISK_MB + SWAP_MB),
      samples,
      net: NET,
      sectors: SECTORS,
    },
    logs: daemon.logs,
    addSample: () => addSample(join(folder.path, 'state'), samples[1] ?? { timestamp: 0, guests: [] }),
    async close() {
      const exit_code = await daemon.stop();
      if (exit_code !== 0) throw new Error(`the daemon ended with ${exit_code} on SIGTERM`);
      node.cleanup();
      folder.remove();
    },
  };
}
