import { existsSync } from 'node:fs';
import { lstat, mkdir, readdir, readFile, readlink, rename, rm, stat, symlink } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { Config } from '../config/schema.ts';
import { syncFolder, temporaryName, writeFileAtomic } from '../core/atomic-file.ts';
import { AgentError } from '../core/errors.ts';
import type { GuestConfigStore, GuestFile } from '../core/guest-configs.ts';
import type { VpsId } from '../core/vps.ts';
import { renderBsdConfig, renderGuestConfig, renderHvmConfig } from './guest-config-text.ts';
import { nodeName } from './host.ts';
import { chooseMac, macOf, macsOf } from './mac.ts';
import { unlessMissing } from './missing.ts';

/** A configuration is a page of text; what is larger is something else. */
const MAX_BYTES = 256 * 1024;

/** The text of a configuration; undefined where there is none, or what is there is none. */
async function textOf(path: string): Promise<string | undefined> {
  const there = await unlessMissing(stat(path), undefined);
  if (!there?.isFile() || there.size > MAX_BYTES) return undefined;
  return unlessMissing(readFile(path, 'latin1'), undefined);
}

/** Makes the {@link GuestConfigStore} of xen_dir: xenNN and the link auto/xenNN -> ../xenNN. */
export function createGuestConfigs({
  config,
}: {
  config: Pick<
    Config,
    | 'xen_dir'
    | 'node_name'
    | 'XEN_DOMU_HDD_DEV_TYPE'
    | 'XENU_EXTRA_PARM'
    | 'vif_bridge'
    | 'vps_mac_prefix'
    | 'block_script'
  >;
}): GuestConfigStore {
  const auto = join(config.xen_dir, 'auto');
  const path = (vps: VpsId) => join(config.xen_dir, vps.name);
  const withdrawn = (vps: VpsId) => join(config.xen_dir, `.${vps.name}.withdrawn`);

  const { block_script } = config;
  /** A script that is named and not there would keep the guest from starting. */
  const settings = () => ({
    config,
    block_script: block_script !== '' && existsSync(block_script) ? block_script : undefined,
  });

  async function writeText(vps: VpsId, text: string, mode: number): Promise<void> {
    await mkdir(config.xen_dir, { recursive: true });
    await writeFileAtomic(path(vps), Buffer.from(text, 'latin1'), { mode });
    await rm(withdrawn(vps), { force: true });
  }

  /** The addresses of all guests that are configured on the node, by whomever, and the file that has each. */
  async function takenMacs(): Promise<Map<string, string>> {
    const names = await unlessMissing(readdir(config.xen_dir), []);
    const texts = await Promise.all(
      names.map(async (name) => [name, await textOf(join(config.xen_dir, name))] as const),
    );
    return new Map(texts.flatMap(([name, text]) => macsOf(text ?? '').map((mac) => [mac, name])));
  }

  async function disableAutostart(vps: VpsId): Promise<void> {
    await rm(join(auto, vps.name), { force: true });
    if (await unlessMissing(lstat(auto), undefined)) await syncFolder(auto);
  }

  const store: GuestConfigStore = {
    path,

    async exists(vps) {
      return (await unlessMissing(lstat(path(vps)), undefined)) !== undefined;
    },

    async mac(vps) {
      for (const file of [path(vps), withdrawn(vps)]) {
        const mac = macOf((await textOf(file)) ?? '');
        if (mac !== undefined) return mac;
      }
      const { vps_mac_prefix: prefix } = config;
      return chooseMac({ prefix, node: nodeName(config), vps, taken: await takenMacs() });
    },

    async requireFreeMac(vps, mac) {
      const taken = [...(await takenMacs())];
      const own = [vps.name, `.${vps.name}.withdrawn`];
      const other = taken.find(([address, name]) => address === mac && !own.includes(name))?.[1];
      if (other === undefined) return;
      throw new AgentError(
        'invalid_value',
        `${vps.name} cannot have the MAC address ${mac}: ${join(config.xen_dir, other)} has it. Nothing was touched.`,
      );
    },

    render(guest): GuestFile {
      return { text: renderGuestConfig(guest, settings()), mode: 0o644, autostart: true };
    },

    async write(guest) {
      const { text, mode } = store.render(guest);
      await writeText(guest.vps, text, mode);
    },

    async writeHvm(guest) {
      await writeText(guest.vps, renderHvmConfig(guest, settings()), 0o600);
    },

    async writeBsd(guest) {
      await writeText(guest.vps, renderBsdConfig(guest, settings()), 0o644);
    },

    async enableAutostart(vps) {
      const at = join(auto, vps.name);
      await mkdir(auto, { recursive: true });
      const there = await unlessMissing(lstat(at), undefined);
      if (there && !there.isSymbolicLink()) {
        throw new AgentError('program_failed', `${at} is not a link; look what it is, and remove it.`);
      }
      if (there && resolve(auto, await readlink(at)) === path(vps)) return;
      const temporary = join(auto, temporaryName(vps.name));
      await rm(temporary, { force: true });
      await symlink(join('..', vps.name), temporary);
      await rename(temporary, at);
      await syncFolder(auto);
    },

    disableAutostart,

    async read(vps) {
      const there = await unlessMissing(stat(path(vps)), undefined);
      if (!there) return undefined;
      const text = await readFile(path(vps), 'latin1');
      const link = await unlessMissing(lstat(join(auto, vps.name)), undefined);
      return { text, mode: there.mode & 0o777, autostart: link !== undefined };
    },

    async put(vps, file) {
      if (!file) return store.remove(vps);
      if (!file.autostart) await disableAutostart(vps);
      await writeText(vps, file.text, file.mode);
      if (file.autostart) await store.enableAutostart(vps);
    },

    async remove(vps) {
      await disableAutostart(vps);
      await rm(path(vps), { force: true });
      if (await unlessMissing(lstat(config.xen_dir), undefined)) await syncFolder(config.xen_dir);
    },

    async forget(vps) {
      await rm(withdrawn(vps), { force: true });
      if (await unlessMissing(lstat(config.xen_dir), undefined)) await syncFolder(config.xen_dir);
    },

    async withdraw(vps) {
      await disableAutostart(vps);
      await unlessMissing(rename(path(vps), withdrawn(vps)), undefined);
      if (await unlessMissing(lstat(config.xen_dir), undefined)) await syncFolder(config.xen_dir);
    },
  };
  return store;
}
