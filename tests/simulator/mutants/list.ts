/** One place that a mutant changes. */
export interface Edit {
  /** Below src. */
  readonly file: string;
  /** The text that is replaced, which must be there once. */
  readonly from: string;
  readonly to: string;
}

/** A version of the product in which one of its precautions is missing. */
export interface Mutant {
  /** What is missing. */
  readonly name: string;
  readonly edits: readonly Edit[];
}

const mutant = (
  name: string,
  ...edits: readonly (readonly [file: string, from: string, to: string])[]
): Mutant => ({
  name,
  edits: edits.map(([file, from, to]) => ({ file, from, to })),
});

const APPLY = 'jobs/systems/apply.ts';
const SYSTEMS = 'jobs/systems/systems.ts';
const KEEPER = 'jobs/systems/keeper.ts';
const OLD = 'jobs/systems/old-system.ts';
const PRESENCE = 'drivers/guest-presence.ts';
const STORES = 'drivers/known-stores.ts';
const CHECKS = 'core/vps-checks.ts';

/** The mutants that the simulator must catch: each of the eleven mends taken out, and what else holds the stories together. */
export const MUTANTS: readonly Mutant[] = [
  mutant(
    'a store that is not there has no disks',
    [STORES, "if (!known || noted || (known.at !== folder && mark === ''))", 'if (Math.random() < 2)'],
    [APPLY, 'if (seen === noted) return;', 'if (noted !== undefined) return;'],
    [APPLY, 'if (current === undefined && old === undefined) {', 'if (Math.random() > 2) {'],
  ),
  mutant('image files are known by their inode', [
    'drivers/disk-files.ts',
    `\`inode \${ino}, born \${birthtimeNs}\``,
    `\`inode \${ino}\``,
  ]),
  mutant('a saved guest is stopped', [
    PRESENCE,
    "if (file && file.stage !== 'resuming') return",
    "if (file && file.stage === 'restoring') return",
  ]),
  mutant(
    'a guest that reboots itself is stopped',
    [PRESENCE, "if (pid !== undefined) return { kind: 'starting', pid };", ''],
    [PRESENCE, 'const started = await process(vps);', 'const started = undefined as number | undefined;'],
  ),
  mutant('samples are delivered when the answer is lost, too', [
    'operations/samples-collect.ts',
    'lost: kept',
    'lost: () => void delivered()',
  ]),
  mutant(
    "one VPS's trouble stops all",
    ['jobs/jobs.ts', 'onTrouble(vps, thrown);', 'throw thrown;'],
    ['app-daemon.ts', ".catch(warn('dead jobs cannot be looked for now'))", ''],
  ),
  mutant('the note of an old system names no disk', [OLD, '&& record.disk === disk.identity', '']),
  mutant(
    'old systems age by the wall clock',
    [OLD, '(await clock.now_s()) - record.since_s)', '(now().getTime() - Date.parse(record.since)) / 1000)'],
    [KEEPER, '(await clock.now_s()) - noted.since_s', '(Date.now() - Date.parse(noted.since)) / 1000'],
  ),
  mutant('programs do not keep the locks', [
    'core/held-locks.ts',
    '.filter(({ fd }) => fd !== undefined)',
    '.filter(({ fd }) => fd === undefined)',
  ]),
  mutant('an exchange that cannot begin takes the configuration', [
    CHECKS,
    'if (await untouched()) await guests.put(vps, config);',
    'void [untouched, config];',
  ]),
  mutant('the look comes before the configuration goes', [
    CHECKS,
    'await requireStopped(hypervisor, vps, cannot, { patient: false });\n    return await work();',
    'return await work();',
  ]),
  mutant('the configuration stays during an exchange', [CHECKS, 'await guests.remove(vps);', '']),
  mutant('the disks of a VPS go before its configuration', [
    'operations/vps-kill.ts',
    'const before = await store.find(vps);',
    'const before = await store.find(vps);\n      await store.remove(vps);',
  ]),
  mutant('a record is acted on that is not on the disk', [
    SYSTEMS,
    'await records.names.sync(vps);\n    const',
    'const',
  ]),
  mutant('names are not flushed', [APPLY, 'await store.flush(vps);', '']),
  mutant('a folder is not synced after a rename', [
    'core/atomic-file.ts',
    "await syncFolder(dirname(path));\n  await onStep('folder synced');",
    "await onStep('folder synced');",
  ]),
  mutant('a file is not synced before its rename', [
    'core/atomic-file.ts',
    'await handle.sync();\n  } finally {\n    await handle.close();\n  }\n}\n\n/** How far',
    '} finally {\n    await handle.close();\n  }\n}\n\n/** How far',
  ]),
  mutant('the lock of a VPS is not taken', [
    'drivers/flock.ts',
    "await locks.tryLock(await file(vps, 'lock'), wait_ms)",
    `await locks.tryLock(await file(vps, \`\${Math.random()}.lock\`), wait_ms)`,
  ]),
  mutant('the claim on the disks is not taken', [
    CHECKS,
    'const claim = await locks.claimDisks(vps, cannot);',
    'const claim = { fd: undefined, requireHeld: () => undefined, release: async () => undefined };\n  void locks;',
  ]),
  mutant('there is no look under the claim', [
    CHECKS,
    'await requireStopped(hypervisor, vps, cannot, { patient: false });\n      return work();',
    'return work();',
  ]),
  mutant('the record goes before the exchange', [
    SYSTEMS,
    'const { exchanged, old } = await applyNames(',
    'await records.names.remove(vps);\n    const { exchanged, old } = await applyNames(',
  ]),
  mutant('an exchange is forgotten for the next order', [
    SYSTEMS,
    "if ((await records.names.read(vps))?.phase !== 'naming') return;",
    'if (vps.name) return;',
  ]),
  mutant(
    'a new system goes though it was approved',
    [KEEPER, 'if ((await isBegun(vps)) || !(await store.roots(vps)).current) return;', ''],
    [
      KEEPER,
      'async function dropUnnoted(store: DiskStore, vps: VpsId): Promise<void> {\n    if (await isBegun(vps)) return;',
      'async function dropUnnoted(store: DiskStore, vps: VpsId): Promise<void> {',
    ],
  ),
  mutant('the last system of a VPS goes for its age', [
    OLD,
    'if (!current) return',
    'if (!current) return vps.name ? undefined :',
  ]),
  mutant('an old system is built over before its new name is on the disk', [
    'drivers/lvm.ts',
    'await lvm.flush(group, [fresh]);',
    '',
  ]),
  mutant('a removed volume is overwritten under the name that it had', [
    'drivers/lvm-removed.ts',
    'name}`;\n      const part',
    "name.split('.').at(1)}`;\n      const part",
  ]),
  mutant(
    'a disk with nothing on it counts as a system',
    [OLD, 'if (!(await store.hasContent(current)))', 'if (!current.path)'],
    [SYSTEMS, 'if (!(await store.hasContent(old)))', 'if (!old.path)'],
  ),
  mutant('saved memory is old by the clock alone', [
    'drivers/saved-guests.ts',
    '!(suspended && ended_ms < began_ms && Math.abs(ended_ms - memory_ms) < DESTROY_MS)',
    'suspended !== undefined && ended_ms < Infinity * DESTROY_MS',
  ]),
  mutant('a guest that was destroyed while it rebooted is lost', [
    'core/xl-log.ts',
    '= [DESTROYED, LEFT_STOPPED]',
    '= [LEFT_STOPPED, DESTROYED.slice(1)]',
  ]),
  mutant('a lost guest is started after an order that wants it stopped', [
    'core/xl-log.ts',
    '= [DESTROYED, LEFT_STOPPED]',
    '= [DESTROYED]',
  ]),
  mutant('a half deleted VPS is given to the next owner', [
    'core/under-lock.ts',
    'await ports.systems.requireWhole(vps);',
    '',
  ]),
  mutant('a deletion is not noted', ['operations/vps-kill.ts', 'await systems.beginDeletion(vps);', '']),
  // That an empty disk counts as no system keeps the other one safe by itself.
  mutant(
    'disks are made beside the only system',
    [
      'operations/disks-setup.ts',
      'if (!there.root) await requireNoSystem(store, vps);',
      'void requireNoSystem;',
    ],
    [OLD, 'if (!(await store.hasContent(current)))', 'if (!current.path)'],
  ),
  mutant('restored memory stays while the guest runs', [
    'drivers/xl-saved.ts',
    "await saved.move(vps, 'restoring', 'resuming');\n      await resume(vps);",
    "await change(vps, 'unpause', [vps.name], destroy_timeout_ms);",
  ]),
  mutant('nobody waits for xendomains', [
    PRESENCE,
    "if (await xendomainsPending()) return { kind: 'awaited' };",
    'void xendomainsPending;',
  ]),
  mutant(
    'the counters are not kept when samples go',
    [
      'stats/spool.ts',
      'if (committed) await save(committed);\n    await folder.remove(serials);',
      'await folder.remove(serials);',
    ],
    [
      'stats/spool.ts',
      'if (committed) await save(committed);\n  }\n\n  async function flushOrWait',
      '}\n\n  async function flushOrWait',
    ],
  ),
];
