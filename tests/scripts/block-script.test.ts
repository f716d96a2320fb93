// xen/block-dtc-xen between xl and Xen's own script, which here says with what it was called, and whether the claim is held.
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';

const SCRIPT = join(import.meta.dirname, '../../xen/block-dtc-xen');
const XENBUS_PATH = 'backend/vbd/7/51728';

let folder: string;
let claims: string;

function program(path: string, body: string): void {
  writeFileSync(join(folder, path), `#!/bin/bash\n${body}\n`);
  chmodSync(join(folder, path), 0o755);
}

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'block-script-'));
  claims = join(folder, 'run/lock');
  for (const name of ['scripts', 'programs', 'disks']) mkdirSync(join(folder, name));
  writeFileSync(join(folder, 'dtc-xen.conf'), `node_name=n1\nrun_dir="${folder}/run"  # on a tmpfs\n`);
  const source = readFileSync(SCRIPT, 'utf8');
  const elsewhere = source.replace('/etc/dtc-xen/dtc-xen.conf', join(folder, 'dtc-xen.conf'));
  expect(elsewhere).not.toBe(source);
  writeFileSync(join(folder, 'scripts/block-dtc-xen'), elsewhere);
  chmodSync(join(folder, 'scripts/block-dtc-xen'), 0o755);
  program(
    'scripts/block',
    `held=nothing; shopt -s nullglob; for file in '${claims}'/*; do flock --nonblock "$file" true || held=\${file##*/}; done
    echo "block $*, $XENBUS_PATH, holding $held"; exit 3`,
  );
  program(
    'programs/xenstore-read',
    `case $1 in ${XENBUS_PATH}/params) echo "$DISK" ;; ${XENBUS_PATH}/dev) echo xvdb ;; *) exit 1 ;; esac`,
  );
  program('programs/xenstore-write', `printf '%s\\n' "$@" >>'${folder}/store'`);
  program('programs/logger', `echo "$*" >>'${folder}/journal'`);
});
afterEach(() => rmSync(folder, { recursive: true }));

function call(disk: string, command = 'add') {
  const { status, stdout, stderr } = spawnSync(join(folder, 'scripts/block-dtc-xen'), [command], {
    env: { PATH: `${folder}/programs:${process.env['PATH']}`, XENBUS_PATH, DISK: disk },
    encoding: 'utf8',
    timeout: 120_000,
  });
  return { exit_code: status, stdout, stderr };
}

/** Makes a file that stands for a disk, and returns its path. */
function disk(name: string): string {
  const path = join(folder, 'disks', name);
  writeFileSync(path, '');
  return path;
}

const passed = (held: string) => ({
  exit_code: 3,
  stdout: `block add, ${XENBUS_PATH}, holding ${held}\n`,
  stderr: '',
});

/** Does something while somebody works on the disks of xen01. */
function whileClaimed<T>(work: () => T): T {
  mkdirSync(claims, { recursive: true });
  const file = join(claims, 'xen01.disks');
  const fifo = join(folder, 'fifo');
  spawnSync('mkfifo', [fifo]);
  const holder = spawnSync('bash', [
    '-c',
    `flock --exclusive '${file}' cat '${fifo}' >/dev/null 2>&1 & until ! flock --nonblock '${file}' true; do sleep 0.01; done`,
  ]);
  expect(holder.status).toBe(0);
  try {
    return work();
  } finally {
    writeFileSync(fifo, '');
  }
}

const reason = () => readFileSync(join(folder, 'store'), 'utf8').split('\n');

it.each(['xen01', 'xen01swap', 'xen01.img', 'xen01.swap.img', 'xen01.old'])(
  'holds the claim of xen01 while the own script of Xen gives a domain %s, which it makes for root alone',
  (name) => {
    const path = disk(name);
    expect(call(path)).toEqual(passed('xen01.disks'));
    expect((statSync(claims).mode & 0o777).toString(8)).toBe('700');
    expect((statSync(join(claims, 'xen01.disks')).mode & 0o777).toString(8)).toBe('600');
    expect(call(path)).toEqual(passed('xen01.disks'));
  },
);

it('says what is missing where there is no own script of Xen, which its package may have lost', () => {
  rmSync(join(folder, 'scripts/block'));
  expect(call(disk('xen01'))).toMatchObject({ exit_code: 1, stderr: '' });
  expect(reason()).toEqual([
    `${XENBUS_PATH}/hotplug-error`,
    expect.stringMatching(
      /^The disk .*xen01 is not attached: there is no .*scripts\/block, .*Reinstall xen-utils-common\.$/,
    ),
    `${XENBUS_PATH}/hotplug-status`,
    'error',
    '',
  ]);
});

it.each(['xen', 'xen123456', 'xen01b', 'myxen01', 'data', 'swap'])(
  'passes on what is no disk of a VPS: %s',
  (name) => {
    expect(call(disk(name))).toEqual(passed('nothing'));
    expect(existsSync(claims)).toBe(false);
  },
);

it('knows a disk by another name that leads to it', () => {
  const link = join(folder, 'my-disk');
  spawnSync('ln', ['-s', disk('xen01'), link]);
  expect(call(link)).toEqual(passed('xen01.disks'));
});

it('refuses while the disks are being worked on, as scripts of Xen do; another VPS starts', () => {
  whileClaimed(() => {
    const other = call(disk('xen011'));
    expect(call(disk('xen01'))).toEqual({ exit_code: 1, stdout: '', stderr: '' });
    expect(other.exit_code).toBe(3);
  });
  const sentence = `xen01 is not started: its disks are being worked on (a check, a reinstall, a move). Start it again when that has ended; lslocks(8) tells who holds ${claims}/xen01.disks.`;
  expect(reason()).toEqual([
    `${XENBUS_PATH}/hotplug-error`,
    sentence,
    `${XENBUS_PATH}/hotplug-status`,
    'error',
    '',
  ]);
  expect(readFileSync(join(folder, 'journal'), 'utf8')).toContain(sentence);
});

it('lets go of a disk, and everything else, at any time', () => {
  whileClaimed(() => {
    expect(call(disk('xen01'), 'remove')).toMatchObject({ exit_code: 3 });
  });
});

it('tells which disk is missing: the own script of Xen fails without a word', () => {
  expect(call(join(folder, 'disks/xen01swap'))).toMatchObject({ exit_code: 1, stdout: '' });
  expect(reason()[1]).toBe(
    `xen01 is not started: its disk xvdb is missing: there is no ${folder}/disks/xen01swap.`,
  );
});

it.each(['vg0-xen01', 'my--vg-xen01swap'])('knows a disk by its name in the device mapper: %s', (name) => {
  expect(call(`/dev/mapper/${name}`)).toMatchObject({ exit_code: 1 });
  expect(reason()[1]).toBe(
    `xen01 is not started: its disk xvdb is missing: there is no /dev/mapper/${name}.`,
  );
});

it('starts the guest where no claim can be made (a full /run), since then nobody has one; says so in the journal', () => {
  writeFileSync(join(folder, 'run'), 'no folder');
  expect(call(disk('xen01'))).toMatchObject({ exit_code: 3 });
  expect(readFileSync(join(folder, 'journal'), 'utf8')).toMatch(
    /-p daemon.warning .*xen01\.disks cannot be made; nobody holds it/,
  );
});

it('refuses where the claim cannot be asked for', () => {
  mkdirSync(claims, { recursive: true });
  writeFileSync(join(claims, 'xen01.disks'), '');
  program('programs/flock', 'exit 66');
  expect(call(disk('xen01'))).toMatchObject({ exit_code: 1, stdout: '' });
  expect(reason()[1]).toMatch(/^xen01 is not started: flock\(1\) failed on .*xen01\.disks/);
});

it('takes the default of run_dir where the configuration cannot be read by a shell', () => {
  writeFileSync(join(folder, 'dtc-xen.conf'), 'run_dir=(');
  const source = readFileSync(join(folder, 'scripts/block-dtc-xen'), 'utf8');
  const elsewhere = source.replace('/run/dtc-xen', join(folder, 'run'));
  expect(elsewhere).not.toBe(source);
  writeFileSync(join(folder, 'scripts/block-dtc-xen'), elsewhere);
  expect(call(disk('xen01'))).toMatchObject({ exit_code: 3, stdout: passed('xen01.disks').stdout });
});
