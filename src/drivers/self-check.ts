import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Config } from '../config/schema.ts';
import { requireMirror } from '../core/bases.ts';
import type { Runner } from '../core/runner.ts';
import { certificateNotes } from './certificate.ts';
import { guestKernel, nodeName } from './host.ts';
import { isKnownHash } from './htpasswd-hash.ts';
import { createKnownStores } from './known-stores.ts';
import { unlessMissing } from './missing.ts';
import { parseLvmConfig, stringsOf } from './parse/lvm-config.ts';

/** What a look at the node needs; `mdadm_conf` is for tests. */
export interface SelfCheck {
  readonly config: Config;
  readonly runner: Runner;
  readonly mdadm_conf?: string;
}

const TIMEOUT_MS = 30_000;
const SECTION = 'docs/security.md, "What LVM, mdadm and udev must not assemble"';

/** Lines of the file of SOAP users that let nobody in; what they say of a password is not told. */
async function userLines({ etc_dir }: Config): Promise<string[]> {
  const path = join(etc_dir, 'htpasswd');
  const lines = (await unlessMissing(readFile(path, 'latin1'), '')).split('\n');
  const users = new Set<string>();
  return lines.flatMap((line, at) => {
    if (/^\s*(#|$)/.test(line)) return [];
    const [user = '', hash] = line.trimEnd().split(':');
    const where = `${path}, line ${at + 1}`;
    if (user === '' || hash === undefined)
      return [`${where}: there is no name and hash in it; nobody logs in by it.`];
    const is_second = users.has(user);
    users.add(user);
    if (is_second) return [`${where}: ${user} has a line before it, which counts.`];
    if (isKnownHash(hash)) return [];
    const kind = hash.startsWith('$1$') ? 'MD5' : 'a kind that is not known';
    return [
      `${where}: the hash of ${user} is of ${kind}, so ${user} cannot log in. Set a password: dtc-xen-agent passwd ${user}`,
    ];
  });
}

/** Whether a filter of LVM hides a device: it takes none of its names, and rejects one (lvm.conf(5), global_filter). */
function hides(filter: readonly string[], names: readonly string[]): boolean {
  const fits = (pattern: string, name: string) => {
    try {
      return new RegExp(pattern.slice(2, -1)).test(name);
    } catch {
      return false;
    }
  };
  const deciding = names.flatMap((name) => filter.find((pattern) => fits(pattern, name)) ?? []);
  return deciding.length > 0 && deciding.every((pattern) => pattern.startsWith('r'));
}

/** What of the guests' disks dom0's own LVM reads. */
async function lvmSees({ config, runner }: SelfCheck): Promise<string[]> {
  const keys = ['global_filter', 'filter', 'scan_lvs', 'use_devicesfile'];
  const answer = await runner
    .run({
      label: 'lvmconfig',
      program: 'lvmconfig',
      args: ['--typeconfig', 'full', ...keys.map((key) => `devices/${key}`)],
      timeout_ms: TIMEOUT_MS,
    })
    .catch(() => undefined);
  // A node without LVM has nothing that it could assemble.
  if (answer?.exit_code !== 0) return [];
  const set = parseLvmConfig(answer.stdout);
  if (set.get('use_devicesfile') === '1') return [];
  const patterns = ['global_filter', 'filter'].map((key) => stringsOf(set.get(key) ?? ''));
  const isHidden = (...names: readonly string[]) => patterns.some((filter) => hides(filter, names));
  const stores = createKnownStores(config);
  const group = config.provisioning_volgroup || ((await stores.knownGroup())?.at ?? '');
  const told: string[] = [];
  if ((await stores.isKnown('vbd')) && !isHidden('/dev/loop0', '/dev/disk/by-id/lvm-pv-uuid-0')) {
    told.push(
      `dom0's own LVM looks for volume groups on loop devices, and so in guests' images. Put "r|^/dev/loop|" into devices/global_filter in /etc/lvm/lvm.conf, and no "a|.*|" behind it; see ${SECTION}.`,
    );
  }
  if (group !== '' && set.get('scan_lvs') === '1' && !isHidden(`/dev/${group}/xen01`, '/dev/dm-0')) {
    told.push(
      `dom0's own LVM looks for volume groups on guests' volumes (scan_lvs = 1). Set it to 0, or put "r|^/dev/${group}/|" into devices/global_filter in /etc/lvm/lvm.conf, and no "a|.*|" behind it; see ${SECTION}.`,
    );
  }
  return told;
}

/** mdadm(8) puts arrays together of whatever it finds, unless mdadm.conf says `AUTO -all` (mdadm.conf(5)). */
async function mdadmSees(path: string): Promise<string[]> {
  const text = await unlessMissing(readFile(path, 'utf8'), undefined);
  const lines = (text ?? '').split('\n').map((line) => line.trim().toLowerCase().split(/\s+/));
  if (text === undefined || lines.some(([word, ...more]) => word === 'auto' && more.includes('-all')))
    return [];
  return [
    `mdadm puts arrays together that a guest has written onto its disk. Put ARRAY lines of this node's own and then AUTO -all into ${path}; see ${SECTION}.`,
  ];
}

/** What of the configuration makes an installation fail. */
async function installations(config: Config): Promise<string[]> {
  const found = await Promise.allSettled([guestKernel(config), (async () => requireMirror(config))()]);
  return found.flatMap((one) =>
    one.status === 'rejected'
      ? `${(one.reason as Error).message} Until then no Debian can be installed.`
      : [],
  );
}

/** What an admin should change on a node whose configuration can be used, a sentence each; nothing is changed. */
export async function selfCheck(check: SelfCheck): Promise<string[]> {
  const told = await Promise.allSettled([
    userLines(check.config),
    installations(check.config),
    certificateNotes({ etc_dir: check.config.etc_dir, node_name: nodeName(check.config) }),
    lvmSees(check),
    mdadmSees(check.mdadm_conf ?? '/etc/mdadm/mdadm.conf'),
  ]);
  return told.flatMap((one) =>
    one.status === 'fulfilled'
      ? one.value
      : `Not all of the node could be checked (are you root?): ${(one.reason as Error).message}`,
  );
}
