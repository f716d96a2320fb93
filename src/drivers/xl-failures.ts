import type { Finished } from '../core/runner.ts';

/** What xl says when something is wrong, and the sentence's end that an admin is told instead. */
const FAILURES: readonly (readonly [RegExp, (match: RegExpExecArray) => string])[] = [
  [/is an invalid domain identifier/, () => 'Xen knew no such domain'],
  [/Domain with name "([^"]*)" already exists/, () => 'Xen has a domain of that name already'],
  [
    /segment \S+ too large/,
    () => 'the memory in its configuration is too small for its kernel; give it more memory',
  ],
  [
    /Cannot allocate memory|can't allocate low memory|not enough free memory|failed to free memory/,
    () =>
      'Xen has not enough free memory; shut another guest down, or give this one less (xl info, free_memory)',
  ],
  [
    /Disk vdev=(\S+) failed to stat: (\S+): /,
    ([, vdev, path]) => `its disk ${vdev} is missing: there is no ${path}`,
  ],
  [/failed to open file '([^']+)'/, ([, path]) => `its kernel or initrd is missing: there is no ${path}`],
  [
    /Could not find bridge device (\S+)/,
    ([, bridge]) => `there is no bridge ${bridge} on the node; see vif_bridge in dtc-xen.conf, and ip link`,
  ],
  [/is mounted in a guest domain/, () => 'another guest holds one of its disks open'],
  [
    /is mounted in the privileged domain/,
    () => 'one of its disks is mounted on the node itself; see findmnt, and umount it',
  ],
  [
    /Failed to read config file: (\S+): (.+)/,
    ([, path, why]) => `its configuration ${path} cannot be read: ${why}`,
  ],
  [/:(\d+): config parsing error/, ([, line]) => `its configuration has a syntax error in line ${line}`],
  [/Domain name must be specified/, () => 'its configuration has no name'],
  [/Neither kernel nor bootloader specified/, () => 'its configuration names no kernel'],
  [
    /guest didn't acknowledge control request/,
    () => 'the guest did not answer within 60 s: it hangs, is paused, or is still booting',
  ],
  [
    /device model did not start/,
    () =>
      "its qemu did not start: the node's /var/log/xen/qemu-dm-NAME.log says why; where that is DES, or an address in use, writeXenHVMconf writes its configuration anew",
  ],
  // A sentence of ours (xen/block-dtc-xen).
  [/script: (xen[0-9]+ is not started: [^\n]*?)\.?(?:\n|$)/, ([, told = '']) => told],
  [
    /Could not obtain handle on privileged command interface|cannot init xl context/,
    () => 'xl cannot reach Xen: the node must be booted under Xen, and the agent run as root',
  ],
];

/**
 * What a failed xl had to say, in a clause. Of what is not known the first error counts: libxl's later ones are only the
 * noise of its tidying up.
 */
export function explainXlFailure({ stdout, stderr }: Pick<Finished, 'stdout' | 'stderr'>): string {
  for (const [pattern, explain] of FAILURES) {
    const match = pattern.exec(stderr);
    if (match) return explain(match);
  }
  const lines = `${stderr}\n${stdout}`
    .split('\n')
    .map((line) => line.replace(/[^\x20-\x7e]/g, ' ').trim())
    .filter((line) => line !== '' && !line.startsWith('Parsing config'));
  const first = lines.find((line) => /error|fail|invalid/i.test(line)) ?? lines[0] ?? 'it said nothing';
  const bare = first.replace(/^(?:libxl|xc): error: (?:panic: )?\S+?:\d+:\s?\w+: /, '');
  return `xl says: ${bare.length > 200 ? `${bare.slice(0, 200)}...` : bare}`;
}
