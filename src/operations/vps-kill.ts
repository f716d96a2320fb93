import * as z from 'zod';
import { AgentError, PROGRAM_ERRORS } from '../core/errors.ts';
import { result, vpsname, word } from '../core/fields.ts';
import { defineOperation } from '../core/operation.ts';
import type { VpsId } from '../core/vps.ts';
import {
  hasAnyDisk,
  requireUnused,
  storeToEmpty,
  whileStopped,
  whileUnconfigured,
} from '../core/vps-checks.ts';

const CANNOT = 'cannot be deleted';

/** What went before something failed is told with it: a refusal of the second step is none of the whole. */
function halfDeleted(vps: VpsId, gone: readonly string[], error: unknown): unknown {
  if (!(error instanceof AgentError)) return error;
  return new AgentError(
    'program_failed',
    `${vps.name} is half deleted: ${gone.join(', ')} went, and then no more: ${error.message.replace(/\.$/, '')}. Call killVPS again.`,
    { cause: error },
  );
}

/** A VPS that is not deleted after all, and its owner gets in no more. */
function lockedOut(vps: VpsId, error: unknown): unknown {
  if (!(error instanceof AgentError)) return error;
  const { code, message, log } = error;
  return new AgentError(
    code,
    `${message.replace(/\.$/, '')}. Its owner's passwords and keys are gone already: if ${vps.name} stays, set them again.`,
    { cause: error, ...(log && { log }) },
  );
}

export default defineOperation({
  name: 'killVPS',
  summary:
    "Deletes a stopped VPS for good: its disks, configuration, autostart link, logs, and its owner's ways in.",
  who: 'admin',
  input: z.object({
    vpsname: vpsname(),
    imagetype: word('lvm: volumes; vbd: image files. Without it, the kind that the VPS has.', [
      'lvm',
      'vbd',
    ]).optional(),
  }),
  output: result,
  legacy: () => 'OK',
  lock: 'vps',
  settles: false,
  changes: true,
  timeout_ms: 180_000,
  errors: ['vps_running', 'vps_saved', 'disks_in_use', 'no_volume_group', ...PROGRAM_ERRORS],
  handler: async (ctx, { vpsname: vps, imagetype }) => {
    const { accounts, consoles, disks, guests, jobs, systems } = ctx;
    const { store, looked_for } = await storeToEmpty(disks, vps, imagetype);
    let had = false;
    await accounts.requireHomes();
    await whileStopped(ctx, vps, CANNOT, async () => {
      const before = await store.find(vps);
      had = await hasAnyDisk(store, vps, before);
      await requireUnused(store, vps, CANNOT, before);
      await systems.beginDeletion(vps);
      let is_locked_out = false;
      const gone: string[] = [];
      // What cannot be seen may all be there, unless it was seen to go.
      const untouched = async () =>
        gone.length === 0 &&
        (await store.find(vps).then(
          ({ root, swap }) => !root === !before.root && !swap === !before.swap,
          () => true,
        ));
      try {
        // Nobody gets in any more, before anything goes.
        await accounts.revoke(vps);
        is_locked_out = true;
        await whileUnconfigured(ctx, vps, CANNOT, {
          config: await guests.read(vps),
          work: () => store.remove(vps, (path) => gone.push(path)),
          untouched,
        });
      } catch (error) {
        if (await untouched()) await systems.stopDeletion(vps);
        if (gone.length > 0) throw halfDeleted(vps, gone, error);
        throw is_locked_out ? lockedOut(vps, error) : error;
      }
    });
    await guests.forget(vps);
    await accounts.forget(vps);
    await jobs.forget(vps);
    await consoles.forget(vps);
    await systems.forget(vps);
    const what = had ? ` with its ${store.type} disks` : `; it had no ${looked_for.join(' and no ')} disks`;
    return { result: `Deleted ${vps.name}${what}` };
  },
});
