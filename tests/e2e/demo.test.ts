// The main job on real input: what `make demo` runs, to its end, and then a look into the system that it left.
import { execFile, execFileSync } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, expect, it } from 'vitest';

const ROOT = join(import.meta.dirname, '../..');
let folder = '';
afterAll(() => {
  if (folder !== '') rmSync(folder, { recursive: true });
});

it('installs, starts, reads, checks and stops a VPS, and leaves a root file system to look into', async () => {
  const { stdout } = await promisify(execFile)(process.execPath, ['--import', 'tsx', 'scripts/dev/demo.ts'], {
    cwd: ROOT,
    timeout: 400_000,
  });
  const image = /mount -o loop,ro (\S+) \/mnt$/m.exec(stdout)?.[1] ?? '';
  folder = /^ {4}rm -r (\/\S+\/dtc-xen-agent-\w+)$/m.exec(stdout)?.[1] ?? '';
  expect(image.startsWith(`${folder}/`)).toBe(true);

  const steps = [
    'setupLVMDisks',
    'reinstallVPSos',
    'startVPS',
    'getVPSState',
    'getNetworkUsage',
    'getCollectedPerformanceData',
    'shutdownVPS',
    'fsckVPSpartition',
  ];
  for (const step of steps) expect(stdout).toContain(`${step}(`);
  expect(stdout).toContain('{"net_inbytes":3000000000,"net_outbytes":5000000000}');
  expect(stdout).toContain('The root file system of xen01 is clean.');

  const look = join(folder, 'look');
  const inImage = join(ROOT, 'scripts/dev/in-image');
  const list = execFileSync(
    'unshare',
    ['--mount', '--propagation', 'slave', '--', inImage, image, look, 'dpkg', '-l'],
    { encoding: 'utf8' },
  );
  expect(list.match(/^ii /gm)?.length).toBeGreaterThan(80);
  expect(list).toMatch(/^ii {2}openssh-server /m);
  expect(readFileSync('/proc/self/mountinfo', 'utf8')).not.toContain(folder);
}, 420_000);
