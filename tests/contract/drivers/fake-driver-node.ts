import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { parseConfig } from '../../../src/config/load.ts';
import { createRunner } from '../../../src/drivers/run.ts';
import { createFakeNode, type FakeNode } from '../../fakes/fake-node.ts';
import type { DriverNode } from './driver-node.ts';

/** The same with a thin pool for its disks. */
export async function openFakeThinNode(): Promise<DriverNode & { readonly fake: FakeNode }> {
  const node = await openFakeNode();
  const args = ['-y', '--type', 'thin-pool', '-L', '2G', '-n', 'pool', node.volume_group];
  await node.runner.check({ label: 'lvcreate', program: 'lvcreate', args, timeout_ms: 20_000 });
  return { ...node, config: { ...node.config, provisioning_thinpool: 'pool' } };
}

/** Opens the fake node as a {@link DriverNode}; its guests need no system to boot. */
export async function openFakeNode(): Promise<DriverNode & { readonly fake: FakeNode }> {
  const fake = await createFakeNode();
  const xen_dir = join(fake.root, 'etc-xen');
  mkdirSync(xen_dir);
  const config = parseConfig(
    [
      `program_path=${fake.program_path}`,
      `dev_dir=${fake.dev_dir}`,
      `proc_dir=${fake.proc_dir}`,
      `sys_dir=${fake.sys_dir}`,
      `xen_dir=${xen_dir}`,
      `xen_log_dir=${fake.xen_log_dir}`,
      `xen_save_dir=${fake.xen_save_dir}`,
      `state_dir=${join(fake.root, 'agent')}`,
      `run_dir=${join(fake.root, 'run')}`,
      `provisioning_mount_point=${join(fake.root, 'mnt')}`,
      'wipe_removed_disks=no',
    ].join('\n'),
  );
  mkdirSync(config.provisioning_mount_point);
  return {
    fake,
    config,
    runner: createRunner({ path: config.program_path }),
    volume_group: 'vg0',
    kernel: fake.kernel,
    initrd: fake.initrd,
    memory_mb: 384,
    fillRoot: async () => undefined,
    booted: async () => undefined,
    cleanup: async () => fake.cleanup(),
  };
}
