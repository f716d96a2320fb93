// Systems that can be told apart: a template that leaves a marker on the root disk, and a look at what a VPS has.
import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ImageType, JobStatus } from '../../src/core/ports.ts';
import type { Site } from '../site.ts';

/** Puts the template `marked` there: its systems hold the text of {@link order}, and `complete` when all is done. */
export function installMarked(site: Site): void {
  const folder = join(site.folder.path, 'os/marked');
  mkdirSync(folder);
  const program = (name: string, ...lines: string[]) => {
    writeFileSync(join(folder, name), `#!/bin/sh\nset -e\n${lines.join('\n')}\n`);
    chmodSync(join(folder, name), 0o755);
  };
  const root = 'while [ "$1" != -path ]; do shift; done; root=$2';
  program(
    'install_os',
    root,
    'mkdir -p "$root/etc" "$root/root"',
    `echo 'root:x:0:0::/root:/bin/sh' > "$root/etc/passwd"`,
    `echo 'root:*:19000:0:99999:7:::' > "$root/etc/shadow"`,
    `cp ${join(site.folder.path, 'marker')} "$root/etc/marker"`,
  );
  program('custom_os', 'exit 0');
  program('setup_network', 'exit 0');
  program('last_stage_custom', root, 'echo complete > "$root/etc/complete"');
}

/** The parameters of a reinstall whose system will hold this number, and whose guest has as many megabytes of memory. */
export function order(site: Site, vpsname: string, marker: number) {
  writeFileSync(join(site.folder.path, 'marker'), `${marker}\n`);
  return {
    ...{ vpsname, ostype: 'marked', ramsize: marker, password: 'secret', nics: '192.0.2.10' },
    ...{ gateway: '', dns: '' },
  };
}

/** The folder of a VPS's jobs and records. */
export const statesOf = (site: Site, vpsname: string): string =>
  join(site.folder.path, 'state/states', vpsname);

/** What the newest job's status.json says; undefined where there is none. */
export function newestStatus(site: Site, vpsname: string): JobStatus | undefined {
  const ids = existsSync(statesOf(site, vpsname)) ? readdirSync(statesOf(site, vpsname)) : [];
  const newest = ids
    .filter((name) => /^\d{8}T/.test(name))
    .sort()
    .at(-1);
  const file = newest && join(statesOf(site, vpsname), newest, 'status.json');
  return file && existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as JobStatus) : undefined;
}

const diskPath = (site: Site, vpsname: string, type: ImageType, ending: string) =>
  type === 'lvm'
    ? join(site.node.dev_dir, 'vg0', `${vpsname}${ending}`)
    : join(site.folder.path, 'mnt', `${vpsname}${ending}.img`);

const fileOn = (disk: string, path: string): string =>
  execFileSync('debugfs', ['-R', `cat ${path}`, disk], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  }).trim();

/** A system on a root disk, as far as it can be seen without mounting it. */
export interface SystemSeen {
  readonly marker: number;
  readonly complete: boolean;
}

/** The system on a root disk; undefined where there is no such disk. Fails where the file system is not clean. */
export function systemOn(site: Site, vpsname: string, type: ImageType, ending = ''): SystemSeen | undefined {
  const disk = diskPath(site, vpsname, type, ending);
  if (!existsSync(disk)) return undefined;
  execFileSync('e2fsck', ['-f', '-n', disk], { stdio: 'ignore' });
  return {
    marker: Number(fileOn(disk, '/etc/marker')),
    complete: fileOn(disk, '/etc/complete') === 'complete',
  };
}

/** The memory in the guest's configuration, which is its system's marker; undefined where there is none. */
export function configured(site: Site, vpsname: string): number | undefined {
  const file = join(site.folder.path, 'xen', vpsname);
  if (!existsSync(file)) return undefined;
  return Number(/^memory = (\d+)$/m.exec(readFileSync(file, 'utf8'))?.[1]);
}

/** Names of disks, records, mounts and loop devices that nothing should leave behind. */
export function leftOver(site: Site, vpsname: string): string[] {
  const disks = [
    ...readdirSync(join(site.folder.path, 'mnt')),
    ...readdirSync(join(site.node.dev_dir, 'vg0')),
  ];
  const loops = execFileSync('losetup', ['--list', '--noheadings', '--output', 'BACK-FILE'], {
    encoding: 'utf8',
  });
  return [
    ...disks.filter((name) => new RegExp(`^\\.?${vpsname}\\.(new|passing)`).test(name)),
    ...readdirSync(statesOf(site, vpsname)).filter((name) => name === 'names.json'),
    ...site.mounts(),
    ...loops.split('\n').filter((line) => line.includes(site.folder.path)),
  ];
}
