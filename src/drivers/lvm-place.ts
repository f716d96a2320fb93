import { AgentError } from '../core/errors.ts';
import { LVM_NAME, type Volume, type VolumeGroup } from './lvm-group.ts';

/** What the name of a removed volume begins with until it is wiped; no VPS's disk is ever called so. */
export const REMOVED = 'dtc-xen-removed.';

const MIB = 1024 * 1024;
/** Above this, a pool's metadata may be full before the volumes that are made now are written (lvmthin(7)). */
const METADATA_LIMIT_PERCENT = 90;

/** Where new volumes are made: in the volume group itself, or in a thin pool of it. */
export interface Place {
  /** `volume group vg0`, `thin pool vg0/pool`. */
  readonly told: string;
  /** The pool; undefined: the volume group itself. */
  readonly pool: Volume | undefined;
  /** What comes free when removed volumes are wiped. */
  readonly waiting_bytes: number;
  /** Room for more volumes. In a pool, every thin volume counts with all that it can come to hold. */
  readonly free_bytes: number;
}

/** Sums up what a pool's thin volumes can come to hold: none is ever promised room that is not there. */
const promised_bytes = (volumes: ReadonlyMap<string, Volume>, pool: string) =>
  [...volumes.values()]
    .filter((volume) => volume.pool === pool)
    .reduce((sum, { size_bytes }) => sum + size_bytes, 0);

const isPool = ({ attr }: Volume) => attr.startsWith('t');

/**
 * Finds the place of new volumes. `pool_name` is provisioning_thinpool.
 *
 * @throws AgentError no_volume_group where there is no such pool, naming those there are
 */
export function findPlace(
  group: VolumeGroup,
  volumes: ReadonlyMap<string, Volume>,
  pool_name: string,
): Place {
  if (pool_name === '') {
    const waiting_bytes = [...volumes.values()]
      .filter(({ name }) => name.startsWith(REMOVED))
      .reduce((sum, { size_bytes }) => sum + size_bytes, 0);
    return {
      ...{ told: `volume group ${group.name}`, pool: undefined },
      ...{ free_bytes: group.free_bytes, waiting_bytes },
    };
  }
  const found = LVM_NAME.test(pool_name) ? volumes.get(pool_name) : undefined;
  if (!found || !isPool(found)) {
    const pools = [...volumes.values()].filter(isPool).map(({ name }) => name);
    const there = pools.length === 0 ? 'It has none' : `It has ${pools.join(', ')}`;
    const what = found
      ? `${group.name}/${pool_name} is no thin pool`
      : `Volume group ${group.name} has no thin pool ${pool_name}`;
    throw new AgentError(
      'no_volume_group',
      `${what}. ${there}; see provisioning_thinpool in dtc-xen.conf, and lvs.`,
    );
  }
  const free_bytes = Math.max(0, found.size_bytes - promised_bytes(volumes, pool_name));
  return { told: `thin pool ${group.name}/${pool_name}`, pool: found, free_bytes, waiting_bytes: 0 };
}

/**
 * Makes sure that more may be put into a place: a pool is whole, has room for what it must note, and gives nobody another's
 * data to read.
 *
 * @throws AgentError no_space, no_volume_group
 */
export function requireFit({ pool, told }: Place, group: string): void {
  if (!pool) return;
  const name = `${group}/${pool.name}`;
  if (pool.health !== '') {
    throw new AgentError(
      'no_volume_group',
      `Nothing was made in ${told}: LVM tells its health as "${pool.health}". See lvs -a ${group}, and lvmthin(7), "Data space exhaustion" and "Metadata check and repair".`,
    );
  }
  if (pool.attr.charAt(7) !== 'z') {
    throw new AgentError(
      'no_volume_group',
      `Nothing was made in ${told}: it does not zero its blocks, so a guest could read what another one wrote. Change that with lvchange -Z y ${name}.`,
    );
  }
  if ((pool.metadata_percent ?? 0) >= METADATA_LIMIT_PERCENT) {
    throw new AgentError(
      'no_space',
      `Nothing was made in ${told}: ${pool.metadata_percent} % of its metadata is used. Make it larger: lvextend --poolmetadatasize +128M ${name}.`,
    );
  }
}

/**
 * Refuses what a place has no room for; `what` is as in "xen01: its disks need". Where there is room when removed disks are
 * overwritten, `hurry` is asked for that, and says when it is there.
 *
 * @throws AgentError no_space
 */
export async function requireRoom(
  { told, free_bytes, waiting_bytes }: Place,
  needed_bytes: number,
  what: string,
  hurry: (lacking_bytes: number) => Promise<string>,
): Promise<void> {
  if (needed_bytes <= free_bytes) return;
  const [needed_mb, free_mb] = [Math.ceil(needed_bytes / MIB), Math.floor(free_bytes / MIB)];
  const refused = `${what} ${needed_mb} MB, and ${told} has ${free_mb} MB free`;
  const waiting_mb = Math.floor(waiting_bytes / MIB);
  const lacking_bytes = needed_bytes - free_bytes;
  if (lacking_bytes <= waiting_bytes) {
    throw new AgentError(
      'no_space',
      `${refused}; the room is there ${await hurry(lacking_bytes)}: ${waiting_mb} MB of removed disks are overwritten at full speed now. Call again then.`,
    );
  }
  const more = waiting_mb === 0 ? '' : `, and ${waiting_mb} MB more when removed disks are overwritten`;
  throw new AgentError('no_space', `${refused}${more}.`);
}
