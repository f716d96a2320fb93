// Root inside a guest writes whatever it likes onto its disks. What it would gain from a mount of one of them is dom0's kernel: so what
// the daemon, its jobs and all that they start ask the kernel to mount is traced, through every operation on a VPS's disks.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Site, startSite } from '../site.ts';

let site: Site;
const trace = () => join(site.folder.path, 'trace');
beforeAll(async () => {
  const calls = 'trace=execve,mount,fsopen,fsconfig,fspick,open_tree,move_mount';
  // The daemon is the process that strace was; who traces it is another one (-D).
  site = await startSite({
    under: (folder) => [
      'strace',
      '-D',
      '-f',
      '-qq',
      '-s',
      '200',
      '--seccomp-bpf',
      '-e',
      calls,
      '-o',
      join(folder, 'trace'),
    ],
  });
});
afterAll(() => site.stop());

/** What was asked of the kernel, in the order of time: a disk given a new file system, one mounted, a guest started. */
interface Step {
  readonly what: 'mkfs' | 'mount' | 'start';
  readonly of: string;
}

/** `execve("/usr/bin/mount", ["mount", "-t", "ext4", ...` -> its words. */
const wordsOf = (line: string) =>
  [...(/execve\("[^"]*", \[(.*?)\](?:, | <unfinished)/.exec(line)?.[1] ?? '').matchAll(/"([^"]*)"/g)].map(
    ([, word = '']) => word,
  );

function steps(text: string): Step[] {
  return text.split('\n').flatMap((line): Step[] => {
    if (line.includes('ENOENT')) return [];
    const [program = '', ...args] = wordsOf(line);
    const words = [program.replace(/.*\//, ''), ...args];
    if (words[0] === 'mkfs.ext4') return [{ what: 'mkfs', of: args.at(-1) ?? '' }];
    if (words[0] === 'mount' && args.includes('ext4')) return [{ what: 'mount', of: args.at(-2) ?? '' }];
    if (words.includes('xl') && words.includes('create')) return [{ what: 'start', of: args.at(-1) ?? '' }];
    return [];
  });
}

/** Kinds of file systems that have their content on a disk, as mount(2) and fsopen(2) were asked for them. */
const kindsMounted = (text: string) =>
  [...text.matchAll(/\b(?:mount\((?:"[^"]*"|NULL), (?:"[^"]*"|NULL), "([^"]+)"|fsopen\("([^"]+)")/g)]
    .map(([, by_mount, by_open]) => by_mount ?? by_open ?? '')
    .filter((kind) => !['tmpfs', 'proc', 'sysfs', 'devpts', 'mqueue', 'devtmpfs', 'bind'].includes(kind));

const ORDER = { ostype: 'tiny', ramsize: 128, password: 'secret', nics: '192.0.2.21' };

it.each([
  ['xen31', 'lvm'],
  ['xen32', 'vbd'],
])(
  "dom0's kernel, by a disk of %s (%s) that is mounted after its guest has run",
  async (vpsname, imagetype) => {
    const before = readFileSync(trace(), 'utf8').length;
    const done = async (operation: string, params: Readonly<Record<string, string | number>> = {}) => {
      await site.modern(operation, { vpsname, ...params });
    };
    const job = async (operation: string, params: Readonly<Record<string, string | number>> = {}) => {
      await done(operation, params);
      expect(await site.jobEnd(vpsname)).toMatchObject({ state: 'succeeded' });
    };
    await done('setupLVMDisks', { hddsize: 64, swapsize: 16, imagetype });
    await job('reinstallVPSos', ORDER);
    const runOnce = async () => {
      await done('startVPS');
      await site.node.end(vpsname, 'poweroff');
      await expect.poll(() => site.modern('getVPSState', { vpsname })).toMatchObject({ state: 'stopped' });
    };
    await runOnce();
    await done('changeVPSrootPassword', { password: 'another' });
    await job('fsckVPSpartition');
    await job('reinstallVPSos', ORDER);
    await runOnce();
    await done('rollbackVPSos');
    await runOnce();
    await done('killVPS', { imagetype });

    const text = readFileSync(trace(), 'utf8').slice(before);
    const seen = steps(text);
    const fresh = new Set<string>();
    const wrong: string[] = [];
    for (const { what, of } of seen) {
      if (what === 'mkfs') fresh.add(of);
      else if (what === 'start') fresh.clear();
      else if (!fresh.has(of)) wrong.push(of);
    }
    expect(wrong).toEqual([]);
    const mounts = seen.filter(({ what }) => what === 'mount');
    expect(mounts.length).toBeGreaterThanOrEqual(2);
    // Whatever else was mounted has no disk below it.
    expect(kindsMounted(text)).toEqual(mounts.map(() => 'ext4'));
  },
);
