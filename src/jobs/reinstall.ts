import type { Config } from '../config/schema.ts';
import { type Bases, debianSystem, type HeldVolume } from '../core/bases.ts';
import { AgentError } from '../core/errors.ts';
import type { GuestConfigStore } from '../core/guest-configs.ts';
import { holding } from '../core/held-locks.ts';
import type { HeldLock, Installable, JobFate, Templates } from '../core/ports.ts';
import type { ReinstallChoice, Systems } from '../core/systems.ts';
import { selfInstalledGuest } from '../core/vps.ts';
import { whileStopped } from '../core/vps-checks.ts';
import { type IdleDisks, type IdleDisksDeps, idleDisks } from './idle-disks.ts';
import type { JobOrder, Step, StepContext } from './plan.ts';
import { baseConfigArgs, type GuestKernel, networkArgs } from './reinstall-args.ts';
import { selfInstalledSteps } from './self-installed.ts';
import { approvedFate } from './settle.ts';
import { firstBootArgs, hookArgs, isProgram } from './template-hooks.ts';
import { holdBase } from './thin-base.ts';

/** What a reinstall reaches. */
export interface ReinstallDeps extends IdleDisksDeps {
  readonly config: Config;
  readonly guests: GuestConfigStore;
  readonly templates: Templates;
  readonly systems: Systems;
  /** The Debians that the agent installs by itself. */
  readonly bases: Bases;
  /** A host name: guests are named below it. */
  readonly node_name: string;
  /** Finds the kernel that guests boot; throws not_found where there is none. */
  readonly kernel: () => Promise<GuestKernel>;
  /** The node's memory and room for the log's head, where a slow or full node is looked for later. */
  readonly figures: () => Promise<string>;
}

const MINUTE_MS = 60_000;
const SHORT_MS = 10 * MINUTE_MS;
const INSTALL_MS = 120 * MINUTE_MS;
const HOST_NAME = /^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*$/;
const CANNOT = 'cannot be reinstalled';

/** What the first step finds out, and the later ones go by. */
interface Site {
  readonly kernel: GuestKernel;
  readonly disks: IdleDisks;
  readonly installable: Installable;
  readonly choice: ReinstallChoice;
  readonly mac: string;
}

/** How far an installation has come: what its end means for the VPS. */
const FATE = {
  untouched: 'Nothing was changed: the disks are as they were.',
  beside: 'The system that was there is as it was.',
  unfinished: 'Its disks were made anew and hold an unfinished system: mend the cause, and reinstall it.',
  installed: 'The system is whole on its disks, but it cannot be started: mend the cause, and reinstall it.',
} as const;
const fateOf = (name: keyof typeof FATE): JobFate => ({ state: 'failed', told: FATE[name] });

/** How long the steps take, of a hundred, where a system is bootstrapped. */
const WEIGHTS = {
  ...{ check: 1, prepare: 1, mkfs: 2, mount: 1, bootstrap: 75, configure: 5, password: 1 },
  ...{ network: 1, customize: 5, unmount: 2, prove: 3, swap: 2, done: 1 },
} as const;

/**
 * The steps of an installation, under the VPS's lock. Where there is room, the new system is built on a disk of its own,
 * proved, and only then takes the name and the configuration of the one that was there. Where it is built in place, the VPS
 * has no configuration in /etc/xen until it is done: nothing can start a system that is not whole.
 */
export function reinstallPlan(deps: ReinstallDeps): (order: JobOrder<'reinstall'>) => Step[] {
  const { config, guests, bases, systems, node_name } = deps;

  return (order) => {
    const { vps, request, mount_point } = order;
    const [hash, password] = order.secret?.split('\n') ?? [];
    let site: Site | undefined;
    /** The disk that the system is built on. */
    let target = '';
    /** Whether that disk began as a copy of a base. */
    let copied = false;
    /** Held while the system is built in place: who starts the guest meanwhile is refused. */
    let claim: HeldLock | undefined;
    const self_installed = selfInstalledGuest(request.os);
    if (self_installed) return selfInstalledSteps(deps, order, self_installed);

    async function look(): Promise<Site> {
      if (hash === undefined) {
        throw new AgentError('internal', 'The root password was lost with an earlier attempt.');
      }
      if (!HOST_NAME.test(node_name)) {
        throw new AgentError(
          'invalid_value',
          "The node's name is no host name; set node_name in dtc-xen.conf.",
        );
      }
      const installable = await deps.templates.find(request.os);
      if (installable.wants_root_password && password === undefined) {
        throw new AgentError(
          'internal',
          `The appliance ${request.os} wants the root password since it was ordered: order it again.`,
        );
      }
      for (const key of ['custom_postinstall_script', 'first_boot_script'] as const) {
        if (config[key] !== '' && !(await isProgram(config[key]))) {
          throw new AgentError('not_found', `${key} ${config[key]} is missing, or cannot be run.`);
        }
      }
      const kernel = await deps.kernel();
      const disks = await idleDisks(deps, vps, request.image_type, CANNOT);
      const choice = await systems.choose(vps, request.image_type);
      if (request.mode === 'swap' && choice.mode === 'in-place' && choice.told !== undefined) {
        throw new AgentError(
          'no_space',
          `${vps.name} ${CANNOT} beside its system, as was answered: there is no room any more, or reinstall_mode was changed. Nothing was touched; order it again, and the answer says what becomes of the system.`,
        );
      }
      return { kernel, disks, installable, choice, mac: await guests.mac(vps) };
    }

    /** A step that knows the site. */
    function step(name: keyof typeof WEIGHTS, run: (ctx: StepContext, at: Site) => Promise<unknown>): Step {
      return {
        name,
        weight: WEIGHTS[name],
        async run(ctx) {
          if (!site) await ctx.fate(fateOf('untouched'));
          site ??= await look();
          const at = site;
          const said = await (claim ? holding(claim, () => run(ctx, at)) : run(ctx, at));
          return typeof said === 'string' ? said : undefined;
        },
      };
    }

    const hook = (ctx: StepContext, program: string, at: Site) =>
      ctx.script(
        'reinstall-hook',
        hookArgs(program, { vps, request, mount_point, config, node_name, ...at }),
        { timeout_ms: INSTALL_MS },
      );

    const programs = ({ installable: { system } }: Site) =>
      system.kind === 'template' ? system.programs : undefined;
    const debianRelease = ({ installable: { system } }: Site) =>
      (system.kind === 'debian' ? system.release : undefined) ?? config.debian_release;

    async function bootstrap(ctx: StepContext, at: Site): Promise<void> {
      if (copied) {
        const debian = at.installable.system.kind === 'debian';
        if (debian) await ctx.script('base-own', ['--root', mount_point], { timeout_ms: SHORT_MS });
        return;
      }
      const install_os = programs(at)?.install_os;
      if (install_os !== undefined) {
        await hook(ctx, install_os, at);
        return;
      }
      await bases.install(debianSystem(config, debianRelease(at)), mount_point, ctx);
    }

    const systemName = (at: Site) => {
      const debian = at.installable.system.kind === 'debian' && at.installable.appliance === undefined;
      return debian ? `Debian ${debianRelease(at)}` : (at.installable.told_as ?? request.os);
    };
    const doneMessage = (at: Site) =>
      [`${systemName(at)} is installed on ${vps.name}; startVPS boots it.`, at.choice.told]
        .filter((sentence) => sentence !== undefined)
        .join(' ');

    /** The base that the new disk is to be a copy of, where there is one. */
    async function findBase(ctx: StepContext, at: Site): Promise<HeldVolume | undefined> {
      if (at.choice.mode !== 'swap' || request.image_type !== 'lvm') return undefined;
      const { system, os } = at.installable;
      const disk_bytes = at.disks.root_bytes;
      if (system.kind === 'debian') {
        return bases.volume({ debian: debianSystem(config, debianRelease(at)) }, disk_bytes, ctx);
      }
      if (system.kind !== 'template') return undefined;
      const args = (program: string) =>
        hookArgs(program, { vps, request, mount_point, config, node_name, ...at });
      const { programs } = system;
      return holdBase(
        { bases, os, programs, args, mount_point, disk_bytes, has_pool: config.provisioning_thinpool !== '' },
        ctx,
      );
    }

    /** Makes the room for the new system: a disk beside the old one, or the old one's own. */
    async function prepare(ctx: StepContext, at: Site): Promise<string> {
      const base = await findBase(ctx, at);
      try {
        if (at.choice.mode === 'swap') {
          await ctx.fate(fateOf('beside'));
          copied = base !== undefined;
          const begin = () => systems.begin(vps, request.image_type, at.choice, base?.volume);
          return (await (base ? holding(base.lock, begin) : begin())).path;
        }
        return await prepareInPlace(ctx);
      } finally {
        await base?.release();
      }
    }

    async function prepareInPlace(ctx: StepContext): Promise<string> {
      await idleDisks(deps, vps, request.image_type, CANNOT);
      claim = await deps.locks.claimDisks(vps, CANNOT);
      await ctx.fate(fateOf('unfinished'));
      const config = await guests.read(vps);
      await guests.withdraw(vps);
      try {
        // Who read the configuration before it went has a process or a domain by now.
        return (await idleDisks(deps, vps, request.image_type, CANNOT)).root;
      } catch (error) {
        await ctx.fate(fateOf('untouched'));
        await guests.put(vps, config);
        throw error;
      }
    }

    async function takePlace(ctx: StepContext, at: Site): Promise<void> {
      const { kernel, initrd } = at.kernel;
      const { memory_mb, nics, image_type: type } = request;
      const guest = { vps, memory_mb, mac: at.mac, nics, disks: at.disks, kernel, initrd };
      if (at.choice.mode === 'swap') {
        await whileStopped(deps, vps, CANNOT, () =>
          ctx.script('reinstall-swap-space', ['--swap', at.disks.swap], { timeout_ms: SHORT_MS }),
        );
        await systems.approve(vps, { type, config: guests.render(guest), job: order.id });
        await ctx.fate(approvedFate(vps.name));
        ctx.log((await systems.settle(vps)) ?? '');
      } else {
        await claim?.release();
        claim = undefined;
        await guests.write(guest);
        await guests.enableAutostart(vps);
      }
      await ctx.fate({ state: 'succeeded', told: doneMessage(at) });
    }

    /** What is left of the old system is no failure of the installation: the daemon deletes it later. */
    async function dropOld(): Promise<string> {
      try {
        return (await systems.dropExpired(vps)) ?? '';
      } catch (thrown) {
        if (thrown instanceof AgentError) return thrown.message;
        throw thrown;
      }
    }

    return [
      step('check', async (ctx, { choice }) => {
        ctx.log(await deps.figures());
        ctx.log(`${vps.name} is stopped, and nothing uses its disks`);
        ctx.log(
          `The system is built ${choice.mode === 'swap' ? 'beside the old one' : 'in place'}. ${choice.told ?? ''}`,
        );
      }),
      step('prepare', async (ctx, at) => {
        target = await prepare(ctx, at);
      }),
      step('mkfs', (ctx, { choice, disks }) => {
        if (copied) return ctx.script('base-copy', ['--root', target], { timeout_ms: SHORT_MS });
        const swap = choice.mode === 'swap' ? [] : ['--swap', disks.swap];
        return ctx.script('reinstall-mkfs', ['--root', target, ...swap], { timeout_ms: SHORT_MS });
      }),
      step('mount', (ctx) =>
        ctx.script('reinstall-mount', ['--root', target, '--on', mount_point], { timeout_ms: SHORT_MS }),
      ),
      step('bootstrap', bootstrap),
      step('configure', (ctx, at) => {
        const custom_os = programs(at)?.custom_os;
        if (custom_os) return hook(ctx, custom_os, at);
        const args = baseConfigArgs({ vps, request, mount_point, config, node_name, ...at });
        return ctx.script('reinstall-base-config', args, { timeout_ms: SHORT_MS });
      }),
      step('password', (ctx) =>
        ctx.script('reinstall-root-password', ['--root', mount_point], {
          input: `${hash}\n`,
          timeout_ms: SHORT_MS,
        }),
      ),
      step('network', (ctx, at) => {
        const setup_network = programs(at)?.setup_network;
        if (setup_network) return hook(ctx, setup_network, at);
        return ctx.script('reinstall-network', networkArgs(mount_point, request), { timeout_ms: SHORT_MS });
      }),
      step('customize', async (ctx, at) => {
        await ctx.script('reinstall-first-boot', firstBootArgs(mount_point, config, at.installable), {
          timeout_ms: SHORT_MS,
          ...(at.installable.wants_root_password && { input: `${password ?? ''}\n` }),
        });
        const last = [programs(at)?.last_stage_custom, config.custom_postinstall_script];
        for (const program of last) if (program) await hook(ctx, program, at);
      }),
      step('unmount', (ctx) => ctx.script('reinstall-umount', [mount_point], { timeout_ms: SHORT_MS })),
      step('prove', async (ctx, at) => {
        const built_in = at.installable.system.kind === 'debian' ? ['--boots'] : [];
        await ctx.script('reinstall-prove', ['--root', target, ...built_in], { timeout_ms: SHORT_MS });
        if (at.choice.mode === 'in-place') await ctx.fate(fateOf('installed'));
      }),
      step('swap', takePlace),
      step('done', async (ctx, at) => {
        const done = doneMessage(at);
        ctx.log(done);
        if (config.reinstall_keep_hours === 0) ctx.log(await dropOld());
        return done;
      }),
    ];
  };
}
