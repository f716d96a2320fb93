// Tells stories until the time is over, or so many as were asked for. The first that breaks a promise is made as short as possible.
import fc from 'fast-check';
import { machine } from './machine.ts';
import { type Lengths, type Played, Player, play } from './play.ts';
import { OPERATIONS, type Story, stories, tell } from './story.ts';
import { breathe, enterStory, realNow } from './surroundings.ts';
import { Survey } from './survey.ts';
import type { Violation } from './watch.ts';

/** What is wanted of a run. */
export interface Wanted {
  readonly seed: number;
  /** So many stories; 0: as many as the time allows. */
  readonly runs: number;
  readonly seconds: number;
  /** Goes on where a promise is broken, and tells each kind of it with the shortest of its stories. */
  readonly survey: boolean;
  /** Lets pass all but what is told with these words. */
  readonly only: string | undefined;
  /** Whether the first story that breaks something is made as short as possible. */
  readonly shorten: boolean;
  /** Lines of a story's log that are told; with more than a few, every call is in it. */
  readonly log_lines: number;
}

/** What came of a run. */
export interface Result {
  readonly stories: number;
  readonly calls: number;
  readonly cpu_s: number;
  /** How often each thing happened. */
  readonly happened: Readonly<Record<string, number>>;
  /** Of the first broken promise, or of all kinds of them. */
  readonly broken:
    | { readonly after: number; readonly invariant: string; readonly first: string; readonly told: string }
    | undefined;
}

/** So many stories come from one seed. */
const BATCH = 100;

const PLAIN: Story = {
  settings: { mode: 'auto', keep_hours: 24, block_script: true, wipes: true },
  ...{ types: ['vbd', 'lvm'], room: 'much', foreign: false, running: [false, false], steps: [], seed: 1 },
};

/** How many calls each operation has where nothing happens: where a story interrupts is told in parts of that. */
async function measure(): Promise<Lengths | string> {
  const lengths: Record<string, Player['counts']> = {};
  for (const what of OPERATIONS) {
    const player = new Player({ ...PLAIN, running: [what === 'shutdown' || what === 'destroy', false] }, {});
    await player.begin();
    const step = { by: 'daemon', interruptions: [] } as const;
    if (what === 'rollback') await player.step({ act: { what: 'reinstall', vps: 0 }, ...step });
    await player.step({ act: { what, vps: 0 }, ...step });
    lengths[what] = { ...player.counts };
    const { watch, log, engine } = machine;
    const [first] = watch.violations;
    if (first)
      return `${what} alone: ${first.told}\n${log.join('\n')}\n${engine.trace.slice(-99).join('\n')}`;
  }
  return lengths;
}

/** A story to its end. What is thrown where nobody handles it would have ended the process: Node.js tells it once all else is done. */
async function playWhole(story: Story, lengths: Lengths): Promise<Played> {
  const violations: Violation[] = [];
  const note = (thrown: unknown) =>
    violations.push({
      invariant: 'a defect',
      told: `nobody handles what would have ended the process: ${thrown instanceof Error ? thrown.stack : String(thrown)}`,
    });
  process.on('unhandledRejection', note);
  try {
    const played = await play(story, lengths);
    await breathe();
    return { ...played, violations: [...played.violations, ...violations] };
  } finally {
    process.off('unhandledRejection', note);
  }
}

/** Tells stories. */
export async function simulate({
  seed: first_seed,
  runs,
  seconds,
  survey,
  only,
  shorten,
  log_lines,
}: Wanted): Promise<Result> {
  const began_cpu = process.cpuUsage();
  const until = realNow() + seconds * 1000;
  const found = new Survey();
  const happened: Record<string, number> = {};
  let told_stories = 0;
  let calls = 0;
  let broken: Result['broken'];
  const leave = enterStory();
  try {
    const lengths = await measure();
    if (typeof lengths === 'string') {
      broken = { after: 0, invariant: 'without any interruption', first: lengths, told: lengths };
      return { stories: 0, calls, cpu_s: 0, happened, broken };
    }
    const property = fc.asyncProperty(stories, async (story) => {
      const played = await playWhole(story, lengths);
      told_stories += 1;
      calls += played.calls;
      for (const what of played.happened) happened[what] = (happened[what] ?? 0) + 1;
      const [first] = played.violations;
      if (!first || (only !== undefined && !first.told.includes(only))) return;
      if (!survey) throw new Error(first.told);
      found.add(story, played);
    });
    for (let batch = 0; runs > 0 ? batch * BATCH < runs : realNow() < until; batch += 1) {
      const seed = (first_seed + batch * 7919) % 0x7fffffff;
      const { counterexample, numRuns } = await fc.check(property, {
        seed,
        numRuns: BATCH,
        endOnFailure: !shorten,
      });
      if (!counterexample) continue;
      const again = await playWhole(counterexample[0], lengths);
      const after = batch * BATCH + numRuns;
      const [first] = again.violations;
      const told = tellBroken(counterexample[0], again, seed, log_lines);
      broken = { after, invariant: first?.invariant ?? 'not again', first: first?.told ?? '', told };
      break;
    }
  } finally {
    leave();
  }
  const { user, system } = process.cpuUsage(began_cpu);
  const cpu_s = (user + system) / 1e6;
  if (found.told !== '') broken = { after: 0, invariant: 'several', first: '', told: found.told };
  return { stories: told_stories, calls, cpu_s, happened, broken };
}

function tellBroken(story: Story, { violations, log }: Played, seed: number, log_lines: number): string {
  return [
    `SIMULATE_SEED=${seed} tells it again. As short as it could be made:`,
    tell(story),
    ...violations.map(({ invariant, told }) => `  ${invariant}: ${told}`),
    '  what the agent said:',
    ...log.slice(-log_lines).map((line) => `    ${line}`),
  ].join('\n');
}
