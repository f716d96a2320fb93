// Root inside a guest writes whatever it likes onto its disk, and then its owner asks for a new root password: what the attacker
// would gain is dom0's kernel.
import { execFileSync, spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { SCRIPTS } from '../jobs/plan-harness.ts';
import { call, loopsOver, mountsBelow } from '../scripts/call.ts';

const HASH = `$6$salt$${'notARealHashButAsLongAsOne'.repeat(4)}`;
const others = (count: number) =>
  Array.from({ length: count }, (_, i) => `service${i}:*:19000:0:99999:7:::\n`).join('');
let folder: string;
let tree: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'guest-root-'));
  tree = join(folder, 'tree');
  mkdirSync(join(tree, 'etc'), { recursive: true });
});
afterEach(() => {
  expect([...mountsBelow(folder), ...loopsOver(folder)]).toEqual([]);
  rmSync(folder, { recursive: true });
});

const disk = () => join(folder, 'xen01.img');
const run = (program: string, ...args: string[]) =>
  execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
function makeDisk(shadow: string, ...options: string[]): void {
  rmSync(disk(), { force: true });
  writeFileSync(join(tree, 'etc/shadow'), shadow, { mode: 0o640 });
  run('truncate', '-s', '32M', disk());
  run('mkfs.ext4', '-q', '-F', ...options, '-d', tree, disk());
}
const debugfs = (request: string, ...options: string[]) =>
  spawnSync('debugfs', [...options, '-R', request, disk()], { encoding: 'utf8' }).stdout;
const shadowNow = () => debugfs('cat /etc/shadow');
const setPassword = () => call('guest-root-password', ['--disk', disk()], `${HASH}\n`);
const today = () => Math.floor(Date.now() / 86_400_000);
const changed = (shadow: string) =>
  [today() - 1, today()].map((day) => shadow.replace(/^root:[^:]*:[0-9]*:/m, () => `root:${HASH}:${day}:`));
/** The file system as the guest's next boot makes it: its journal replayed. */
const boot = () => spawnSync('e2fsck', ['-y', '-E', 'journal_only', disk()]);
const isWhole = () => spawnSync('e2fsck', ['-f', '-n', disk()]).status === 0;

/** The file systems that a script and all that it runs ask the kernel to mount. */
function mounted(args: readonly string[], input: string): string[] {
  const trace = join(folder, 'trace');
  const options = ['-f', '-qq', '-e', 'trace=mount,fsopen,fsconfig,move_mount', '-o', trace];
  spawnSync('strace', [...options, join(SCRIPTS, 'guest-root-password'), ...args], { input });
  const calls = readFileSync(trace, 'utf8').split('\n');
  return calls
    .flatMap((line) => /mount\([^,]*, "[^"]*", "([^"]+)"|fsopen\("([^"]+)"/.exec(line)?.slice(1) ?? [])
    .filter(Boolean);
}

it('dom0, from a program of e2fsprogs that a file system has taken over', () => {
  makeDisk('root:*:19000:0:99999:7:::\n');
  const before = readFileSync('/proc/sys/kernel/core_pattern', 'utf8');
  const script = `
    grep -E '^(CapEff|CapPrm|NoNewPrivs):' /proc/self/status
    (echo changed >/proc/sys/kernel/core_pattern)
    cat /proc/net/dev; cat /proc/1/root${tmpdir()}/*/xen01.img /etc/shadow; ls /dev
    mount -o remount,rw /proc; echo changed >/usr/x
    unshare --user --map-root-user --mount --pid --fork bash -c '
      mount -o remount,rw /proc; mount -t proc proc /tmp && echo changed >/tmp/sys/kernel/core_pattern
      (echo changed >/proc/sys/kernel/core_pattern)'`;
  const { stdout, stderr } = spawnSync(
    'bash',
    [
      '-c',
      'set -euo pipefail; . "$1/lib/checks"; . "$1/lib/sandbox"; . "$1/lib/user-space"; work=$2; on_disk "$3" bash -c "$4"',
      ...['test', SCRIPTS, tree, disk(), script],
    ],
    { encoding: 'utf8' },
  );
  expect(stdout).toMatch(/CapPrm:\s*0+\nCapEff:\s*0+\nNoNewPrivs:\s*1\n/);
  expect(stdout.match(/^ *[a-z0-9]+:(?= *[0-9])/gm)?.map((name) => name.trim())).toEqual(['lo:']);
  expect(stdout).not.toMatch(/^(?:sd|vd|xvd|loop|dm-|mapper|kvm|mem|root:).*$/m);
  expect(stderr).toMatch(/core_pattern: Read-only file system/);
  expect(readFileSync('/proc/sys/kernel/core_pattern', 'utf8')).toBe(before);
});

it("dom0's kernel mounts no guest's file system: its superblock could ask for a panic", () => {
  makeDisk(`root:*:19000:0:99999:7:::\n${others(20)}`);
  run('tune2fs', '-e', 'panic', disk());
  const kinds = mounted(['--disk', disk()], `${HASH}\n`);
  expect(kinds).toContain('tmpfs');
  expect(kinds.filter((kind) => !['tmpfs', 'proc', 'none', 'devpts', 'mqueue'].includes(kind))).toEqual([]);
  expect(shadowNow()).toContain(HASH);
});

it('a damaged folder in a file system that asks for a panic is told, and nothing is written', () => {
  makeDisk(`root:*:19000:0:99999:7:::\n${others(20)}`);
  run('tune2fs', '-e', 'panic', disk());
  const [block = ''] = debugfs('blocks /etc').trim().split(' ');
  const size = Number(/Block size: +([0-9]+)/.exec(run('dumpe2fs', '-h', disk()))?.[1]);
  run(
    'dd',
    'if=/dev/urandom',
    `of=${disk()}`,
    `bs=${size}`,
    `seek=${block}`,
    'count=1',
    'conv=notrunc',
    'status=none',
  );
  const before = readFileSync(disk());
  const { exit_code, stderr } = setPassword();
  expect(exit_code).toBe(1);
  expect(stderr).toMatch(/check the file system on .* with fsckVPSpartition/);
  expect(readFileSync(disk()).equals(before)).toBe(true);
});

it('a journal that a superblock puts on another device of dom0 is not opened', () => {
  const other = join(folder, 'other.img');
  run('truncate', '-s', '8M', other);
  run('mke2fs', '-q', '-F', '-b', '1024', '-O', 'journal_dev', other);
  const device = run('losetup', '--find', '--show', other).trim();
  try {
    makeDisk(`root:*:19000:0:99999:7:::\n`, '-b', '1024', '-J', `device=${device}`);
    debugfs('feature needs_recovery', '-w');
    const before = readFileSync(other);
    expect(setPassword()).toMatchObject({
      exit_code: 1,
      stderr: expect.stringMatching(/check the file system on .* with fsckVPSpartition/),
    });
    expect(readFileSync(other).equals(before)).toBe(true);
  } finally {
    run('losetup', '--detach', device);
  }
});

it('a file whose blocks lie beyond the disk, or of which there are too few, is refused', () => {
  makeDisk(`root:*:19000:0:99999:7:::\n`, '-O', '^extent,^64bit,^metadata_csum');
  const bytes = statSync(disk()).size;
  debugfs('sif /etc/shadow block[0] 2147483647', '-w');
  expect(setPassword().exit_code).toBe(1);
  expect(statSync(disk()).size).toBe(bytes);
  makeDisk(`root:*:19000:0:99999:7:::\n`, '-O', '^extent,^64bit,^metadata_csum');
  debugfs('sif /etc/shadow size 1000000', '-w');
  expect(setPassword().exit_code).toBe(1);
  expect(statSync(disk()).size).toBe(bytes);
});

it('a check of a disk that wants any amount of memory ends, and dom0 keeps its own', () => {
  makeDisk('root:*:19000:0:99999:7:::\n');
  const place = join(folder, 'place');
  mkdirSync(place);
  const trace = join(folder, 'trace');
  const options = ['-f', '-qq', '-e', 'trace=execve,prlimit64,socket,openat', '-o', trace];
  const { status } = spawnSync('strace', [...options, join(SCRIPTS, 'fsck-disk'), disk()]);
  expect(status).toBe(0);
  const calls = readFileSync(trace, 'utf8').split('\n');
  const limit = calls.map((line) => /RLIMIT_AS, \{rlim_cur=([0-9]+)\*1024/.exec(line)?.[1]).find(Boolean);
  expect(Number(limit) / 1024).toBeLessThan(300);
  const check = calls.findIndex((line) => /execve\("[^"]*fsck\.ext4"/.test(line));
  const pid = calls[check]?.split(' ')[0];
  const opened = calls
    .slice(check)
    .flatMap((line) =>
      line.startsWith(`${pid} `) ? (/openat\([^,]*, "([^"]+)".* = [0-9]+$/.exec(line)?.[1] ?? []) : [],
    );
  expect(opened).toContain(disk());
  expect(
    opened.filter(
      (path) =>
        path !== disk() && !/^\/(?:lib|usr\/lib|etc\/ld\.so|proc|dev\/null|usr\/share\/locale)/.test(path),
    ),
  ).toEqual([]);
});

it('a sandbox that cannot be made is told, and never taken for an answer about the disk', () => {
  makeDisk('root:*:19000:0:99999:7:::\n');
  const shims = join(folder, 'shims');
  mkdirSync(shims);
  writeFileSync(join(shims, 'bwrap'), '#!/bin/sh\necho "bwrap: Function not implemented" >&2\nexit 1\n', {
    mode: 0o755,
  });
  const env = { ...process.env, PATH: `${shims}:${process.env['PATH']}` };
  const before = readFileSync(disk());
  for (const [script, args, code] of [
    ['fsck-disk', [disk()], 64],
    ['guest-root-password', ['--disk', disk()], 1],
  ] as const) {
    const { status, stderr } = spawnSync(join(SCRIPTS, script), args, {
      env,
      input: `${HASH}\n`,
      encoding: 'utf8',
    });
    expect([status, stderr]).toEqual([
      code,
      expect.stringMatching(/bwrap: Function not implemented\n.*no sandbox/),
    ]);
  }
  expect(readFileSync(disk()).equals(before)).toBe(true);
});

describe('a password is set, and the file system stays whole', () => {
  const LONG = `root:$6$salt$${'x'.repeat(200)}:19000:0:99999:7:::\n`;
  it.each([
    ['as Debian makes it', `root:*:19000:0:99999:7:::\n${others(20)}`, []],
    ['with a hash that gets shorter', `${LONG}${others(20)}`, []],
    ['over several blocks', `root:*:19000:0:99999:7:::\n${others(200)}`, ['-b', '1024']],
    ['with a block more', `root:*:19000:0:99999:7:::\n${others(128)}`, ['-b', '1024']],
    ['with a block less', `${others(24)}${LONG}${others(2)}`, ['-b', '1024']],
    [
      'as ext3',
      `root:*:19000:0:99999:7:::\n${others(128)}`,
      ['-b', '1024', '-O', '^extent,^64bit,^metadata_csum'],
    ],
    ['without a journal', `root:*:19000:0:99999:7:::\n${others(200)}`, ['-b', '1024', '-O', '^has_journal']],
    ['with large blocks', `root:*:19000:0:99999:7:::\n${others(20)}`, ['-b', '4096']],
  ])('%s', (_what, shadow, options) => {
    makeDisk(shadow, ...options);
    expect(setPassword()).toMatchObject({ exit_code: 0, stderr: '' });
    expect(changed(shadow)).toContain(shadowNow());
    expect(isWhole()).toBe(true);
  });

  it('after a guest that was destroyed: its journal is replayed first', () => {
    const shadow = `root:*:19000:0:99999:7:::\n${others(60)}`;
    makeDisk(shadow, '-b', '1024');
    const at = join(folder, 'at');
    mkdirSync(at);
    run('mount', '-o', 'loop', disk(), at);
    writeFileSync(join(at, 'etc/shadow'), shadow.replace('19000', '19999'));
    run('sync', '-f', at);
    const torn = join(folder, 'torn.img');
    copyFileSync(disk(), torn);
    run('umount', at);
    copyFileSync(torn, disk());
    expect(run('dumpe2fs', '-h', disk())).toContain('needs_recovery');
    expect(setPassword()).toMatchObject({ exit_code: 0, stderr: '' });
    expect(changed(shadow)).toContain(shadowNow());
    expect(isWhole()).toBe(true);
    // The kernel's own journal goes on with what was written through it.
    run('mount', '-o', 'loop,errors=remount-ro', disk(), at);
    expect(changed(shadow)).toContain(readFileSync(join(at, 'etc/shadow'), 'utf8'));
    run('umount', at);
  });
});

// Some of the writes, for the landing's time; EVERY_WRITE=1: each.
describe('a kill at any write leaves the old password or the new one', () => {
  it.each([
    ['as Debian makes it', `root:*:19000:0:99999:7:::\n${others(20)}`, [], 7],
    [
      'over several blocks, and a block more',
      `root:*:19000:0:99999:7:::\n${others(128)}`,
      ['-b', '1024'],
      11,
    ],
  ])('%s', { timeout: 600_000 }, (_what, shadow, options, step) => {
    makeDisk(shadow, ...options);
    const fresh = join(folder, 'fresh.img');
    copyFileSync(disk(), fresh);
    const seen = new Set<string>();
    let kills = 0;
    for (let at = 1; ; at += process.env['EVERY_WRITE'] ? 1 : step) {
      copyFileSync(fresh, disk());
      const { status } = killedAt(at);
      if (status === 0) break;
      kills += 1;
      boot();
      const is_flagged = run('dumpe2fs', '-h', disk()).includes('with errors');
      if (is_flagged) expect(spawnSync('e2fsck', ['-p', disk()]).status).toBeLessThanOrEqual(1);
      expect(isWhole(), `killed at write ${at}`).toBe(true);
      const now = shadowNow().replace(/[\n\0]+$/, '\n');
      const is_new = changed(shadow).includes(now);
      if (!is_new) expect(now, `killed at write ${at}`).toBe(shadow);
      seen.add(is_new ? 'new' : 'old');
      if (at % 9 !== 0) continue;
      expect(setPassword(), `again after a kill at write ${at}`).toMatchObject({ exit_code: 0 });
      expect(changed(shadow).map((text) => text.trim())).toContain(shadowNow().replaceAll('\0', '').trim());
    }
    expect(changed(shadow)).toContain(shadowNow());
    expect([...seen].sort()).toEqual(['new', 'old']);
    expect(kills).toBeGreaterThan(4);
  });

  /** The script, of which e2fsprogs is killed when it writes for the so-manieth time. */
  function killedAt(write: number): { status: number | null } {
    const shims = join(folder, 'shims');
    const traces = join(folder, 'traces');
    for (const each of [shims, traces]) mkdirSync(each, { recursive: true });
    const count = join(folder, 'count');
    writeFileSync(count, '0');
    const shim = `#!/bin/bash
read -r so_far <${count}
sandbox=()
while [ "$1" != -- ]; do sandbox+=("$1"); shift; done
shift
rm -f ${traces}/trace
/usr/bin/bwrap "\${sandbox[@]}" --bind ${traces} /traces -- strace -f -qq -P ${disk()} -o /traces/trace -e trace=pwrite64,write \\
  -e inject=pwrite64,write:signal=SIGKILL:when=$((${write} - so_far)) -- "$@"
code=$?
echo $((so_far + $(grep -c -E '(pwrite64|write)\\(' ${traces}/trace))) >${count}
exit $code
`;
    writeFileSync(join(shims, 'bwrap'), shim, { mode: 0o755 });
    return spawnSync(join(SCRIPTS, 'guest-root-password'), ['--disk', disk()], {
      input: `${HASH}\n`,
      env: { ...process.env, PATH: `${shims}:${process.env['PATH']}` },
    });
  }
});
