// A folder with image files and configurations, and the real drivers on it, which can be made to die at any of their calls.
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { parseConfig } from '../../../src/config/load.ts';
import type { DiskStore, FileLocks } from '../../../src/core/ports.ts';
import type { GuestPresence } from '../../../src/core/presence.ts';
import { createSteadyClock } from '../../../src/core/steady-clock.ts';
import type { Systems } from '../../../src/core/systems.ts';
import type { Domain, VpsId } from '../../../src/core/vps.ts';
import { createDiskFiles } from '../../../src/drivers/disk-files.ts';
import { createVpsLocks } from '../../../src/drivers/flock.ts';
import { createGuestConfigs } from '../../../src/drivers/guest-config.ts';
import { createRunner, type Runner } from '../../../src/drivers/run.ts';
import { createSystemKeeper } from '../../../src/jobs/systems/keeper.ts';
import { createSystems } from '../../../src/jobs/systems/systems.ts';
import { diskWith, hypervisorWith, PROGRAM_PATH, textOn } from '../plan-harness.ts';

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

/** No loop device is made here, and there are hundreds of looks. */
const withoutLosetup = (runner: Runner): Runner => ({
  ...runner,
  check: async (command) =>
    command.program === 'losetup'
      ? { exit_code: 0, stdout: '', stderr: '', truncated: false, ms: 0 }
      : runner.check(command),
});

/** Exclusive locks that nobody but this process knows. */
function locksOfThisProcess(): FileLocks {
  const taken = new Set<string>();
  return {
    async tryLock(file) {
      if (taken.has(file)) return undefined;
      taken.add(file);
      return { fd: undefined, requireHeld: () => undefined, release: async () => void taken.delete(file) };
    },
  };
}

/** Makes the site; `settings` are lines of the configuration. */
export function makeSystemsSite(settings = '') {
  const folder = mkdtempSync(join(tmpdir(), 'systems-'));
  for (const name of ['mnt', 'xen/auto', 'state/states', 'run', 'proc']) {
    mkdirSync(join(folder, name), { recursive: true });
  }
  const config = parseConfig(
    `provisioning_mount_point=${folder}/mnt\nxen_dir=${folder}/xen\nstate_dir=${folder}/state\nproc_dir=${folder}/proc\n${settings}\n`,
  );
  const runner = withoutLosetup(createRunner({ path: PROGRAM_PATH }));
  const locks = createVpsLocks({ run_dir: join(folder, 'run'), locks: locksOfThisProcess() });
  const domains: Domain[] = [];
  /** What there is of guests that Xen lists no domain of. */
  const presences = new Map<string, GuestPresence>();
  const clock = { uptime_s: 1_000_000, boot_id: 'first' };
  writeFileSync(
    join(folder, 'state/uptime.json'),
    JSON.stringify({ total_s: 0, boot_id: clock.boot_id, uptime_s: clock.uptime_s }),
  );
  const steady = createSteadyClock(config, {
    uptime_s: () => clock.uptime_s,
    bootId: async () => clock.boot_id,
  });
  const hypervisor = {
    ...hypervisorWith(domains),
    async presence(vps: VpsId): Promise<GuestPresence> {
      return presences.get(vps.name) ?? hypervisorWith(domains).presence(vps);
    },
  };
  const noVolumes = createDiskFiles({
    runner,
    config: { ...config, provisioning_mount_point: join(folder, 'none') },
  });

  function systems(
    options: {
      death?: DeathOrder;
      now?: () => Date;
      free_bytes?: () => number;
      /** Removed disks wait for being overwritten, as volumes do: so much of them. */
      waiting_bytes?: () => number;
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
    const { free_bytes, waiting_bytes } = options;
    const files: DiskStore = createDiskFiles({ runner, config });
    const wiped: Partial<DiskStore> = waiting_bytes
      ? {
          waiting_mib: async () => waiting_bytes() / 2 ** 20,
          hurry: async (bytes) => `in ${bytes / 2 ** 20} s`,
          roots: async (vps) =>
            Object.fromEntries(
              Object.entries(await files.roots(vps)).map(([role, disk]) => [
                role,
                { ...disk, is_wiped: true },
              ]),
            ),
        }
      : {};
    const room = free_bytes && { free_mib: async () => free_bytes() / 2 ** 20 };
    const vbd: DiskStore = { ...files, ...room, ...wiped };
    const made = createSystems({
      config,
      hypervisor: mortal(hypervisor),
      disks: { vbd: mortal(vbd), lvm: noVolumes },
      guests: mortal(createGuestConfigs({ config })),
      locks,
      clock: steady,
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
    presences,
    clock,
    systems,
    keeper: (now?: () => Date, log = pino({ level: 'silent' })) =>
      createSystemKeeper({
        config,
        hypervisor,
        systems: systems(now ? { now } : {}),
        disks: { vbd: createDiskFiles({ runner, config }), lvm: noVolumes },
        locks,
        clock: steady,
        log,
      }),
    record: (vps: VpsId, name: 'names' | 'old') => join(folder, 'state/states', vps.name, `${name}.json`),
    /** Puts a root image there, whose content is what tells it from others; one without is a disk with nothing on it. */
    put: (vps: VpsId, content: string, ending = '') =>
      writeFileSync(image(vps, ending), content === '' ? Buffer.alloc(65_536) : diskWith(content)),
    configure(vps: VpsId, text: string | undefined) {
      const file = text === undefined ? undefined : { text, mode: 0o644, autostart: true };
      return createGuestConfigs({ config }).put(vps, file);
    },
    look(vps: VpsId): Look {
      const images = join(folder, 'mnt');
      const names = readdirSync(images).filter((name) => name.startsWith(vps.name));
      const roots = Object.fromEntries(
        names.map((name) => [name, textOn(readFileSync(join(folder, 'mnt', name)))]),
      );
      const file = join(folder, 'xen', vps.name);
      return {
        roots,
        config: existsSync(file) ? readFileSync(file, 'utf8') : undefined,
        autostart: existsSync(join(folder, 'xen/auto', vps.name)),
        unfinished: existsSync(join(folder, 'state/states', vps.name, 'names.json')),
      };
    },
    /** The file system of the images is not mounted any more: an empty folder is there. */
    unmount() {
      renameSync(join(folder, 'mnt'), join(folder, 'mnt.away'));
      mkdirSync(join(folder, 'mnt'));
    },
    /** It is mounted again, over whatever was made below it. */
    mount() {
      renameSync(join(folder, 'mnt'), join(folder, `mnt.below.${Date.now()}`));
      renameSync(join(folder, 'mnt.away'), join(folder, 'mnt'));
    },
    clean: () => rmSync(folder, { recursive: true, force: true }),
  };
}
