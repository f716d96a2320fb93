import { readdir, readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { Logger } from 'pino';
import type { Config } from '../config/schema.ts';
import type { CounterReader, DiskReading, GuestReading } from '../core/ports.ts';
import { type Domain, parseVpsId } from '../core/vps.ts';
import { type InterfaceBytes, parseNetDev } from './parse/net-dev.ts';
import {
  parseBlockStat,
  parsePhysicalDevice,
  parseVbdSectors,
  parseVolumeName,
} from './parse/vbd-statistics.ts';

type DiskPrefix = Config['XEN_DOMU_HDD_DEV_TYPE'];

type Disk = 'root' | 'swap';

/** Xen's numbers of a guest's first and second disk (xen-vbd-interface(7)): xvda and xvdb, sda and sdb, hda and hdb. */
const DEVICE_NUMBERS: Readonly<Record<DiskPrefix, { root: number; swap: number }>> = {
  xvd: { root: 51712, swap: 51728 },
  sd: { root: 2048, swap: 2064 },
  hd: { root: 768, swap: 832 },
};
/** The same of guests to whom each disk is a partition: sda1 and sda2 as DTC-Xen wrote, hda1 and hda2, xvda2 and xvda1 as xen-tools does. */
const PARTITION_NUMBERS: readonly { readonly root: number; readonly swap: number }[] = [
  { root: 2049, swap: 2050 },
  { root: 769, swap: 770 },
  { root: 51714, swap: 51713 },
];

/** What a {@link CounterReader} is made of. */
export interface CountersOptions {
  readonly config: Pick<Config, 'proc_dir' | 'sys_dir' | 'XEN_DOMU_HDD_DEV_TYPE' | 'provisioning_volgroup'>;
  readonly log: Logger;
}

/**
 * Reads guests' counters where Linux keeps them: /proc/net/dev, xen-blkback's statistics and, for a disk that blkback does
 * not serve, its volume's device mapper counters.
 */
export function createCounters({ config, log }: CountersOptions): CounterReader {
  const backends = join(config.sys_dir, 'bus/xen-backend/devices');
  const blocks = join(config.sys_dir, 'block');

  async function readOptional(path: string): Promise<string> {
    try {
      return await readFile(path, 'utf8');
    } catch (error) {
      log.debug({ err: error, path }, 'counter file cannot be read');
      return '';
    }
  }

  async function namesIn(folder: string): Promise<string[]> {
    try {
      return (await readdir(folder)).sort();
    } catch (error) {
      log.debug({ err: error, path: folder }, 'folder cannot be listed');
      return [];
    }
  }

  async function vifBytes(domid: number, interfaces: ReadonlyMap<string, InterfaceBytes>) {
    const usual = interfaces.get(`vif${domid}.0`);
    if (usual) return usual;
    const [renamed = ''] = await namesIn(join(backends, `vif-${domid}-0`, 'net'));
    return interfaces.get(renamed);
  }

  async function sectorsOf(vbd: string): Promise<number | undefined> {
    const statistics = join(backends, vbd, 'statistics');
    const [rd_sect, wr_sect] = await Promise.all([
      readOptional(join(statistics, 'rd_sect')),
      readOptional(join(statistics, 'wr_sect')),
    ]);
    return parseVbdSectors(rd_sect, wr_sect);
  }

  async function vbdSectors(domain: Domain, disk: Disk): Promise<number | undefined> {
    const configured = DEVICE_NUMBERS[config.XEN_DOMU_HDD_DEV_TYPE];
    const others = Object.values(DEVICE_NUMBERS).filter((numbers) => numbers !== configured);
    for (const numbers of [configured, ...others]) {
      const sectors = await sectorsOf(`vbd-${domain.domid}-${numbers[disk]}`);
      if (sectors !== undefined) return sectors;
    }
    return oddSectors(domain, disk);
  }

  /** What a vbd is of dom0: the volume's or the image file's name; undefined where that cannot be seen. */
  async function backingOf(vbd: string): Promise<string | undefined> {
    const device = parsePhysicalDevice(await readOptional(join(backends, vbd, 'physical_device')));
    if (device === undefined) return undefined;
    const block = join(config.sys_dir, 'dev/block', device);
    const volume = parseVolumeName(await readOptional(join(block, 'dm/name')))?.volume;
    const file = (await readOptional(join(block, 'loop/backing_file'))).trimEnd();
    return volume ?? (file === '' ? undefined : basename(file));
  }

  /** Of a guest that has its disks under names that the agent does not give: by what they are of dom0, else by their usual numbers. */
  async function oddSectors({ domid, name }: Domain, disk: Disk): Promise<number | undefined> {
    const wanted = disk === 'root' ? [name, `${name}.img`] : [`${name}swap`, `${name}.swap.img`];
    const vbds = (await namesIn(backends)).filter((vbd) => vbd.startsWith(`vbd-${domid}-`));
    const unseen: string[] = [];
    for (const vbd of vbds) {
      const backing = await backingOf(vbd);
      if (backing === undefined) unseen.push(vbd);
      else if (wanted.includes(backing)) return sectorsOf(vbd);
    }
    const usual = PARTITION_NUMBERS.map((numbers) => `vbd-${domid}-${numbers[disk]}`);
    const found = usual.find((vbd) => unseen.includes(vbd));
    return found === undefined ? undefined : sectorsOf(found);
  }

  /** Volume name -> its dm-N, of the configured volume group; undefined where two groups have a volume of that name. */
  async function listVolumes(): Promise<ReadonlyMap<string, string | undefined>> {
    const volumes = new Map<string, string | undefined>();
    for (const device of (await namesIn(blocks)).filter((name) => /^dm-[0-9]+$/.test(name))) {
      const parsed = parseVolumeName(await readOptional(join(blocks, device, 'dm/name')));
      if (!parsed) continue;
      if (config.provisioning_volgroup !== '' && parsed.volgroup !== config.provisioning_volgroup) continue;
      volumes.set(parsed.volume, volumes.has(parsed.volume) ? undefined : device);
    }
    return volumes;
  }

  return {
    async read(domains) {
      const interfaces = parseNetDev(await readOptional(join(config.proc_dir, 'net/dev')));
      let volumes: ReturnType<typeof listVolumes> | undefined;

      async function readDisk(domain: Domain, disk: Disk): Promise<DiskReading | undefined> {
        const sectors = await vbdSectors(domain, disk);
        if (sectors !== undefined) return { sectors, counted_for: 'guest' };
        volumes ??= listVolumes();
        const device = (await volumes).get(disk === 'root' ? domain.name : `${domain.name}swap`);
        const of_volume = device && parseBlockStat(await readOptional(join(blocks, device, 'stat')));
        return typeof of_volume === 'number' ? { sectors: of_volume, counted_for: 'volume' } : undefined;
      }

      async function readGuest(domain: Domain): Promise<GuestReading> {
        const [vif, root, swap] = await Promise.all([
          vifBytes(domain.domid, interfaces),
          readDisk(domain, 'root'),
          readDisk(domain, 'swap'),
        ]);
        const reading: GuestReading = {
          vpsname: domain.name,
          domid: domain.domid,
          cpu_seconds: domain.cpu_seconds,
          vif_rx_bytes: vif?.rx_bytes,
          vif_tx_bytes: vif?.tx_bytes,
          root,
          swap,
        };
        const missing = Object.entries({ vif, root, swap }).filter(([, found]) => found === undefined);
        if (missing.length > 0) {
          log.debug({ vps: domain.name, missing: missing.map(([name]) => name) }, 'counters missing');
        }
        return reading;
      }

      const boot_id = (await readOptional(join(config.proc_dir, 'sys/kernel/random/boot_id'))).trim();
      const vpses = domains.filter((domain) => parseVpsId(domain.name)?.name === domain.name);
      return { boot_id, guests: await Promise.all(vpses.map(readGuest)) };
    },
  };
}
