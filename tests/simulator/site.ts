// The node as a story begins: two VPSes, installed, with their configurations.
import { configOf } from './agent.ts';
import { Disk, type System } from './disk.ts';
import { AT, Machine, machine, setMachine } from './machine.ts';
import type { Story } from './story.ts';
import type { GuestSpec } from './xen.ts';

const MIB = 1024 * 1024;
/** Of every root disk. */
export const ROOT_MB = 1024;
/** Of every swap disk. */
export const SWAP_MB = 128;
/** Memory of the guests that are there at first; later ones get more, each its own number. */
export const FIRST_MEMORY_MB = 101;

/** The VPSes of stories. */
export const VPSES = ['xen01', 'xen02'] as const;

function diskPath(type: 'lvm' | 'vbd', vps: string, kind: 'root' | 'swap'): string {
  if (type === 'lvm') return `/dev/vg0/${vps}${kind === 'swap' ? 'swap' : ''}`;
  return `${AT.images}/${vps}${kind === 'swap' ? '.swap' : ''}.img`;
}

function configText(vps: string, spec: GuestSpec, type: 'lvm' | 'vbd', foreign: boolean): string {
  const lines = spec.disks.map(({ path, script }, i) => {
    const vdev = i === 0 ? 'xvda' : 'xvdb';
    if (foreign && type === 'lvm') return `"phy:${path},${vdev},w"`;
    return `"format=raw,vdev=${vdev},access=w,backendtype=phy,script=${script},target=${path}"`;
  });
  return `name = "${vps}"\nmemory = ${spec.memory_mb}\ndisk = [ ${lines.join(', ')} ]\n`;
}

function putDisk(type: 'lvm' | 'vbd', vps: string, kind: 'root' | 'swap', system: System | undefined): void {
  const disk = new Disk(kind, vps, (kind === 'root' ? ROOT_MB : SWAP_MB) * MIB, 0);
  disk.system = system;
  if (type === 'lvm') {
    const volume = machine.volumes.make(disk);
    machine.volumes.names.set(`${vps}${kind === 'swap' ? 'swap' : ''}`, volume);
    machine.volumes.mapped = new Map(machine.volumes.names);
    return;
  }
  const inode = machine.mounts.put(diskPath(type, vps, kind), 'file', '', 0o600);
  inode.disk = disk;
  machine.images.resize(inode, disk.size_bytes);
}

/** Makes the node of a story. Disks of this size are there beside it in the store. */
export function makeSite(story: Story): void {
  const { types, room, foreign, seed, settings } = story;
  const config = configOf(settings);
  const taken = (type: 'lvm' | 'vbd') => types.filter((each) => each === type).length * (ROOT_MB + SWAP_MB);
  const beside = room === 'much' ? 4 * (ROOT_MB + SWAP_MB) : ROOT_MB + SWAP_MB / 2;
  setMachine(new Machine(seed, { images_mib: taken('vbd') + beside, volumes_mib: taken('lvm') + beside }));
  for (const folder of [
    AT.state,
    `${AT.state}/states`,
    '/etc/dtc-xen',
    `${AT.xen}/auto`,
    AT.saved,
    AT.xen_log,
    '/boot',
  ])
    machine.mounts.put(folder, 'folder', '', 0o755);
  for (const file of [
    AT.config,
    '/boot/vmlinuz-6.12.0',
    '/boot/initrd.img-6.12.0',
    '/etc/xen/scripts/block-dtc-xen',
    '/etc/xen/scripts/block',
  ])
    machine.mounts.put(file, 'file');
  const script = foreign || config.block_script === '' ? 'block' : config.block_script;
  VPSES.forEach((vps, i) => {
    const type = types[i] as 'lvm' | 'vbd';
    const memory_mb = FIRST_MEMORY_MB + i;
    const system: System = { made_by: `first-${vps}`, memory_mb, made_ms: 0, whole: true, precious: true };
    putDisk(type, vps, 'root', system);
    putDisk(type, vps, 'swap', undefined);
    machine.watch.treasure(system, vps);
    const disks = (['root', 'swap'] as const).map((kind) => ({
      path: diskPath(type, vps, kind),
      script: script ?? 'block',
    }));
    machine.mounts.put(
      `${AT.xen}/${vps}`,
      'file',
      configText(vps, { name: vps, memory_mb, disks }, type, foreign),
    );
    machine.mounts.put(`${AT.xen}/auto/${vps}`, 'link', `../${vps}`);
  });
  for (const [, fs] of machine.mounts.all()) fs.syncAll();
}
