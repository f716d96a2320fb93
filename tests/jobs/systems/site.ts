// A folder with image files and configurations, and the real drivers on it, which can be made to die at any of their calls.
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { parseConfig } from '../../../src/config/load.ts';
import type { DiskStore, GuestFile } from '../../../src/core/ports.ts';
import type { Systems } from '../../../src/core/systems.ts';
import type { Domain, VpsId } from '../../../src/core/vps.ts';
import { createDiskFiles } from '../../../src/drivers/disk-files.ts';
import { createFileLocks, createVpsLocks } from '../../../src/drivers/flock.ts';
import { createGuestConfigs } from '../../../src/drivers/guest-config.ts';
import { createRunner } from '../../../src/drivers/run.ts';
import { createSystemKeeper } from '../../../src/jobs/systems/keeper.ts';
import { createSystems } from '../../../src/jobs/systems/systems.ts';
import { hypervisorWith, PROGRAM_PATH } from '../plan-harness.ts';

/** What an injected death throws. */
export class Death extends Error {}

/** When to die: at the `at`th call of a driver, before it does anything or after it has done all. */
export interface DeathOrder {
  readonly at: number;
  readonly when: 'before' | 'after';
}

/** The content of a VPS's root images and its configuration. */
export interface Look {
  readonly roots: Readonly<Record<string, string>>;
  readonly config: string | undefined;
  readonly autostart: boolean;
  readonly unfinished: boolean;
}

/** Makes the site; `settings` are lines of the configuration. */
export function makeSystemsSite(settings = '') {
  const folder = mkdtempSync(join(tmpdir(), 'systems-'));
  for (const name of ['bin', 'mnt', 'xen/auto', 'state/states', 'run', 'proc']) {
    mkdirSync(join(folder, name), { recursive: true });
  }
  // No loop device is made here, and there are hundreds of calls.
  writeFileSync(join(folder, 'bin/losetup'), '#!/bin/sh\n');
  chmodSync(join(folder, 'bin/losetup'), 0o755);
  const config = parseConfig(
    `provisioning_mount_point=${folder}/mnt\nxen_dir=${folder}/xen\nstate_dir=${folder}/state\nproc_dir=${folder}/proc\n${settings}\n`,
  );
  const runner = createRunner({ path: `${folder}/bin:${PROGRAM_PATH}` });
  const locks = createVpsLocks({ run_dir: join(folder, 'run'), locks: createFileLocks(runner) });
  const domains: Domain[] = [];
  const noVolumes = createDiskFiles({
    runner,
    config: { ...config, provisioning_mount_point: join(folder, 'none') },
  });

  function systems(
    options: {
      death?: DeathOrder;
      now?: () => Date;
      free_bytes?: () => number;
      /** Told of every call of a driver. */
      onCall?: (name: string) => void;
    } = {},
  ) {
    let calls = 0;
    const mortal = <T extends object>(driver: T): T =>
      new Proxy(driver, {
        get(target, name) {
          const method = Reflect.get(target, name) as unknown;
          if (typeof method !== 'function') return method;
          return (...args: unknown[]) => {
            calls += 1;
            options.onCall?.(String(name));
            const dies = options.death?.at === calls ? options.death.when : undefined;
            if (dies === 'before') throw new Death();
            const answer = method.apply(target, args) as unknown;
            if (dies !== 'after') return answer;
            return Promise.resolve(answer).then(() => {
              throw new Death();
            });
          };
        },
      });
    const { free_bytes } = options;
    const files: DiskStore = createDiskFiles({ runner, config });
    const vbd = free_bytes ? { ...files, free_mib: async () => free_bytes() / 2 ** 20 } : files;
    const made = createSystems({
      config,
      hypervisor: mortal(hypervisorWith(domains)),
      disks: { vbd: mortal(vbd), lvm: noVolumes },
      guests: mortal(createGuestConfigs({ config })),
      locks,
      log: pino({ level: 'silent' }),
      ...(options.now && { now: options.now }),
    });
    return Object.assign(made, { calls: () => calls }) satisfies Systems;
  }

  const image = (vps: VpsId, ending = '') => join(folder, 'mnt', `${vps.name}${ending}.img`);
  return {
    folder,
    config,
    locks,
    domains,
    systems,
    keeper: (now?: () => Date) =>
      createSystemKeeper({
        config,
        systems: systems(now ? { now } : {}),
        disks: { vbd: createDiskFiles({ runner, config }), lvm: noVolumes },
        locks,
        log: pino({ level: 'silent' }),
        ...(now && { now }),
      }),
    record: (vps: VpsId, name: 'names' | 'old') => join(folder, 'state/states', vps.name, `${name}.json`),
    /** Puts a root image there, whose content is what tells it from others. */
    put: (vps: VpsId, content: string, ending = '') => writeFileSync(image(vps, ending), content),
    configure(vps: VpsId, text: string) {
      const file: GuestFile = { text, mode: 0o644, autostart: true };
      return createGuestConfigs({ config }).put(vps, file);
    },
    look(vps: VpsId): Look {
      const names = readdirSync(join(folder, 'mnt')).filter((name) => name.startsWith(vps.name));
      const roots = Object.fromEntries(
        names.map((name) => [name, readFileSync(join(folder, 'mnt', name), 'utf8')]),
      );
      const file = join(folder, 'xen', vps.name);
      return {
        roots,
        config: existsSync(file) ? readFileSync(file, 'utf8') : undefined,
        autostart: existsSync(join(folder, 'xen/auto', vps.name)),
        unfinished: existsSync(join(folder, 'state/states', vps.name, 'names.json')),
      };
    },
    clean: () => rmSync(folder, { recursive: true, force: true }),
  };
}
