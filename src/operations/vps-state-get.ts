import * as z from 'zod';
import { PROGRAM_ERRORS } from '../core/errors.ts';
import { out, vpsname } from '../core/fields.ts';
import { Double, type LegacyValue } from '../core/legacy-value.ts';
import { defineOperation } from '../core/operation.ts';
import { type DomainPhase, domainPhase } from '../core/vps.ts';
import { requireExists } from '../core/vps-checks.ts';

const domain = z
  .object({
    id: out.string("The domain's name."),
    domid: out.int('Domain id.'),
    maxmem: out.int('Memory in MiB.'),
    vcpus: out.int('Virtual CPUs.'),
    state: out.string("xl's six state characters, such as -b----."),
    cpuseconds: out.double('CPU seconds.'),
  })
  .meta({ typeName: 'Domain' });

const job = z
  .object({
    kind: out.string('reinstall or fsck.'),
    state: out.string('running, succeeded or failed.'),
    message: out.string('What came of it, or the step that it is in.'),
    started: out.string('ISO 8601.'),
    ended: out.string('ISO 8601.').optional(),
  })
  .meta({ typeName: 'Job' });

/** Phases of a guest that may still be about to power off. */
const ALIVE: readonly DomainPhase[] = ['running', 'paused', 'building'];
/** What a panel reads of a VPS without a domain, there or not. */
const NOT_RUNNING = 'Not running';

export default defineOperation({
  name: 'getVPSState',
  summary:
    "Tells what the VPS does: running, stopped, saved, being installed (mkos) or checked (fsck), and its last job's end.",
  who: 'owner',
  input: z.object({ vpsname: vpsname() }),
  output: z.object({
    state: out.string(
      'stopped, saved, starting, mkos, fsck, building, running, paused, stopping, preserved or crashed.',
    ),
    domain: domain.optional(),
    last_job: job.optional(),
  }),
  legacy: ({ state, domain: there }): LegacyValue => {
    // A panel offers to start what does not run; that is what a saved guest wants, too.
    if (!there) return ['mkos', 'fsck'].includes(state) ? state : NOT_RUNNING;
    return [
      'domain',
      ['id', there.id],
      ['domid', there.domid],
      ['maxmem', there.maxmem],
      ['vcpus', there.vcpus],
      ['state', there.state],
      ['cpuseconds', new Double(there.cpuseconds)],
    ];
  },
  legacy_errors: { not_found: NOT_RUNNING, store_away: NOT_RUNNING, no_volume_group: NOT_RUNNING },
  lock: 'none',
  changes: false,
  timeout_ms: 30_000,
  errors: ['not_found', 'store_away', 'no_volume_group', ...PROGRAM_ERRORS],
  handler: async (ctx, { vpsname: vps }) => {
    const { hypervisor, jobs } = ctx;
    const running = await jobs.current(vps);
    const last = running ?? (await jobs.last(vps));
    const last_job = last && {
      kind: last.kind,
      state: last.state,
      message: last.message ?? last.steps.at(-1)?.name ?? 'waiting to start',
      started: last.created,
      ended: last.ended,
    };
    if (running) return { state: running.kind === 'reinstall' ? 'mkos' : 'fsck', last_job };
    const presence = await hypervisor.presence(vps);
    if (presence.kind === 'stopped' || presence.kind === 'awaited') {
      await requireExists(ctx, vps);
      return { state: 'stopped', last_job };
    }
    if (presence.kind !== 'domain') return { state: presence.kind, last_job };
    const { domain: found } = presence;
    const phase = domainPhase(found);
    return {
      state: ALIVE.includes(phase) && hypervisor.isAskedToStop(found) ? 'stopping' : phase,
      domain: {
        id: found.name,
        domid: found.domid,
        maxmem: found.memory_mib,
        vcpus: found.vcpus,
        state: found.state,
        cpuseconds: found.cpu_seconds,
      },
      last_job,
    };
  },
});
