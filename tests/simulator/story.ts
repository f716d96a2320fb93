// What a story is, how stories are thought up, and how one is told in words.
import fc from 'fast-check';
import type { Settings } from './agent.ts';

/** What is asked of the agent. */
export const OPERATIONS = [
  'start',
  'shutdown',
  'destroy',
  'reinstall',
  'rollback',
  'fsck',
  'password',
  'cancel',
  'kill',
  'setup',
  'collect',
] as const;
/** What happens without it. */
export const EVENTS = [
  ...([
    'guest starts by hand',
    'guest reboots itself',
    'guest is lost at its reboot',
    'guest powers off',
    'guest is saved',
  ] as const),
  ...(['agent dies', 'power fails', 'power fails, stores come late', 'node reboots'] as const),
  ...([
    'images go away',
    'images come back',
    'volumes go away',
    'volumes come back',
    'volumes lack a disk',
    'samples go away',
    'samples come back',
    'images are moved',
  ] as const),
  ...([
    'clock to 1970',
    'clock to 2099',
    'clock a week ahead',
    'clock right',
    'minutes pass',
    'an hour passes',
    'a day passes',
    'a record is damaged',
    'a root disk is removed by hand',
  ] as const),
] as const;
/** What fails at one call. */
export const FAULTS = [
  ...(['the caller dies', 'the program is killed', 'ENOSPC', 'EIO'] as const),
  ...([
    'the program is slow',
    'the caller dies, the program goes on',
    'a guest starts beside a slow program',
  ] as const),
] as const;

export type OperationName = (typeof OPERATIONS)[number];
export type EventName = (typeof EVENTS)[number];
export type FaultName = (typeof FAULTS)[number];

/** Something that is done with a VPS. */
export interface Act {
  readonly what: OperationName | EventName | FaultName;
  readonly vps: 0 | 1;
}

/** Which calls of a step an interruption counts: those of a kind, those that put a record on the disk, or all. */
export const COUNTED = ['look', 'write', 'program', 'record', 'any'] as const;
export type Counted = (typeof COUNTED)[number];

/** Something that happens at a call of a step. */
export interface Interruption {
  readonly counting: Counted;
  /** Where in the step, in thousandths of the calls that it has when nothing happens. */
  readonly at: number;
  readonly when: 'before' | 'after';
  readonly act: Act;
}

/** One step. */
export interface Step {
  readonly act: Act;
  readonly by: 'daemon' | 'hand';
  readonly interruptions: readonly Interruption[];
}

/** A story. */
export interface Story {
  readonly settings: Settings;
  readonly types: readonly ['lvm' | 'vbd', 'lvm' | 'vbd'];
  readonly room: 'much' | 'little';
  /** Whether the guests were configured by something else than the agent. */
  readonly foreign: boolean;
  readonly running: readonly [boolean, boolean];
  readonly steps: readonly Step[];
  readonly seed: number;
}

const vps = fc.constantFrom<0 | 1>(0, 0, 0, 1);
const weighted = <T>(weights: readonly (readonly [number, T])[]) =>
  fc.oneof(
    { withCrossShrink: true },
    ...weights.map(([weight, value]) => ({ weight, arbitrary: fc.constant(value) })),
  );

const operation = weighted<OperationName>([
  [4, 'start'],
  [2, 'shutdown'],
  [3, 'destroy'],
  [14, 'reinstall'],
  [6, 'rollback'],
  [4, 'fsck'],
  [3, 'password'],
  [1, 'cancel'],
  [2, 'kill'],
  [2, 'setup'],
  [2, 'collect'],
]);

const event = weighted<EventName>([
  [4, 'guest starts by hand'],
  [4, 'guest reboots itself'],
  [1, 'guest is lost at its reboot'],
  [5, 'guest powers off'],
  [2, 'guest is saved'],
  [3, 'agent dies'],
  [4, 'power fails'],
  [3, 'power fails, stores come late'],
  [3, 'node reboots'],
  [2, 'images go away'],
  [2, 'images come back'],
  [1, 'volumes go away'],
  [2, 'volumes come back'],
  [1, 'samples go away'],
  [1, 'samples come back'],
  [3, 'images are moved'],
  [1, 'clock to 1970'],
  [1, 'clock to 2099'],
  [1, 'clock a week ahead'],
  [1, 'clock right'],
  [2, 'minutes pass'],
  [3, 'an hour passes'],
  [4, 'a day passes'],
  [1, 'a record is damaged'],
  [1, 'volumes lack a disk'],
  [2, 'a root disk is removed by hand'],
]);

const interrupting = fc.oneof(
  { withCrossShrink: true },
  {
    weight: 6,
    arbitrary: weighted<FaultName | EventName>([
      [6, 'the caller dies'],
      [2, 'the caller dies, the program goes on'],
      [2, 'a guest starts beside a slow program'],
      [1, 'the program is slow'],
      [1, 'the program is killed'],
      [2, 'ENOSPC'],
      [2, 'EIO'],
    ]),
  },
  {
    weight: 6,
    arbitrary: weighted<EventName>([
      [5, 'power fails'],
      [2, 'power fails, stores come late'],
      [5, 'guest starts by hand'],
      [3, 'guest reboots itself'],
      [2, 'guest powers off'],
      [1, 'guest is saved'],
      [1, 'node reboots'],
      [1, 'images go away'],
      [1, 'volumes go away'],
      [1, 'agent dies'],
    ]),
  },
  { weight: 3, arbitrary: operation as fc.Arbitrary<OperationName> },
);

const interruption: fc.Arbitrary<Interruption> = fc.record({
  counting: fc.constantFrom('look', 'write', 'write', 'program', 'program', 'any'),
  at: fc.noBias(fc.oneof(fc.integer({ min: 0, max: 999 }), fc.integer({ min: 800, max: 999 }))),
  when: fc.constantFrom('before', 'after'),
  act: fc.record({ what: interrupting, vps }),
});

const step: fc.Arbitrary<Step> = fc.record({
  act: fc.record({
    what: fc.oneof({ weight: 6, arbitrary: operation }, { weight: 5, arbitrary: event }),
    vps,
  }),
  by: fc.constantFrom('daemon', 'daemon', 'daemon', 'hand'),
  interruptions: fc.oneof(
    { withCrossShrink: true },
    { weight: 4, arbitrary: fc.constant([]) },
    { weight: 5, arbitrary: fc.array(interruption, { minLength: 1, maxLength: 1 }) },
    { weight: 2, arbitrary: fc.array(interruption, { minLength: 2, maxLength: 2 }) },
  ),
});

/** A long way is about one VPS. */
const firstVps = fc.constant<0>(0);
const plain = (...acts: readonly Act['what'][]) =>
  fc.record<Step>({
    act: fc.record({ what: fc.constantFrom(...acts), vps: firstVps }),
    by: fc.constant('daemon'),
    interruptions: fc.constant([]),
  });
/** An operation that something happens in, between these thousandths of it. */
const interrupted = (
  acts: readonly Act['what'][],
  by: FaultName | EventName,
  from: number,
  to: number,
  counting: readonly Interruption['counting'][] = ['look', 'write', 'program', 'any'],
) =>
  fc.record<Step>({
    act: fc.record({ what: fc.constantFrom(...acts), vps: firstVps }),
    by: fc.constantFrom('daemon', 'daemon', 'hand'),
    interruptions: fc.tuple(
      fc.record<Interruption>({
        counting: fc.constantFrom(...counting),
        at: fc.noBias(fc.integer({ min: from, max: to })),
        when: fc.constantFrom('before', 'after'),
        act: fc.record({ what: fc.constant(by), vps: firstVps }),
      }),
    ),
  });
/** An exchange waits: the guest was started while the new system was made, and is up after the next step, in which nothing happens. */
const waiting = interrupted(['reinstall'], 'guest starts by hand', 700, 999);
const quiet = plain('samples come back');

/** Long ways to places that chance alone comes to too seldom. */
const WAYS: readonly fc.Arbitrary<readonly Step[]>[] = [
  fc.tuple(waiting, quiet, interrupted(['reinstall', 'rollback'], 'guest powers off', 0, 300), step),
  // The guest of an exchange that waits goes while the next order looks at what there is.
  fc.tuple(waiting, quiet, interrupted(['reinstall'], 'guest powers off', 50, 250, ['program']), step),
  fc.tuple(waiting, quiet, plain('guest powers off'), plain('images are moved', 'agent dies'), step),
  fc.tuple(waiting, plain('an hour passes', 'agent dies', 'an hour passes'), step, step),
  // An old system that is not the one that the last note was of.
  fc.tuple(
    plain('reinstall'),
    interrupted(['rollback', 'rollback', 'reinstall'], 'the caller dies', 0, 999),
    plain('a day passes'),
    plain('rollback', 'reinstall'),
    plain('an hour passes'),
  ),
  // A bill over many samples.
  fc.array(
    fc.oneof(
      { weight: 4, arbitrary: plain('minutes pass', 'minutes pass', 'collect') },
      {
        weight: 2,
        arbitrary: plain('agent dies', 'guest reboots itself', 'power fails', 'node reboots', 'start'),
      },
      { weight: 1, arbitrary: step },
    ),
    { minLength: 4, maxLength: 7, size: 'max' },
  ),
  // A VPS of which a part is gone.
  fc.tuple(
    plain('reinstall'),
    interrupted(['kill'], 'the caller dies', 0, 999),
    plain('setup', 'setup', 'a day passes'),
    plain('rollback', 'rollback', 'reinstall'),
    step,
  ),
  fc.tuple(
    plain('reinstall'),
    plain('a root disk is removed by hand'),
    fc.oneof(plain('setup', 'rollback', 'a day passes'), step),
    step,
    step,
  ),
  fc.tuple(
    plain('reinstall'),
    plain('a root disk is removed by hand'),
    plain('setup'),
    plain('a day passes'),
    plain('start', 'rollback', 'reinstall'),
  ),
  // An empty disk that was the root, and so is the old system.
  fc.tuple(
    plain('a root disk is removed by hand'),
    plain('setup'),
    plain('reinstall'),
    plain('rollback'),
    plain('a day passes'),
    fc.oneof(plain('a day passes'), step),
  ),
  // A reinstall with the room of the system before the last, cut off.
  fc.tuple(
    plain('reinstall'),
    interrupted(['reinstall'], 'power fails', 0, 999),
    plain('an hour passes'),
    plain('destroy'),
    plain('rollback', 'rollback', 'reinstall'),
    plain('start'),
  ),
  // A program that outlives its caller, and another call meanwhile.
  fc.tuple(
    plain('reinstall', 'guest powers off'),
    interrupted(
      ['rollback', 'password', 'kill', 'start', 'reinstall'],
      'the caller dies, the program goes on',
      ...([0, 999, ['program']] as const),
    ),
    plain('start', 'rollback', 'password', 'fsck'),
    step,
  ),
  // A program that works on the disk that its next guest boots from.
  fc.tuple(
    plain('reinstall'),
    interrupted(['password'], 'the caller dies, the program goes on', 700, 999, ['program']),
    plain('start'),
    plain('start'),
  ),
  // A guest that is started in the middle of what its order looks at.
  fc.tuple(
    step,
    interrupted(
      ['password', 'password', 'fsck', 'rollback', 'kill'],
      'a guest starts beside a slow program',
      ...([0, 999, ['program']] as const),
    ),
    step,
  ),
];
/** A record that is read by somebody else before it is on the disk: by an operation, or by the daemon that is started again. */
const unsyncedRecord = fc.tuple(
  plain('reinstall'),
  interrupted(['rollback', 'rollback', 'reinstall'], 'the caller dies', 0, 999, ['record']),
  fc.oneof(
    interrupted(['start', 'rollback', 'password', 'setup'], 'power fails', 0, 999),
    interrupted(['agent dies'], 'power fails', 0, 999, ['write', 'program']),
  ),
  plain('start', 'rollback'),
);
const steps = fc.oneof(
  { withCrossShrink: true },
  { weight: 7, arbitrary: fc.array(step, { minLength: 1, maxLength: 6, size: 'max' }) },
  ...WAYS.map((arbitrary) => ({ weight: 1, arbitrary: arbitrary as fc.Arbitrary<Step[]> })),
  // Two moments have to fit.
  { weight: 3, arbitrary: unsyncedRecord as fc.Arbitrary<Step[]> },
);

/** Stories. */
export const stories: fc.Arbitrary<Story> = fc.record({
  settings: fc.record({
    mode: fc.constantFrom('auto', 'swap', 'swap', 'in-place'),
    keep_hours: fc.constantFrom(24, 24, 0),
    block_script: fc.constantFrom(true, true, false),
    wipes: fc.constantFrom(true, true, false),
  }),
  types: fc.tuple(fc.constantFrom('vbd', 'lvm'), fc.constantFrom('lvm', 'vbd')),
  room: fc.constantFrom('much', 'much', 'little'),
  foreign: fc.constantFrom(false, false, true),
  running: fc.tuple(fc.constantFrom(false, false, true), fc.boolean()),
  steps,
  seed: fc.noBias(fc.integer({ min: 0, max: 0x7fffffff })),
});

const nameOf = (index: 0 | 1) => `xen0${index + 1}`;
const tellAct = ({ what, vps: index }: Act) =>
  (OPERATIONS as readonly string[]).includes(what) ||
  what.startsWith('guest') ||
  what === 'a record is damaged' ||
  what === 'a root disk is removed by hand'
    ? `${what} ${nameOf(index)}`
    : what;

/** A story in words. */
export function tell({ settings, types, room, foreign, running, steps, seed }: Story): string {
  const { mode, keep_hours, block_script, wipes } = settings;
  const vpses = types.map((type, i) => `xen0${i + 1} on ${type}${running[i] ? ', running' : ''}`).join('; ');
  const lines = steps.map(({ act, by, interruptions }, i) => {
    const meanwhile = interruptions.map(
      ({ counting, at, when, act: other }) =>
        `\n       ${when} its ${counting} call at ${at}/1000: ${tellAct(other)}`,
    );
    return `  ${i + 1}. ${tellAct(act)}${by === 'hand' ? ' (a program by hand)' : ''}${meanwhile.join('')}`;
  });
  const head = `${vpses}; ${room} room; reinstall_mode ${mode}, kept ${keep_hours} h; ${foreign ? "others' configurations" : 'own configurations'}${block_script ? '' : ', no block script'}${wipes ? '' : ', removed volumes are not wiped'}; chance ${seed}`;
  return [head, ...lines].join('\n');
}
