import type { Config } from '../config/schema.ts';
import { type Bases, debianSystem } from '../core/bases.ts';
import { AgentError } from '../core/errors.ts';
import type { GuestConfigStore, Installable, Templates } from '../core/ports.ts';
import { selfInstalledGuest } from '../core/vps.ts';
import { type IdleDisks, type IdleDisksDeps, idleDisks } from './idle-disks.ts';
import type { JobOrder, Step, StepContext } from './plan.ts';
import { baseConfigArgs, type GuestKernel, networkArgs } from './reinstall-args.ts';
import { selfInstalledSteps } from './self-installed.ts';
import { firstBootArgs, hookArgs, isProgram } from './template-hooks.ts';

/** What a reinstall reaches. */
export interface ReinstallDeps extends IdleDisksDeps {
  readonly config: Config;
  readonly guests: GuestConfigStore;
  readonly templates: Templates;
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
}

/** How far an installation has come: what a failure means for the disks. */
const FATE = {
  untouched: 'Nothing was changed: the disks are as they were.',
  unfinished: 'Its disks were made anew and hold an unfinished system: mend the cause, and reinstall it.',
  installed: 'The system is whole on its disks, but it cannot be started: mend the cause, and reinstall it.',
} as const;

/**
 * The steps of an installation, under the VPS's lock. From the moment that the disks are made anew until the last step, the
 * VPS has no configuration in /etc/xen: nothing can start a system that is not whole.
 */
export function reinstallPlan(deps: ReinstallDeps): (order: JobOrder<'reinstall'>) => Step[] {
  const { config, guests, bases, node_name } = deps;

  return (order) => {
    const { vps, request, secret, mount_point } = order;
    let fate: keyof typeof FATE = 'untouched';
    let site: Site | undefined;
    const self_installed = selfInstalledGuest(request.os);
    if (self_installed) return selfInstalledSteps(deps, order, self_installed);

    async function look(): Promise<Site> {
      if (secret === undefined) {
        throw new AgentError('internal', 'The root password was lost with an earlier attempt.');
      }
      if (!HOST_NAME.test(node_name)) {
        throw new AgentError(
          'invalid_value',
          "The node's name is no host name; set node_name in dtc-xen.conf.",
        );
      }
      const installable = await deps.templates.find(request.os);
      for (const key of ['custom_postinstall_script', 'first_boot_script'] as const) {
        if (config[key] !== '' && !(await isProgram(config[key]))) {
          throw new AgentError('not_found', `${key} ${config[key]} is missing, or cannot be run.`);
        }
      }
      const kernel = await deps.kernel();
      const disks = await idleDisks(deps, vps, request.image_type, CANNOT);
      return { kernel, disks, installable };
    }

    /** A step that knows the site, and whose failure says what became of the disks. */
    function step(name: string, run: (ctx: StepContext, at: Site) => Promise<unknown>): Step {
      return {
        name,
        async run(ctx) {
          try {
            site ??= await look();
            const said = await run(ctx, site);
            return typeof said === 'string' ? said : undefined;
          } catch (thrown) {
            if (!(thrown instanceof AgentError)) throw thrown;
            const { code, message, cause, log } = thrown;
            const sentence = message.replace(/[.\s]*$/, '.');
            throw new AgentError(code, `${sentence} ${FATE[fate]}`, { cause, ...(log ? { log } : {}) });
          }
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
      const install_os = programs(at)?.install_os;
      if (install_os !== undefined) {
        await hook(ctx, install_os, at);
        return;
      }
      await bases.install(debianSystem(config, debianRelease(at)), mount_point, ctx);
    }

    return [
      step('check', async (ctx) => {
        ctx.log(await deps.figures());
        ctx.log(`${vps.name} is stopped, and nothing uses its disks`);
      }),
      step('mkfs', async (ctx) => {
        const disks = await idleDisks(deps, vps, request.image_type, CANNOT);
        fate = 'unfinished';
        await guests.remove(vps);
        await ctx.script('reinstall-mkfs', ['--root', disks.root, '--swap', disks.swap], {
          timeout_ms: SHORT_MS,
        });
      }),
      step('mount', (ctx, { disks }) =>
        ctx.script('reinstall-mount', ['--root', disks.root, '--on', mount_point], { timeout_ms: SHORT_MS }),
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
          input: `${secret}\n`,
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
        });
        const last = [programs(at)?.last_stage_custom, config.custom_postinstall_script];
        for (const program of last) if (program) await hook(ctx, program, at);
      }),
      step('unmount', async (ctx) => {
        await ctx.script('reinstall-umount', [mount_point], { timeout_ms: SHORT_MS });
        fate = 'installed';
      }),
      step('guest', async (ctx, { kernel, disks, ...at }) => {
        const { memory_mb, nics } = request;
        await guests.write({ vps, memory_mb, nics, disks, kernel: kernel.kernel, initrd: kernel.initrd });
        await guests.enableAutostart(vps);
        const debian = at.installable.system.kind === 'debian' && at.installable.appliance === undefined;
        const system = debian ? `Debian ${debianRelease({ kernel, disks, ...at })}` : request.os;
        const done = `${system} is installed on ${vps.name}; startVPS boots it.`;
        ctx.log(done);
        return done;
      }),
    ];
  };
}
