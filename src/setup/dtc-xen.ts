// What DTC-Xen left in /etc/dtc-xen, in the agent's own keys. Its files: dtc-xen.conf (0.5: mostly the same keys), and
// before that soap.conf (of the daemon, KEY=value as Java's properties) and dtc_create_vps.conf.sh (of the scripts, sh).
import { isIP } from 'node:net';
import { parseShellAssignments } from '../config/parse.ts';
import { configSchema } from '../config/schema.ts';
import { setKeys } from './edit-config.ts';

/** The texts of DTC-Xen's files; undefined where one does not exist. */
export interface OldFiles {
  readonly config?: string | undefined;
  readonly soap?: string | undefined;
  readonly scripts?: string | undefined;
}

/** A configuration for the agent, and a sentence for each thing that an admin should know of it. */
export interface CarriedOver {
  readonly text: string;
  readonly notes: readonly string[];
}

type Convert = (value: string) => readonly [key: string, value: string] | undefined;

const as = (key: string) => (value: string) => [key, value] as const;
const inBoot = (key: string) => (value: string) =>
  [key, value.startsWith('/') ? value : `/boot/${value}`] as const;
const nodeName: Convert = (value) =>
  isIP(value) !== 0 || !/[a-z]/i.test(value) || value === 'localhost' ? undefined : ['node_name', value];

/** Debian's releases that its mirrors have no more. */
const GONE = /^(?:sarge|etch|lenny|squeeze|wheezy|jessie|stretch|buster)$/;
const debianRelease: Convert = (value) => (GONE.test(value) ? undefined : ['debian_release', value]);

/** Old names of keys of dtc-xen.conf. */
const CONFIG_KEYS: Readonly<Record<string, Convert>> = {
  DEBIAN_REPOS: as('debian_repo'),
  DEBIAN_RELEASE: debianRelease,
  debian_release: debianRelease,
  BSDKERNELPATH: as('bsd_kernel_path'),
};

const SOAP_KEYS: Readonly<Record<string, Convert>> = {
  soap_server_host: nodeName,
  soap_server_port: as('listen_port'),
  soap_server_pass_phrase: as('cert_passphrase'),
  soap_server_dtcxen_user: as('admin_user'),
  soap_server_lvmname: as('provisioning_volgroup'),
  soap_server_mount_point: as('provisioning_mount_point'),
};

const SCRIPT_KEYS: Readonly<Record<string, Convert>> = {
  ...CONFIG_KEYS,
  NETMASK: as('NETMASK'),
  BROADCAST: as('BROADCAST'),
  GATEWAY: as('GATEWAY'),
  LVMNAME: as('provisioning_volgroup'),
  VPS_MOUNTPOINT: as('provisioning_mount_point'),
  KERNELNAME: inBoot('KERNELPATH'),
  INITRDNAME: inBoot('INITRDPATH'),
};

/** Keys whose file must be there: a kernel of many years ago is not, and the running one is the default. */
const FILE_KEYS = ['KERNELPATH', 'INITRDPATH', 'KMOD_PATH'];

/** The assignments of a file of which not every line can be understood. */
function assignments(text: string, parse: (line: string) => readonly (readonly [string, string])[]) {
  return text.split('\n').flatMap((line) => {
    try {
      return parse(line);
    } catch {
      return [];
    }
  });
}

const ofShell = (line: string) => parseShellAssignments(line).map(({ key, value }) => [key, value] as const);

function ofProperties(line: string): [string, string][] {
  const [key = '', ...value] = line.split('=');
  return value.length > 0 && /^[A-Za-z_]+$/.test(key.trim()) ? [[key.trim(), value.join('=').trim()]] : [];
}

/** Why the agent cannot take a value, or undefined. */
function refusal(key: string, value: string, exists: (path: string) => boolean): string | undefined {
  const field = configSchema.shape[key as keyof typeof configSchema.shape];
  if (!field) return 'the agent has no such key';
  const parsed = field.safeParse(value);
  if (!parsed.success) return parsed.error.issues[0]?.message ?? 'the agent cannot take it';
  if (FILE_KEYS.includes(key) && value !== '' && !exists(value)) return 'there is no such file';
  if (key === 'KERNEL_RELEASE' && value !== '' && !exists(`/lib/modules/${value}`)) {
    return `this node has no kernel ${value}; guests boot the one that dom0 runs`;
  }
  return undefined;
}

/**
 * Makes a configuration of DTC-Xen's files. What dtc-xen.conf sets goes before what older files say; a line that the agent
 * cannot take stays in it as a comment. Values are not in the notes: one of them is a passphrase.
 */
export function carryOver(old: OldFiles, sample: string, exists: (path: string) => boolean): CarriedOver {
  const notes: string[] = [];
  const set = new Set<string>();
  const renamed = new Map<string, string>();

  const keepLine = (line: string): string => {
    let parsed: readonly (readonly [string, string])[];
    try {
      parsed = ofShell(line);
    } catch (error) {
      notes.push(
        `dtc-xen.conf: a line is not taken over, ${(error as Error).message.replace(/^line 1: /, '')}`,
      );
      return `#${line}`;
    }
    const [[key, value] = ['', '']] = parsed;
    if (key === '') return line;
    const convert = CONFIG_KEYS[key] ?? as(key);
    const converted = convert(value);
    const why = converted ? refusal(...converted, exists) : 'it names a release that is no more';
    if (!converted || why !== undefined) {
      notes.push(`dtc-xen.conf: ${key} is not taken over: ${why}`);
      return `#${line}`;
    }
    const [new_key] = converted;
    set.add(new_key);
    if (new_key === key) return line;
    renamed.set(...converted);
    return `#${line}`;
  };
  const kept = old.config === undefined ? sample : old.config.split('\n').map(keepLine).join('\n');

  const older = [
    { file: 'soap.conf', keys: SOAP_KEYS, found: assignments(old.soap ?? '', ofProperties) },
    { file: 'dtc_create_vps.conf.sh', keys: SCRIPT_KEYS, found: assignments(old.scripts ?? '', ofShell) },
  ];
  for (const { file, keys, found } of older) {
    for (const [old_key, old_value] of found) {
      const converted = old_value === '' ? undefined : keys[old_key]?.(old_value);
      if (!converted || set.has(converted[0])) continue;
      const [key, value] = converted;
      const why = refusal(key, value, exists);
      if (why !== undefined) {
        notes.push(`${file}: ${old_key} is not taken over: ${why}`);
        continue;
      }
      set.add(key);
      renamed.set(key, value);
      notes.push(`${file}: ${old_key} is now ${key} in dtc-xen.conf`);
    }
  }
  return { text: setKeys(kept, renamed), notes };
}
