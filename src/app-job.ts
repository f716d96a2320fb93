// The composition of a job's process.
import { pino } from 'pino';
import { type AppOptions, createBaseKeeper, createDrivers } from './app.ts';
import { configFor, type OwnSettings } from './core/own-settings.ts';
import { guestKernel, nodeName } from './drivers/host.ts';
import { describeHost, hostFigures } from './drivers/host-figures.ts';
import { jobFolder, readRequest } from './jobs/folder.ts';
import { fsckPlan } from './jobs/fsck.ts';
import { reinstallPlan } from './jobs/reinstall.ts';
import { runJob } from './jobs/run-job.ts';

/** What the job's VPS has in the place of what the configuration says; a folder that is none is told of by {@link runJob}. */
async function ownOf(folder: string): Promise<OwnSettings | undefined> {
  try {
    const { request } = await readRequest(jobFolder(folder));
    return 'own' in request ? request.own : undefined;
  } catch {
    return undefined;
  }
}

/** The process of a job: runs it in its folder to its end. Returns the exit code: 0 succeeded, 1 failed. */
export async function runJobHere({ config: node, folder }: AppOptions & { folder: string }): Promise<number> {
  const log = pino({ level: 'silent' });
  const own = await ownOf(folder);
  const set = configFor(node, own);
  // Who starts a guest, or has a disk open, is a process of the node, which this one's /proc does not show.
  const proc_dir = set.proc_dir === '/proc' ? jobFolder(folder).node_proc_dir : set.proc_dir;
  const config = Object.freeze({ ...set, proc_dir });
  const drivers = createDrivers(config, log, { own });
  const cancel = new AbortController();
  process.on('SIGTERM', () => cancel.abort());
  process.on('SIGINT', () => cancel.abort());
  const { hypervisor, disks, guests, locks, templates, systems } = drivers;
  const status = await runJob(folder, {
    runner: drivers.runner,
    locks: drivers.locks,
    plans: {
      reinstall: reinstallPlan({
        config,
        guests,
        templates,
        systems,
        bases: createBaseKeeper(config, drivers),
        hypervisor,
        locks,
        disks,
        node_name: nodeName(config),
        kernel: () => guestKernel(config),
        figures: async () => describeHost(await hostFigures(config.provisioning_mount_point)),
      }),
      fsck: fsckPlan({ hypervisor, locks, disks }),
    },
    systems,
    scripts_dir: config.scripts_dir,
    mount_dir: config.provisioning_mount_point,
    signal: cancel.signal,
    onDefect: (thrown) =>
      process.stderr.write(`${thrown instanceof Error ? thrown.stack : String(thrown)}\n`),
  });
  return status.state === 'succeeded' ? 0 : 1;
}
