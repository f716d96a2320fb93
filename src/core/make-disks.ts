import type { DiskStore, VpsDisks } from './ports.ts';
import type { Systems } from './systems.ts';
import type { VpsId } from './vps.ts';

/**
 * Makes those of a VPS's two disks that are not `there`, or none where one cannot be made. Old systems of other VPSes go where
 * that gives the room. Errors: `no_space`, `no_volume_group`, `disks_exist`, `program_*`.
 */
export async function makeDisks(
  { store, systems }: { readonly store: DiskStore; readonly systems: Systems },
  vps: VpsId,
  there: Pick<VpsDisks, 'root' | 'swap'>,
  size: { readonly root_mb: number; readonly swap_mb: number },
): Promise<void> {
  const missing_mb = [...(there.root ? [] : [size.root_mb]), ...(there.swap ? [] : [size.swap_mb])];
  const needed_bytes = await Promise.all(missing_mb.map((size_mb) => store.roundedSize_bytes(size_mb)));
  await systems.makeRoom(
    store.type,
    needed_bytes.reduce((sum, bytes) => sum + bytes, 0),
    vps,
  );
  await store.create(vps, size);
}
